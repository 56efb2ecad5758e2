"""Plans that cannot be carried out are refused; simple tasks get none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_agents import planning
from nexus_agents.experts import Experts
from nexus_agents.planning import Plan, PlannedStep
from nexus_agents.settings import ExpertOverlay, File
from nexus_agents.trace import Planned

EXPERTS = Experts(File())


def step(id: str, *after: str, expert: str = "code", task: str = "do it") -> PlannedStep:
    return PlannedStep(id=id, task=task, expert=expert, depends_on=after)


@pytest.mark.parametrize(
    "task",
    [
        "Print the string OK",
        "Explain the architecture of this codebase",
        "What is 2 + 2?",
        "Hello there. How are you?",
    ],
)
def test_a_simple_task_is_answered_at_once(task: str):
    assert not planning.analyse(task, "t").needs_decomposition


@pytest.mark.parametrize(
    "task",
    [
        "1. Design an API\n2. Implement it\n3. Write tests\n4. Document it",
        "Compare three databases, then choose one and then write the migration; finally document the decision.",
        "First design the system. Then implement the parser. After that write tests. Finally deploy it with docker.",
    ],
)
def test_a_task_of_many_parts_is_planned(task: str):
    assert planning.analyse(task, "t").needs_decomposition


@given(st.text(max_size=500))
def test_every_task_can_be_judged(task: str):
    assert 1 <= planning.analyse(task, "t").complexity <= 10


def test_a_plan_that_can_be_carried_out_is_kept_as_it_is():
    plan = Plan(steps=(step("s1"), step("s2"), step("s3", "s1", "s2", expert="testing_expert")))
    stored = planning.stored(planning.checked(plan, EXPERTS, 6))
    assert [one.expert for one in stored] == ["code", "code", "testing"]


def test_a_dependency_on_what_is_no_other_step_is_left_out():
    plan = planning.checked(Plan(steps=(step("a", "a", "zzz"), step("b", "a", "zzz"))), EXPERTS, 6)
    assert [one.depends_on for one in plan.steps] == [(), ("a",)]


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ((), "0 steps"),
        (tuple(step(f"s{n}") for n in range(7)), "7 steps"),
        ((step("a"), step("a")), "same id"),
        ((step("a", "b"), step("b", "a")), "circle"),
        ((step("a", "c"), step("b", "a"), step("c", "b")), "circle"),
        ((step("a", expert="wizard"),), "wizard"),
        ((step("a", task="  "),), "no task"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(steps: tuple[PlannedStep, ...], wrong: str):
    with pytest.raises(ValueError, match=wrong):
        planning.checked(Plan(steps=steps), EXPERTS, 6)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=6))
def test_steps_come_behind_what_they_depend_on(links: list[set[int]]):
    # a step may only depend on earlier ones, so that there is no circle
    steps = [
        Planned(
            id=str(n),
            title="",
            task="",
            expert="code",
            depends_on=tuple(str(one) for one in sorted(after) if one < n),
        )
        for n, after in enumerate(links)
    ]
    seen = set[str]()
    for one in planning.in_order(steps):
        assert seen.issuperset(one.depends_on)
        seen.add(one.id)
    assert planning.affected(steps, {"0"}) >= {s.id for s in steps if "0" in s.depends_on}


def test_the_planner_knows_the_users_experts():
    experts = Experts(File(experts={"poet": ExpertOverlay(prompt="You rhyme.")}))
    assert "poet" in planning.question(experts, 6)
    assert (
        "poet" in planning.schema(experts, 6)["properties"]["steps"]["items"]["properties"]["expert"]["enum"]
    )
    assert experts.find("poet_expert").prompt == "You rhyme."


def test_the_ten_experts_of_the_seeds_are_there():
    assert [expert.role for expert in EXPERTS] == [
        f"{name}_expert"
        for name in (
            "code", "architecture", "security", "documentation", "testing", "devops", "research", "pm", "ux", "infrastructure",
        )
    ]  # fmt: skip
    assert all(expert.description and expert.capabilities for expert in EXPERTS)
