"""One line a request, for a person or for a machine, without a secret in it."""

import io
import logging
from collections.abc import Generator

import msgspec
import pytest

from nexus.telemetry import access, logs
from nexus.telemetry.logs import Level, Style
from nexus.telemetry.records import RequestRecord, Tokens, ToolRecord, UsageRecord

KEY = "sk-proj-0123456789abcdefghij"
CALL = UsageRecord(
    duration=0.8,
    error=None,
    time=0.0,
    operation="chat.completions",
    asked="up/gpt-4o",
    provider="up",
    served="gpt-4o-2024",
    tokens=Tokens(120, 48),
    first_token=0.2103,
    finish="stop",
)


def record(
    work: UsageRecord | ToolRecord | None = CALL, route: str = "/v1/chat", **more: object
) -> RequestRecord:
    made = RequestRecord(1.5, "POST", route, 200, 0.8124, "alice", "pro", work)
    return msgspec.structs.replace(made, **more)


@pytest.fixture
def restored() -> Generator[None]:
    root, nexus = logging.getLogger(), logging.getLogger("nexus")
    before = (root.handlers[:], root.level, nexus.level)
    yield
    root.handlers[:], level, mine = before
    root.setLevel(level)
    nexus.setLevel(mine)
    logging.disable(logging.NOTSET)


def test_a_person_reads_what_matters_in_one_line() -> None:
    assert access.text(record()) == (
        "POST /v1/chat 200 812.4ms model=up/gpt-4o provider=up tokens=120+48 first=210.3ms client=alice"
    )


def test_a_path_that_leads_nowhere_is_told() -> None:
    lost = record(None, route="unknown", path="/v1/chat/completions", status=404)
    assert access.text(lost) == "POST unknown 404 812.4ms path=/v1/chat/completions client=alice"
    assert access.fields(lost)["path"] == "/v1/chat/completions"
    assert "path" not in access.fields(record())


def test_a_tool_is_named_in_full() -> None:
    run = ToolRecord(0.1, None, "tools/call", "adder", server="math")
    assert " tools/call tool=math__adder " in access.text(record(run))
    failed = ToolRecord(0.1, "method_not_found", "tools/call", "math__none")
    assert access.text(record(failed)).endswith(
        "tools/call tool=math__none error=method_not_found client=alice"
    )


def test_what_a_client_names_is_redacted_everywhere() -> None:
    call = msgspec.structs.replace(CALL, asked=f"up/{KEY}", served=KEY)
    tool = ToolRecord(0.1, None, "tools/call", KEY)
    for one in (record(call, client=KEY), record(tool, client=KEY)):
        assert KEY not in access.text(one) + str(access.fields(one)) + str(access.line(one))


@pytest.mark.usefixtures("restored")
def test_lines_look_as_the_log_does() -> None:
    out = io.StringIO()
    logs.setup(Level.INFO, Style.JSON, out)
    log = access.wanted({"/health"})
    assert log is not None
    log.take([record(trace_id=1, span_id=2), record(route="/health"), record(None)])
    first, second = (msgspec.json.decode(line) for line in out.getvalue().splitlines())
    assert first == {
        "time": "1970-01-01T00:00:02.312400Z",
        "level": "info",
        "message": access.text(record()),
        "method": "POST",
        "route": "/v1/chat",
        "status": 200,
        "duration": 0.8124,
        "client": "alice",
        "group": "pro",
        "trace_id": "00000000000000000000000000000001",
        "span_id": "0000000000000002",
        "model": "up/gpt-4o",
        "served": "gpt-4o-2024",
        "provider": "up",
        "first_token": 0.2103,
        "input_tokens": 120,
        "output_tokens": 48,
        "finish_reason": "stop",
    }
    assert "model" not in second


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("level", [Level.OFF, Level.ERROR, Level.WARN])
def test_below_info_there_are_none(level: Level) -> None:
    logs.setup(level, Style.TEXT, io.StringIO())
    assert access.wanted(()) is None


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("style", list(Style))
def test_every_line_and_its_exception_are_redacted(style: Style) -> None:
    out = io.StringIO()
    logs.setup(Level.INFO, style, out)
    logger = logging.getLogger("nexus.test")
    logger.warning("refused %s", KEY)
    said = f"Authorization: Bearer {KEY}"
    try:
        raise ValueError(said)
    except ValueError:
        logger.exception("it failed")
    assert KEY not in out.getvalue()
    assert out.getvalue().count("[redacted]") == 2
