"""The adapter with a program that stands for OpenCode: how it is called, and what comes of what it prints."""

import asyncio
import os
from pathlib import Path

import pytest

from agents.fake_opencode import LISTED, RUNS, FakeOpenCode, played
from nexus_agents.adapters.base import Completion, Message, Prompt, Usage
from nexus_agents.errors import AdapterError, Kind
from nexus_agents.opencode import OpenCode, process
from nexus_agents.opencode.inventory import FRESH

OPUS = "custom/claude-opus-4-5"
CONFIG = '{"provider": {"custom": {"options": {"apiKey": "{env:CUSTOM_API_KEY}"}}}} // mine'


@pytest.fixture
def fake(tmp_path: Path) -> FakeOpenCode:
    return FakeOpenCode(tmp_path / "bin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "inner").mkdir(parents=True)
    (tmp_path / "project" / "opencode.jsonc").write_text(CONFIG)
    return tmp_path / "project"


@pytest.fixture
def adapter(fake: FakeOpenCode, project: Path, tmp_path: Path) -> OpenCode:
    return OpenCode(surroundings(fake, tmp_path), project)


def surroundings(fake: FakeOpenCode, tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": fake.path,
        "HOME": str(tmp_path / "home"),
        "CUSTOM_API_KEY": "sk-custom-secret",
        "AWS_SECRET_ACCESS_KEY": "unrelated",
        **more,
    }


def prompt(text: str = "Say OK; $(rm -rf /)", **more: object) -> Prompt:
    messages = (Message(role="system", text="Be brief."), Message(role="user", text=text))
    return Prompt(**{"messages": messages, "model": OPUS, "timeout": 20.0, **more})  # pyright: ignore[reportArgumentType] options of the test


async def failure(adapter: OpenCode, prompt: Prompt) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await adapter.complete(prompt)
    return caught.value


async def test_the_prompt_goes_to_stdin_and_the_model_to_the_arguments(
    adapter: OpenCode, fake: FakeOpenCode, project: Path
) -> None:
    await adapter.complete(prompt())
    (call,) = fake.runs
    assert call["argv"] == [
        "run", "--format", "json", "--dir", str(project), "--title", "nexus-agents", "--model", OPUS,
    ]  # fmt: skip
    assert call["stdin"] == "Be brief.\n---\nSay OK; $(rm -rf /)"
    assert call["cwd"] == call["env"]["PWD"] == str(project)


async def test_the_key_the_configuration_names_is_handed_on_and_no_other(
    adapter: OpenCode, fake: FakeOpenCode
) -> None:
    await adapter.complete(prompt())
    environ = fake.runs[0]["env"]
    assert environ["CUSTOM_API_KEY"] == "sk-custom-secret"
    assert "AWS_SECRET_ACCESS_KEY" not in environ
    assert environ["NEXUS_SUBPROCESS_DEPTH"] == "1"
    assert '"*":"deny"' in environ["OPENCODE_PERMISSION"]


async def test_edits_are_allowed_only_when_asked(adapter: OpenCode, fake: FakeOpenCode) -> None:
    await adapter.complete(prompt(allow_edits=True))
    assert "OPENCODE_PERMISSION" not in fake.runs[0]["env"]


@pytest.mark.parametrize("variant", ["high", "max", "minimal"])
async def test_a_variant_of_the_list_is_handed_on(
    adapter: OpenCode, fake: FakeOpenCode, variant: str
) -> None:
    answer = await adapter.complete(prompt(variant=variant))
    assert fake.runs[0]["argv"][-2:] == ["--variant", variant]
    assert answer.warnings == ()


@pytest.mark.parametrize("variant", ["; rm", "HIGH", "", "--auto", "high "])
async def test_any_other_variant_is_left_out_and_told(
    adapter: OpenCode, fake: FakeOpenCode, variant: str
) -> None:
    answer = await adapter.complete(prompt(variant=variant))
    assert "--variant" not in fake.runs[0]["argv"]
    assert "variant" in answer.warnings[0]


async def test_thinking_is_shown_only_for_true(adapter: OpenCode, fake: FakeOpenCode) -> None:
    answer = await adapter.complete(prompt(thinking=True))
    await adapter.complete(prompt(thinking="true"))
    assert answer.thinking == "I think so"
    assert ["--thinking" in call["argv"] for call in fake.runs] == [True, False]


async def test_an_answer_has_text_model_and_usage(adapter: OpenCode, fake: FakeOpenCode) -> None:
    fake.plan(played("tools"))
    assert await adapter.complete(prompt()) == Completion(
        text="The file says hi.", model=OPUS, usage=Usage(input_tokens=4657, output_tokens=19)
    )


async def test_a_working_directory_inside_the_root_is_used(
    adapter: OpenCode, fake: FakeOpenCode, project: Path
) -> None:
    await adapter.complete(prompt(work_dir="inner"))
    assert fake.runs[0]["cwd"] == str(project / "inner")


@pytest.mark.parametrize(
    "work_dir", ["..", "/", "/etc", "inner/../..", "link", "missing", "opencode.jsonc", "--help"]
)
async def test_any_other_working_directory_is_refused(
    adapter: OpenCode, fake: FakeOpenCode, project: Path, work_dir: str
) -> None:
    (project / "link").symlink_to("/")
    error = await failure(adapter, prompt(work_dir=work_dir))
    assert error.kind is Kind.INVALID
    assert fake.runs == []


async def test_a_model_that_is_not_listed_is_never_replaced(adapter: OpenCode, fake: FakeOpenCode) -> None:
    error = await failure(adapter, prompt(model="custom/claude-opus-4"))
    assert error.kind is Kind.NOT_FOUND
    assert OPUS in error.cure
    assert fake.runs == []


async def test_models_that_cannot_be_listed_leave_a_warning(adapter: OpenCode, fake: FakeOpenCode) -> None:
    fake.plan(models=None)
    answer = await adapter.complete(prompt())
    assert "not checked" in answer.warnings[0]


async def test_a_model_that_looks_like_an_option_is_never_handed_on(
    adapter: OpenCode, fake: FakeOpenCode
) -> None:
    fake.plan(models=None)
    error = await failure(adapter, prompt(model="--dir=/"))
    assert error.kind is Kind.NOT_FOUND
    assert fake.runs == []


def listings(fake: FakeOpenCode) -> int:
    return [call["argv"] for call in fake.calls].count(["models"])


async def test_models_are_listed_once_for_many_calls(adapter: OpenCode, fake: FakeOpenCode) -> None:
    await asyncio.gather(*(adapter.complete(prompt()) for _ in range(3)))
    assert [listed.id for listed in await adapter.models()] == list(LISTED)
    assert listings(fake) == 1


async def test_the_next_command_believes_the_list_for_a_while(
    fake: FakeOpenCode, project: Path, tmp_path: Path
) -> None:
    now = 1000.0

    def another(**more: str) -> OpenCode:
        return OpenCode(surroundings(fake, tmp_path, **more), project, clock=lambda: now)

    await another().models()
    await another().models()
    assert listings(fake) == 1
    await another(OPENAI_API_KEY="k").models()
    assert listings(fake) == 2, "another key may bring other models"
    (project / "opencode.jsonc").write_text("{}")
    await another().models()
    assert listings(fake) == 3, "other settings may bring other models"
    now += FRESH + 1
    await another().models()
    assert listings(fake) == 4


async def test_a_model_that_is_new_is_found_at_once(adapter: OpenCode, fake: FakeOpenCode) -> None:
    await adapter.models()
    fake.plan(models=("custom/new",))
    assert (await adapter.complete(prompt(model="custom/new"))).model == "custom/new"


async def test_a_kept_list_that_is_broken_costs_only_time(
    adapter: OpenCode, fake: FakeOpenCode, tmp_path: Path
) -> None:
    await adapter.models()
    (kept,) = tmp_path.rglob("opencode-models.json")
    assert "sk-custom-secret" not in kept.read_text()
    kept.write_text("{")
    assert len(await adapter.models()) == 3
    kept.unlink()
    kept.mkdir()
    assert len(await adapter.models()) == 3
    assert listings(fake) == 3


async def test_without_a_model_opencode_takes_its_own(
    adapter: OpenCode, fake: FakeOpenCode, project: Path
) -> None:
    (project / "opencode.json").write_text('{"model": "custom/default"}')
    answer = await adapter.complete(prompt(model=""))
    assert "--model" not in fake.runs[0]["argv"]
    assert answer.model == "custom/default"


async def test_an_error_of_the_gateway_keeps_its_kind_and_loses_its_key(
    adapter: OpenCode, fake: FakeOpenCode
) -> None:
    text = (RUNS / "unauthorized.ndjson").read_text().replace("sk-abc", "sk-custom-secret")
    fake.plan({"stdout": text, "code": 1})
    error = await failure(adapter, prompt())
    assert (error.kind, error.status) == (Kind.AUTHENTICATION, 401)
    assert "sk-custom-secret" not in str(error)


def event(message: str, status: int | None = None) -> dict[str, object]:
    more = f',"statusCode":{status}' if status else ""
    return {
        "stdout": f'{{"type":"error","error":{{"name":"E","data":{{"message":"{message}"{more}}}}}}}',
        "code": 1,
    }


KINDS = [
    (event("x", 429), Kind.RATE_LIMITED),
    (event("x", 402), Kind.PAYMENT),
    (event("x", 404), Kind.NOT_FOUND),
    (event("x", 503), Kind.SERVER),
    (event("x", 504), Kind.TIMEOUT),
    (event("x", 400), Kind.INVALID),
    (event("Model not found: custom/x"), Kind.NOT_FOUND),
    (event("connect ECONNREFUSED 127.0.0.1:1"), Kind.CONNECTION),
    (event("whatever"), Kind.GARBAGE),
    ({"code": 1, "stderr": "\n\nInvalid API key\nmore"}, Kind.AUTHENTICATION),
    ({"code": 137}, Kind.SERVER),
    ({"code": 143}, Kind.SERVER),
    ({"code": 3}, Kind.GARBAGE),
    ({"stdout": "Welcome to OpenCode, this is a long banner of plain text."}, Kind.GARBAGE),
    ({"stdout": '{"type":"text","part":{"text":"no end"}}'}, Kind.GARBAGE),
    ({"stdout": '{"type":"text","part":{"text":"t"}}\n{"type":"step_finish","part":{"reason":"tool-calls"}}'}, Kind.GARBAGE),
    ({"stdout": '{"type":"tool_use","part":{"tool":"read"}}\n{"type":"step_finish","part":{"reason":"stop"}}'}, Kind.GARBAGE),
    ({"stdout": '{"type":"step_finish","part":{"reason":"stop"}}'}, Kind.GARBAGE),
    (played("unknown_model", code=1), Kind.GARBAGE),
    (played("unknown_model_1_2"), Kind.NOT_FOUND),
    (played("thinking", code=1), Kind.GARBAGE),
]  # fmt: skip


@pytest.mark.parametrize(("turn", "kind"), KINDS, ids=range(len(KINDS)))
async def test_what_is_no_answer_is_a_failure_of_its_kind(
    adapter: OpenCode, fake: FakeOpenCode, turn: dict[str, object], kind: Kind
) -> None:
    fake.plan(turn)
    assert (await failure(adapter, prompt())).kind is kind


async def test_a_missing_program_is_told_with_a_cure(project: Path) -> None:
    error = await failure(OpenCode({"PATH": "/nonexistent"}, project), prompt())
    assert "No model adapter configured" in str(error)
    assert "Install OpenCode" in str(error)


async def test_a_program_that_cannot_be_started_is_told(fake: FakeOpenCode, adapter: OpenCode) -> None:
    (fake.directory / "opencode").write_text("#!/nonexistent/interpreter\n")
    assert (await failure(adapter, prompt(model=""))).kind is Kind.NOT_FOUND


@pytest.mark.parametrize("depth", ["2", "3", "x"])
async def test_agents_do_not_run_agents_without_end(
    fake: FakeOpenCode, project: Path, tmp_path: Path, depth: str
) -> None:
    deep = OpenCode(surroundings(fake, tmp_path, NEXUS_SUBPROCESS_DEPTH=depth), project)
    assert (await failure(deep, prompt())).kind is Kind.INVALID
    assert fake.calls == []


async def test_the_version_is_asked(adapter: OpenCode) -> None:
    assert await adapter.version() == "1.2.15"


async def gone(pid: int) -> None:
    """Wait until a process is no more, or dead and not yet collected by whoever inherited it."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it still runs")


async def test_a_run_out_of_time_ends_with_everything_it_started(
    adapter: OpenCode, fake: FakeOpenCode
) -> None:
    fake.plan({"hang": "yes", "child": True})
    await adapter.models()
    error = await failure(adapter, prompt(timeout=2.0))
    assert error.kind is Kind.TIMEOUT
    for name in ("hanging", "child.pid"):
        await gone(int((fake.directory / name).read_text()))


async def test_a_run_that_ignores_the_request_to_end_is_ended(fake: FakeOpenCode, tmp_path: Path) -> None:
    fake.plan({"hang": "stubborn"})
    with pytest.raises(TimeoutError):
        await process.run(
            [str(fake.directory / "opencode"), "run"],
            environ={"PATH": "/bin"},
            directory=tmp_path,
            timeout=2,
            grace=0.2,
        )
    await gone(int((fake.directory / "hanging").read_text()))


async def test_a_cancelled_call_ends_its_process(adapter: OpenCode, fake: FakeOpenCode) -> None:
    fake.plan({"hang": "yes"})
    call = asyncio.create_task(adapter.complete(prompt()))
    while not (fake.directory / "hanging").exists():
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gone(int((fake.directory / "hanging").read_text() or os.getpid()))


async def test_what_a_run_leaves_behind_is_ended_with_it(adapter: OpenCode, fake: FakeOpenCode) -> None:
    fake.plan(played("thinking", child=True))
    await adapter.complete(prompt())
    await gone(int((fake.directory / "child.pid").read_text()))


async def test_a_program_that_prints_without_end_is_stopped(adapter: OpenCode, fake: FakeOpenCode) -> None:
    fake.plan({"stdout": "x" * (process.MOST + 70_000)})
    error = await failure(adapter, prompt(model=""))
    assert error.kind is Kind.GARBAGE
    assert "10 MiB" in str(error)
