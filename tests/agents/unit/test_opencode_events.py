"""What real runs of OpenCode printed, and what cut and odd ones would."""

import pytest

from agents.fake_opencode import RUNS
from nexus_agents.adapters.base import Usage
from nexus_agents.opencode.events import Failure, read


def recorded(name: str) -> bytes:
    return (RUNS / f"{name}.ndjson").read_bytes()


def test_a_run_of_one_step_is_read() -> None:
    outcome = read(recorded("thinking"))
    assert outcome.text == "Hello from the mock."
    assert outcome.thinking == "I think so"
    assert outcome.finish == "stop"
    assert outcome.failure is None
    assert outcome.skipped == 0


def test_the_answer_is_what_was_said_after_the_last_tool() -> None:
    outcome = read(recorded("tools"))
    assert outcome.text == "The file says hi."
    assert outcome.transcript == ("Let me look.", "The file says hi.")
    assert outcome.tools == (("read", "completed"),)


def test_usage_is_summed_over_steps() -> None:
    assert read(recorded("tools")).usage == Usage(input_tokens=2313 + 2344, output_tokens=14 + 5)


STEP = '{"type":"step_finish","part":{"reason":"stop","cost":0.25,"tokens":%s}}\n'
TOKENS = [
    ('{"input":1,"output":2,"reasoning":4,"cache":{"read":8,"write":16}}', 25, 6),
    ('{"total":17,"input":7,"output":6,"reasoning":4,"cache":{"read":0,"write":0}}', 7, 10),
    ('{"total":17,"input":7,"output":10,"reasoning":4,"cache":{"read":0,"write":0}}', 7, 10),
    ('{"total":27,"input":7,"output":10,"reasoning":4,"cache":{"read":10,"write":0}}', 17, 10),
]


@pytest.mark.parametrize(("tokens", "given", "said"), TOKENS)
def test_caches_and_thoughts_are_counted_once(tokens: str, given: int, said: int) -> None:
    """The second and third are what OpenCode 1.18 and 1.2 print for the same answer of a gateway."""
    outcome = read((STEP % tokens).encode() * 2)
    assert outcome.usage == Usage(input_tokens=2 * given, output_tokens=2 * said)
    assert outcome.cost_usd == 0.5


def test_a_tool_that_was_denied_is_told() -> None:
    outcome = read(recorded("denied"))
    assert outcome.tools == (("bash", "error"),)
    assert outcome.text == "done bash"


def test_an_error_is_a_failure_with_its_status() -> None:
    outcome = read(recorded("unauthorized"))
    assert outcome.failure == Failure("APIError", "bad key sk-abc", 401)
    assert outcome.text == ""


def test_an_error_without_details_keeps_its_name() -> None:
    assert read(b'{"type":"error","error":{"name":"X"}}').failure == Failure("X", "X", None)


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_a_cut_last_line_leaves_the_run_unfinished(cut: int) -> None:
    whole = recorded("tools").rstrip(b"\n")
    outcome = read(whole[:-cut])
    assert outcome.finish == ""
    assert outcome.transcript[0] == "Let me look."


def test_lines_that_are_no_events_are_counted() -> None:
    noise = b'Welcome!\n[1]\n{"no":"type"}\n\xff\xfe\n\n{"type":"step_finish","part":{"tokens":"many"}}\n'
    assert read(noise + recorded("thinking")).skipped == 5


def test_unknown_events_and_fields_are_passed_over() -> None:
    outcome = read(b'{"type":"done","reason":"idle","rejected":[]}\n' + recorded("thinking"))
    assert outcome.text == "Hello from the mock."
    assert outcome.skipped == 0


def test_nothing_is_nothing() -> None:
    outcome = read(b"")
    assert (outcome.text, outcome.finish, outcome.usage) == ("", "", Usage())
