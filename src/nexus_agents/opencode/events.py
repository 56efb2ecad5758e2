"""What `opencode run --format json` prints: one event a line, read into one outcome."""

from collections.abc import Iterable

import msgspec

from nexus_agents.adapters.base import Usage


class _Cache(msgspec.Struct, frozen=True):
    read: int = 0
    write: int = 0


class _Tokens(msgspec.Struct, frozen=True):
    total: int = 0
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache: _Cache = _Cache()


class _State(msgspec.Struct, frozen=True):
    status: str = ""


class _Part(msgspec.Struct, frozen=True):
    text: str = ""
    tool: str = ""
    state: _State = _State()
    reason: str = ""
    cost: float = 0.0
    tokens: _Tokens = _Tokens()


class _Detail(msgspec.Struct, frozen=True, rename="camel"):
    message: str = ""
    status_code: int | None = None


class _Error(msgspec.Struct, frozen=True):
    name: str = ""
    data: _Detail | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    part: _Part = _Part()
    error: _Error | None = None


class Failure(msgspec.Struct, frozen=True):
    """An error event."""

    name: str
    message: str
    status: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    text: str = ""
    """What was said after the last tool was used; the answer."""
    transcript: tuple[str, ...] = ()
    """Everything said."""
    thinking: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    """Each tool used, and `completed` or `error`."""
    finish: str = ""
    """The reason of the last step; empty where it never finished."""
    usage: Usage = Usage()
    """Of all steps; what came from a cache and what was thought is counted."""
    cost_usd: float = 0.0
    failure: Failure | None = None
    skipped: int = 0
    """Lines that are no events."""


_decoder = msgspec.json.Decoder(_Event)


def read(stdout: bytes) -> Outcome:
    """Read everything a run printed; a line that is no event, or was cut, is counted and passed over."""
    events, skipped = list[_Event](), 0
    for line in stdout.splitlines():
        if not line.strip():
            continue
        try:
            events.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            skipped += 1
    steps = [event.part for event in events if event.type == "step_finish"]
    used = [at for at, event in enumerate(events) if event.type == "tool_use"]
    last = used[-1] if used else -1
    said = [(at, event.part.text) for at, event in enumerate(events) if event.type == "text"]
    failures = [event.error for event in events if event.type == "error" and event.error is not None]
    return Outcome(
        text=_joined(text for at, text in said if at > last),
        transcript=tuple(text for _, text in said),
        thinking=_joined(event.part.text for event in events if event.type == "reasoning"),
        tools=tuple((events[at].part.tool, events[at].part.state.status) for at in used),
        finish=_finish(events),
        usage=sum((_usage(step.tokens) for step in steps), Usage()),
        cost_usd=sum(step.cost for step in steps),
        failure=_failure(failures[-1]) if failures else None,
        skipped=skipped,
    )


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(text.strip() for text in texts if text.strip())


def _finish(events: list[_Event]) -> str:
    """A step begun after the last finished one never came to its end."""
    for event in reversed(events):
        if event.type == "step_finish":
            return event.part.reason
        if event.type == "step_start":
            return ""
    return ""


def _usage(tokens: _Tokens) -> Usage:
    """Count a step. Whether `output` has the thoughts in it differs: in OpenCode 1.2 it has, in 1.18 not; the total tells."""
    given = tokens.input + tokens.cache.read + tokens.cache.write
    whole = tokens.total in (given + tokens.output, tokens.input + tokens.output)
    return Usage(input_tokens=given, output_tokens=tokens.output + (0 if whole else tokens.reasoning))


def _failure(error: _Error) -> Failure:
    detail = error.data or _Detail()
    return Failure(error.name, detail.message or error.name, detail.status_code)
