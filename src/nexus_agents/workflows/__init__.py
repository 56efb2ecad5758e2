"""Workflows: templates of steps, as data files; they run through the same loop as planned tasks."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from nexus_agents import planning
from nexus_agents.errors import Misuse
from nexus_agents.experts import Experts
from nexus_agents.results import WorkflowRow
from nexus_agents.trace import Planned

NAMES = (
    "code-review",
    "bug-fix",
    "feature-implementation",
    "refactoring",
    "security-audit",
    "test-generation",
    "documentation-update",
    "research-review",
    "infrastructure-audit",
)
LARGEST = 256 * 1024
MOST_STEPS = 20
_HEADING = re.compile(r"^(#{1,3})\s+(.+?)\s*#*$", re.M)
_BY_WORD = (
    ("security", "security"),
    ("test", "testing"),
    ("doc", "documentation"),
    ("deploy", "devops"),
    ("infrastructure", "infrastructure"),
    ("design", "architecture"),
    ("architect", "architecture"),
    ("research", "research"),
    ("require", "pm"),
    ("interface", "ux"),
)


class TemplateStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    task: str
    expert: str
    title: str = ""
    depends_on: tuple[str, ...] = ()


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template: its texts name inputs in braces."""

    name: str = ""
    description: str
    task: str
    steps: tuple[TemplateStep, ...]
    category: str = "general"
    keywords: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    optional: tuple[str, ...] = ()

    def shown(self) -> WorkflowRow:
        inputs = tuple(f"{name}?" if name in self.optional else name for name in self.inputs)
        return WorkflowRow(
            name=self.name,
            description=self.description,
            category=self.category,
            keywords=self.keywords,
            inputs=inputs,
        )

    def task_for(self, inputs: Mapping[str, Any]) -> str:
        return _filled(self.task, self._given(inputs))

    def steps_for(self, inputs: Mapping[str, Any], experts: Experts) -> tuple[Planned, ...]:
        """Fill in the steps.

        Raises:
            Misuse: an input is missing or unknown, or the template cannot be carried out.
        """
        given = self._given(inputs)
        steps = tuple(
            planning.PlannedStep(
                id=step.id,
                title=step.title,
                task=_filled(step.task, given),
                expert=step.expert,
                depends_on=step.depends_on,
            )
            for step in self.steps
        )
        for step in steps:
            if missing := sorted(
                set(step.depends_on) - {one.id for one in steps} | ({step.id} & set(step.depends_on))
            ):
                raise Misuse(f'Workflow {self.name} cannot be run: step {step.id} depends on "{missing[0]}".')
        try:
            plan = planning.checked(planning.Plan(steps=steps), experts, MOST_STEPS)
        except ValueError as error:
            raise Misuse(f"Workflow {self.name} cannot be run: {error}.") from None
        return planning.stored(plan)

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        if unknown := sorted(set(inputs) - set(self.inputs)):
            raise Misuse(
                f'Workflow {self.name} has no input "{unknown[0]}".', f"It has {', '.join(self.inputs)}."
            )
        given = {name: _text(inputs[name]) for name in self.inputs if name in inputs}
        missing = [name for name in self.inputs if not given.get(name) and name not in self.optional]
        if missing:
            raise Misuse(f'Workflow {self.name} needs "{missing[0]}": {self.inputs[missing[0]]}')
        return dict.fromkeys(self.inputs, "") | given


@cache
def built_in() -> dict[str, Workflow]:
    """Read every template that comes along."""
    return {
        name: _read(files("nexus_agents.workflows").joinpath(f"{name}.toml").read_bytes(), name)
        for name in NAMES
    }


def find(template: str, cwd: Path) -> Workflow:
    """Find a template by its name, or read a TOML file inside the working directory.

    Raises:
        Misuse: there is none, it lies elsewhere, or it is broken.
    """
    if template in built_in():
        return built_in()[template]
    if not template.endswith(".toml"):
        raise Misuse(f'There is no workflow "{template}".', f"There are {', '.join(NAMES)}.")
    path = (cwd / template).resolve()
    if not path.is_relative_to(cwd.resolve()):
        raise Misuse("A workflow's file has to lie inside the working directory.")
    try:
        if path.stat().st_size > LARGEST:
            raise Misuse(f"{template} is larger than {LARGEST // 1024} KiB.")
        return _read(path.read_bytes(), path.stem)
    except OSError as error:
        raise Misuse(f"{template} cannot be read: {error.strerror}.") from None


def from_spec(spec: str) -> tuple[Planned, ...]:
    """Make a step of each second-level section of a specification; without such sections it is left to a plan."""
    if not 1 <= len(spec.strip()) <= 50_000:
        raise Misuse("A specification has 1 to 50000 characters.")
    headings = [found for found in _HEADING.finditer(_without_fences(spec)) if len(found[1]) == 2]
    if not 2 <= len(headings) <= MOST_STEPS:
        return ()
    preamble = spec[: headings[0].start()].strip()
    ends = [*(found.start() for found in headings[1:]), len(spec)]
    steps = list[Planned]()
    for number, (found, end) in enumerate(zip(headings, ends, strict=True), 1):
        section = spec[found.start() : end].strip()
        text = f"Do what this section of a specification asks.\n\n{preamble}\n\n{section}".strip()
        before = (f"s{number - 1}",) if steps else ()
        steps.append(
            Planned(
                id=f"s{number}", title=found[2][:80], task=text, expert=_expert(found[2]), depends_on=before
            )
        )
    return tuple(steps)


def _read(data: bytes, name: str) -> Workflow:
    try:
        return msgspec.structs.replace(msgspec.toml.decode(data, type=Workflow), name=name)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"Workflow {name} is broken: {error}.") from None


def _filled(text: str, given: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: given.get(found[1], found[0]), text).strip()


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _without_fences(spec: str) -> str:
    """Blank out fenced code, so that a comment in it is no heading; every offset stays."""
    return re.sub(r"^```.*?^```", lambda found: re.sub(r"[^\n]", " ", found[0]), spec, flags=re.M | re.S)


def _expert(title: str) -> str:
    lowered = title.lower()
    return next((expert for word, expert in _BY_WORD if word in lowered), "code")
