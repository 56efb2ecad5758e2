"""One run: planned, worked on in parallel, reviewed, put together, and always in the trace."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.fakes import Asked, Gateway, Told, custom, environment, failed, said
from nexus_agents.errors import Misuse, NoAdapter, UnknownModel, UnknownRun
from nexus_agents.options import OrchestrateOptions, Progress, Raised
from nexus_agents.results import Orchestration
from nexus_agents.services import Services

PLANNED = OrchestrateOptions(plan="always")


def plan(*steps: tuple[str, str, list[str]]) -> Told:
    rows = [
        {"id": id, "title": f"Title {id}", "task": f"TASK-{id}", "expert": expert, "depends_on": after}
        for id, expert, after in steps
    ]
    return said(msgspec.json.encode({"approach": "in steps", "steps": rows}).decode())


class Scripted:
    """Plays planner, experts, reviewer and synthesiser."""

    def __init__(self, planned: Told, *verdicts: str) -> None:
        self.planned = planned
        self.verdicts = list(verdicts)
        self.step: Callable[[str, Asked], Told] = lambda id, asked: said(f"RESULT-{id}")

    def __call__(self, asked: Asked) -> Told:
        system = asked.system
        if system.startswith("You plan work"):
            return self.planned
        if system.startswith("You review"):
            return said(self.verdicts.pop(0) if self.verdicts else '{"ok": true}')
        if system.startswith("You give the final answer"):
            return said("THE END")
        id = asked.text.partition("TASK-")[2][:2]
        return self.step(id, asked) if id else said("AT ONCE")


DIAMOND = plan(("s1", "code", []), ("s2", "testing", []), ("s3", "documentation", ["s1", "s2"]))


async def orchestrate(
    home: Path, gateway: Gateway, task: str = "a task", options: OrchestrateOptions = PLANNED, **environ: str
) -> Orchestration:
    async with Services(custom(home, gateway, **environ)) as services:
        return await services.orchestrate(task, options)


def kinds(done: Orchestration) -> list[str]:
    return [attempt.kind for attempt in done.trace]


async def test_a_simple_task_is_one_call(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        done = await orchestrate(tmp_path, gateway, "Print the string OK", OrchestrateOptions())
    assert (done.success, done.text, kinds(done)) == (True, "AT ONCE", ["answer"])
    assert (done.usage.input_tokens, done.usage.output_tokens) == (10, 5)
    assert done.routing is not None
    assert done.steps == ()


async def test_a_planned_task_goes_through_its_steps(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert (done.success, done.text) == (True, "THE END")
    assert [kinds(done)[0], sorted(kinds(done)[1:4]), kinds(done)[4:]] == [
        "plan",
        ["work"] * 3,
        ["verify", "synthesise"],
    ]
    assert [(step.id, step.status, step.output) for step in done.steps] == [
        (f"s{n}", "done", f"RESULT-s{n}") for n in (1, 2, 3)
    ]
    assert done.experts_used == ("code", "testing", "documentation")


async def test_a_step_sees_the_results_it_depends_on_and_no_others(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        await orchestrate(tmp_path, gateway)
    texts = {
        asked.text.partition("TASK-")[2][:2]: asked.text
        for asked in gateway.chats
        if asked.text.startswith("TASK-")
    }
    assert "RESULT" not in texts["s1"]
    assert "RESULT-s1" in texts["s3"]
    assert "RESULT-s2" in texts["s3"]


async def test_each_step_is_done_by_its_expert(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        await orchestrate(tmp_path, gateway)
    systems = {asked.text[:7]: asked.system for asked in gateway.chats}
    assert "software engineer" in systems["TASK-s1"]
    assert "test engineer" in systems["TASK-s2"]
    assert "technical writer" in systems["TASK-s3"]


async def test_independent_steps_run_at_the_same_time(tmp_path: Path):
    script = Scripted(plan(("s1", "code", []), ("s2", "code", []), ("s3", "code", [])))
    together = threading.Barrier(3, timeout=20)

    def step(id: str, _: Asked) -> Told:
        together.wait()  # nobody gets past it unless all three are asked at once
        return said(f"RESULT-{id}")

    script.step = step
    with Gateway(script).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert done.success


async def test_no_more_steps_run_at_once_than_allowed(tmp_path: Path):
    script = Scripted(plan(*((f"s{n}", "code", list[str]()) for n in range(1, 7))))
    third, lock, running, most = threading.Event(), threading.Lock(), 0, 0

    def step(id: str, _: Asked) -> Told:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                third.set()
        third.wait(0.3)  # long enough for a third to come, if one may
        with lock:
            running -= 1
        return said(f"RESULT-{id}")

    script.step = step
    with Gateway(script).listening() as gateway:
        done = await orchestrate(tmp_path, gateway, NEXUS_MAX_CONCURRENT_EXPERTS="2")
    assert (done.success, most) == (True, 2)


async def test_a_failing_step_stops_what_needs_it_and_nothing_else(tmp_path: Path):
    script = Scripted(
        plan(("s1", "code", []), ("s2", "code", []), ("s3", "code", ["s1"]), ("s4", "code", ["s2"]))
    )
    script.step = lambda id, asked: failed(400, "bad") if id == "s1" else said(f"RESULT-{id}")
    with Gateway(script).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert not done.success
    assert {step.id: step.status for step in done.steps} == {
        "s1": "failed",
        "s2": "done",
        "s3": "skipped",
        "s4": "done",
    }
    assert "bad" in str(done.error)


async def test_what_the_reviewer_finds_is_done_again_with_all_that_builds_on_it(tmp_path: Path):
    script = Scripted(DIAMOND, '{"ok": false, "problems": [{"step": "s1", "problem": "wrong unit"}]}')
    with Gateway(script).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    redone = [attempt.step for attempt in done.trace if attempt.kind == "redo"]
    assert redone == ["s1", "s3"]
    assert any("wrong unit" in asked.text and "RESULT-s1" in asked.text for asked in gateway.chats)
    assert done.success


async def test_results_are_reviewed_once(tmp_path: Path):
    wrong = '{"ok": false, "problems": [{"step": "s1", "problem": "still"}]}'
    with Gateway(Scripted(DIAMOND, wrong, wrong, wrong)).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert kinds(done).count("verify") == 1


async def test_a_reviewer_that_makes_no_sense_stops_nothing(tmp_path: Path):
    with Gateway(Scripted(DIAMOND, "hm", "hm")).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert done.success
    assert any("not reviewed" in warning for warning in done.warnings)


@pytest.mark.parametrize("nonsense", ["I cannot plan.", '{"steps": []}', '{"steps": [{"id": "a"}]}'])
async def test_a_model_that_cannot_plan_answers_at_once_after_one_more_try(tmp_path: Path, nonsense: str):
    with Gateway(Scripted(said(nonsense))).listening() as gateway:
        done = await orchestrate(tmp_path, gateway)
    assert (done.success, done.text, kinds(done)) == (True, "AT ONCE", ["plan", "plan", "answer"])
    assert any("not planned" in warning for warning in done.warnings)


async def test_the_planner_is_told_what_was_wrong(tmp_path: Path):
    with Gateway(Scripted(plan(("s1", "code", ["s2"]), ("s2", "code", ["s1"])))).listening() as gateway:
        await orchestrate(tmp_path, gateway)
    assert "in a circle" in gateway.chats[1].text


async def test_the_budget_ends_a_run_that_goes_on_with_a_larger_one(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            stopped = await services.orchestrate("a task", OrchestrateOptions(plan="always", max_calls=3))
            asked = len(gateway.chats)
            again = await services.resume(stopped.run_id)
            done = await services.resume(stopped.run_id, raised=Raised(max_calls=20))
    assert (stopped.success, stopped.error_kind, asked) == (False, "budget", 3)
    assert again.error_kind == "budget"
    assert (done.success, len(gateway.chats)) == (True, 6)


async def test_a_run_takes_no_longer_than_it_may(tmp_path: Path):
    hold = threading.Event()

    def slow(_: Asked) -> Told:
        hold.wait(20)
        return said("late")

    with Gateway(slow).listening() as gateway:
        done = await orchestrate(tmp_path, gateway, options=OrchestrateOptions(timeout=0.3))
        hold.set()
    assert not done.success
    assert done.error is not None


async def test_an_explicit_model_fails_rather_than_be_replaced(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        return failed(404, "gone") if asked.model == "a" else said("from b")

    from agents.fakes import listing

    with Gateway(answer, listing("a", "b")).listening() as gateway:
        alone = await orchestrate(tmp_path, gateway, options=OrchestrateOptions(model="a"))
        replaced = await orchestrate(tmp_path, gateway, options=OrchestrateOptions(model="a", fallback=True))
        with pytest.raises(UnknownModel):
            await orchestrate(tmp_path, gateway, options=OrchestrateOptions(model="c"))
    assert not alone.success
    assert (replaced.success, replaced.text) == (True, "from b")
    assert replaced.trace[0].model == "a"


async def test_context_reaches_the_model(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        await orchestrate(tmp_path, gateway, options=OrchestrateOptions(context={"file": "x.py"}))
    assert "x.py" in gateway.chats[0].text


async def test_one_expert_can_be_asked_alone(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            made = await services.create_expert("security_expert")
            done = await services.execute_expert(made.expert_id, "look at this")
            by_role = await services.execute_expert("security", "look at this")
    assert (done.status, done.role, by_role.role) == ("completed", "security_expert", "security_expert")
    assert "security engineer" in gateway.chats[0].system


async def test_progress_is_told(tmp_path: Path):
    told = list[Progress]()
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            await services.orchestrate("a task", PLANNED, told.append)
    assert [one.message.split()[0] for one in told] == ["planning", "s1", "s2", "s3", "reviewing", "putting"]
    assert (told[-1].done, told[-1].total) == (3, 3)


async def test_without_a_model_the_mock_says_that_it_is_one(tmp_path: Path):
    nobody = environment(tmp_path, NEXUS_LISTEN_ADDRESS="127.0.0.1:1")
    async with Services(nobody) as services:
        with pytest.raises(NoAdapter):
            await services.orchestrate("a task", OrchestrateOptions())
    async with Services({**nobody, "NEXUS_ALLOW_MOCK_ORCHESTRATION": "true"}) as services:
        done = await services.orchestrate("a task", OrchestrateOptions())
    assert done.mock
    assert "MOCK" in done.text
    async with Services({**nobody, "NEXUS_ALLOW_MOCK_ORCHESTRATION": "1"}) as services:
        with pytest.raises(NoAdapter):
            await services.orchestrate("a task", OrchestrateOptions())


async def test_the_mock_does_not_stand_before_a_real_model(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        done = await orchestrate(
            tmp_path, gateway, "hi", OrchestrateOptions(), NEXUS_ALLOW_MOCK_ORCHESTRATION="true"
        )
    assert not done.mock


async def test_agents_deep_below_agents_start_nothing(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        assert (await orchestrate(tmp_path, gateway, NEXUS_SUBPROCESS_DEPTH="1")).success
        with pytest.raises(Misuse, match="loop"):
            await orchestrate(tmp_path, gateway, NEXUS_SUBPROCESS_DEPTH="2")
    assert {asked.headers["x-nexus-depth"] for asked in gateway.chats} == {"2"}


@pytest.mark.parametrize("task", ["", "  ", "x" * 50_001, "\ud800"])
async def test_a_task_is_text_of_some_length(tmp_path: Path, task: str):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        with pytest.raises(Misuse):
            await orchestrate(tmp_path, gateway, task)


# resuming


async def test_a_failed_run_goes_on_where_it_stopped(tmp_path: Path):
    script = Scripted(DIAMOND)
    script.step = lambda id, asked: failed(400) if id == "s2" else said(f"RESULT-{id}")
    with Gateway(script).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            first = await services.orchestrate("a task", PLANNED)
            script.step = lambda id, asked: said(f"SECOND-{id}")
            done = await services.resume(first.run_id)
            with pytest.raises(Misuse, match="is done"):
                await services.resume(first.run_id)
    assert done.success
    assert [step.output for step in done.steps] == ["RESULT-s1", "SECOND-s2", "SECOND-s3"]
    assert kinds(done).count("plan") == 1
    assert done.usage.total > first.usage.total


async def test_what_was_reviewed_is_not_reviewed_again(tmp_path: Path):
    script, broken = Scripted(DIAMOND), [True]

    def answer(asked: Asked) -> Told:
        if asked.system.startswith("You give the final answer") and broken.pop():
            broken.append(False)
            return failed(400)
        return script(asked)

    with Gateway(answer).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            first = await services.orchestrate("a task", PLANNED)
            broken[:] = [False]
            done = await services.resume(first.run_id)
    assert (first.success, done.success, kinds(done).count("verify")) == (False, True, 1)


async def test_what_was_spent_before_still_counts(tmp_path: Path):
    script = Scripted(DIAMOND)
    script.step = lambda id, asked: failed(400)
    with Gateway(script).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            first = await services.orchestrate("a task", OrchestrateOptions(plan="always", max_calls=4))
            done = await services.resume(first.run_id)
    assert done.error_kind == "budget"


async def test_a_run_can_be_named_by_its_beginning(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.orchestrate("hi", OrchestrateOptions())
            assert (await services.trace(done.run_id[:-2])).run.run_id == done.run_id
            for wrong in ("nothing", "", "orch_%"):
                with pytest.raises(UnknownRun):
                    await services.trace(wrong)


async def test_a_run_that_was_cancelled_is_interrupted_and_goes_on(tmp_path: Path):
    script, hold, reached = Scripted(DIAMOND), threading.Event(), threading.Event()

    def step(id: str, _: Asked) -> Told:
        if id == "s2" and not hold.is_set():
            reached.set()
            hold.wait(20)
        return said(f"RESULT-{id}")

    script.step = step
    with Gateway(script).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            task = asyncio.create_task(services.orchestrate("a task", PLANNED))
            await asyncio.to_thread(reached.wait, 20)
            (running,) = await services.runs()
            assert running.status == "running"
            with pytest.raises(Misuse, match="going on"):
                await services.resume(running.run_id)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            hold.set()
            (stopped,) = await services.runs()
            assert stopped.status == "interrupted"
            assert (await services.resume(stopped.run_id)).success


async def test_events_can_be_chosen_and_limited(tmp_path: Path):
    with Gateway(Scripted(DIAMOND)).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.orchestrate("a task", PLANNED)
            attempts = await services.trace(done.run_id, "attempt", 2)
            everything = await services.trace(done.run_id)
    assert [event.type for event in attempts.events] == ["attempt", "attempt"]
    types = [event.type for event in everything.events]
    assert types[:3] == ["run_started", "attempt", "plan"]
    assert types[-1] == "run_done"
    assert [event.seq for event in everything.events] == list(range(1, len(types) + 1))


async def test_the_trace_holds_no_key(tmp_path: Path):
    with Gateway(
        lambda asked: failed(401, f"bad key {asked.headers['authorization']}")
    ).listening() as gateway:
        done = await orchestrate(tmp_path, gateway, "hi", OrchestrateOptions())
    written = msgspec.json.encode(done) + (tmp_path / "data" / "agents.db").read_bytes()
    written += b"".join(path.read_bytes() for path in (tmp_path / "data").glob("agents.db-*"))
    assert b"sk-custom-secret" not in written
    assert not done.success


# workflows


async def test_a_workflow_runs_its_own_steps(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        return said('{"ok": true}' if asked.system.startswith("You review") else "fine")

    with Gateway(answer).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            done = await services.run_workflow("bug-fix", {"bug": "IT-CRASHES", "code": "x = 1"})
    assert done.success
    assert [(step.id, step.status) for step in done.steps] == [
        ("cause", "done"),
        ("fix", "done"),
        ("test", "done"),
    ]
    assert "IT-CRASHES" in gateway.chats[0].text
    assert not any(asked.system.startswith("You plan") for asked in gateway.chats)


async def test_a_dry_run_asks_nobody(tmp_path: Path):
    async with Services(environment(tmp_path)) as services:
        done = await services.run_workflow("bug-fix", {"bug": "b", "code": "c"}, dry_run=True)
        assert [step.status for step in done.steps] == ["pending"] * 3
        assert len(services.workflows()) == 9


@pytest.mark.parametrize(
    ("template", "inputs", "wrong"),
    [
        ("nothing", {}, "no workflow"),
        ("bug-fix", {}, '"bug"'),
        ("bug-fix", {"bug": "b", "code": "c", "colour": "red"}, "colour"),
        ("../outside.toml", {}, "inside the working directory"),
        ("missing.toml", {}, "cannot be read"),
        ("broken.toml", {}, "broken"),
        ("circle.toml", {}, "circle"),
    ],
)
async def test_a_workflow_that_cannot_run_is_refused(
    tmp_path: Path, template: str, inputs: dict[str, Any], wrong: str
):
    (tmp_path / "broken.toml").write_text("steps = 7")
    step = '[[steps]]\nid = "{}"\ntask = "x"\nexpert = "code"\ndepends_on = ["{}"]\n'
    circle = 'description = "d"\ntask = "t"\n' + step.format("a", "b") + step.format("b", "a")
    (tmp_path / "circle.toml").write_text(circle)
    async with Services(environment(tmp_path), cwd=tmp_path) as services:
        with pytest.raises(Misuse, match=wrong):
            await services.run_workflow(template, inputs)


async def test_a_specification_is_done_section_by_section(tmp_path: Path):
    spec = "# A thing\nfor everyone\n## Design\nround\n## Tests\n```\n## no heading\n```\nmany\n"
    async with Services(environment(tmp_path)) as services:
        done = await services.execute_spec(spec, dry_run=True)
    assert [(step.title, step.expert, step.depends_on) for step in done.steps] == [
        ("Design", "architecture", ()),
        ("Tests", "testing", ("s1",)),
    ]


async def test_braces_in_an_input_are_left_alone(tmp_path: Path):
    with Gateway(lambda asked: said('{"ok": true}')).listening() as gateway:
        async with Services(custom(tmp_path, gateway)) as services:
            await services.run_workflow("bug-fix", {"bug": "{code} {0} {x.y}", "code": "def f(): return {}"})
    assert "{code} {0} {x.y}" in gateway.chats[0].text
