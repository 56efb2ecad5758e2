"""How a task is understood: whether it needs a plan at all, what a plan must look like, and what is asked for it."""

import re
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from nexus_agents.experts import Experts
from nexus_agents.results import Analysis
from nexus_agents.trace import Planned

PLAN_FROM = 5
"""The complexity at which a task is planned."""
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.M)
_JOINT = re.compile(
    r"\b(?:and then|then|after that|afterwards|finally|secondly|thirdly|in addition|as well as|for each|each of)\b|;",
    re.I,
)
_SENTENCE = re.compile(r"[.!?]\s+(?=[A-Z])")
_TYPES = (
    ("security_review", r"security|vulnerab|threat|exploit"),
    ("testing", r"\btests?\b|\btesting\b|coverage"),
    ("documentation", r"document|readme|tutorial|changelog"),
    ("devops", r"deploy|docker|kubernetes|pipeline|\bci\b|terraform"),
    ("architecture", r"architect|\bdesign\b|\bsystem\b"),
    ("research", r"research|compare|survey|evaluate"),
    ("planning", r"\bplan\b|roadmap|requirements|prioriti"),
    ("code_generation", r"\bcode\b|implement|function|refactor|\bfix\b|debug|\bbug\b|\bclass\b"),
)
_EFFORT = ((3, "minutes"), (6, "an hour"), (8, "hours"), (10, "days"))


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    task: str
    expert: str
    title: str = ""
    depends_on: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a planner answers."""

    steps: tuple[PlannedStep, ...]
    approach: str = ""
    requirements: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    step: str
    problem: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer answers."""

    ok: bool
    problems: tuple[Problem, ...] = ()


def analyse(task: str, task_id: str) -> Analysis:
    """Judge a task by its words alone: free, instant, and the same every time."""
    parts = len(_ITEM.findall(task)) + len(_JOINT.findall(task)) + min(4, len(_SENTENCE.findall(task)))
    kinds = [name for name, pattern in _TYPES if re.search(pattern, task, re.I)]
    complexity = max(1, min(10, 1 + len(task) // 400 + 2 * min(parts, 4) + max(0, len(kinds) - 1)))
    effort = next(words for most, words in _EFFORT if complexity <= most)
    return Analysis(
        task_id=task_id,
        complexity=complexity,
        task_type=kinds[0] if kinds else "general",
        needs_decomposition=complexity >= PLAN_FROM,
        approach="plan" if complexity >= PLAN_FROM else "answer directly",
        estimated_effort=effort,
    )


def question(experts: Experts, most: int) -> str:
    """Write what a planner is told."""
    roster = "\n".join(f"- {expert.name}: {expert.description}" for expert in experts)
    return (
        f"You plan work for experts. Split the task into 2 to {most} steps; fewer is better. Each step is done by one expert"
        " who sees only its own text and the results of the steps it depends on, so write it as a complete instruction."
        " Steps that need nothing of each other must not depend on each other: they run at the same time."
        " Do not add a step that only puts the results together; that is done for you.\n\n"
        f"The experts:\n{roster}\n\n"
        'Answer with one JSON object: {"steps": [{"id": "s1", "title": "...", "task": "...", "expert": "...",'
        ' "depends_on": []}], "approach": "...", "requirements": ["..."], "risks": ["..."]}'
    )


def schema(experts: Experts, most: int) -> dict[str, Any]:
    """Write the shape of a plan."""
    ids = [f"s{number}" for number in range(1, most + 1)]
    some = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 5}
    step = _object(
        {
            "id": {"type": "string", "enum": ids},
            "title": {"type": "string", "maxLength": 60},
            "task": {"type": "string", "maxLength": 1_000},
            "expert": {"type": "string", "enum": experts.names},
            "depends_on": {"type": "array", "items": {"type": "string", "enum": ids}, "maxItems": most - 1},
        }
    )
    steps = {"type": "array", "items": step, "minItems": 2, "maxItems": most}
    # the steps come first: what a small model runs out of is room
    return _object(
        {
            "steps": steps,
            "approach": {"type": "string", "maxLength": 300},
            "requirements": some,
            "risks": some,
        }
    )


def checked(plan: Plan, experts: Experts, most: int) -> Plan:
    """Accept a plan that can be carried out; a dependency on what is no other step is left out.

    Raises:
        ValueError: with what is wrong with it.
    """
    ids = [step.id for step in plan.steps]
    if not 1 <= len(ids) <= most:
        raise ValueError(f"it has {len(ids)} steps, and 1 to {most} are allowed")
    if len(set(ids)) < len(ids):
        raise ValueError("two steps have the same id")
    for step in plan.steps:
        if not step.task.strip():
            raise ValueError(f"step {step.id} has no task")
        if step.expert.removesuffix("_expert") not in experts.names:
            raise ValueError(f'step {step.id} names an expert "{step.expert[:40]}" that there is not')
    # what is no other step cannot be waited for: small models name themselves and steps they never wrote
    steps = tuple(
        msgspec.structs.replace(
            step, depends_on=tuple(one for one in step.depends_on if one in ids and one != step.id)
        )
        for step in plan.steps
    )
    try:
        TopologicalSorter({step.id: step.depends_on for step in steps}).prepare()
    except CycleError:
        raise ValueError("its steps depend on each other in a circle") from None
    return msgspec.structs.replace(plan, steps=steps)


def stored(plan: Plan) -> tuple[Planned, ...]:
    """Turn a plan into the steps that are stored."""
    return tuple(
        Planned(
            id=step.id,
            title=step.title.strip() or step.task.strip().splitlines()[0][:80],
            task=step.task,
            expert=step.expert.removesuffix("_expert"),
            depends_on=tuple(dict.fromkeys(step.depends_on)),
        )
        for step in plan.steps
    )


REVIEW = (
    "You review the work of experts before it is put together. Check each step's result against the task: is anything wrong,"
    " missing or contradicting another step? Small matters of taste are not problems."
    ' Answer with one JSON object: {"ok": true, "problems": []}'
    ' or {"ok": false, "problems": [{"step": "s1", "problem": "..."}]}'
)
COMBINE = (
    "You give the final answer to a task that experts worked on. Use their results; where they contradict each other, decide"
    " and say so. Answer the task directly and completely, without talking about experts, steps or this instruction."
)


def verdict_schema(ids: Sequence[str]) -> dict[str, Any]:
    """Write the shape of a verdict."""
    problem = _object(
        {"step": {"type": "string", "enum": list(ids)}, "problem": {"type": "string", "maxLength": 500}}
    )
    return _object(
        {"ok": {"type": "boolean"}, "problems": {"type": "array", "items": problem, "maxItems": len(ids)}}
    )


def affected(steps: Sequence[Planned], named: set[str]) -> set[str]:
    """Add every step that builds on one of those named."""
    found = set(named)
    for step in in_order(steps):
        if found.intersection(step.depends_on):
            found.add(step.id)
    return found


def in_order(steps: Sequence[Planned]) -> list[Planned]:
    """Put steps behind those they depend on."""
    by_id = {step.id: step for step in steps}
    return [by_id[one] for one in TopologicalSorter({s.id: s.depends_on for s in steps}).static_order()]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
