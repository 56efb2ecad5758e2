"""What clients ask, and how each tells that it got its own answer, all of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.soak import vendors

_decode = msgspec.json.decode
OPENAI, ANTHROPIC = "/llm/openai/v1", "/llm/anthropic/v1"
FAULTS = ("slow", "reset", "hangup", "stall", "busy", "broken", "cut", "hush", "garbage")


class Wrong(Exception):
    """An answer of success does not hold what was asked for."""


class Broken(Exception):
    """A stream said in its own words that it failed."""


class ToolFailed(Exception):
    """A tool call was answered with an error."""


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    name: str
    path: str
    body: Callable[[int, str, int], dict[str, object]]
    read: Callable[[bytes], object]
    """What an answer holds."""
    answer: Callable[[int, int], object]
    """What it should hold."""
    stream: bool = False
    faults: Sequence[str] = ()
    """What may be done to it upstream."""
    may: frozenset[str] = frozenset()
    """Outcomes that are right at any time."""
    share: int = 10
    """How often it is asked, beside the others."""

    def message(self, number: int, fault: str, words: int) -> bytes:
        """Write the request."""
        body = msgspec.json.encode(self.body(number, fault, words))
        method = "POST" if self.body is not _nothing else "GET"
        more = "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-06-18\r\n"
        head = f"{method} {self.path} HTTP/1.1\r\nhost: soak\r\nx-client-id: client-{number % 50}\r\n{more}"
        if method == "GET":
            return f"{head}\r\n".encode()
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def check(self, body: bytes, number: int, words: int) -> None:
        """See whether an answer is the right one.

        Raises:
            Wrong: it is not.
            Broken: it says of itself that it is not whole.
            ToolFailed: it says that the tool could not be run.
        """
        try:
            seen = self.read(body)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Wrong(f"unreadable ({error!r}): {body[:200]!r}") from error
        if seen != self.answer(number, words):
            raise Wrong(f"{seen!r:.200} instead of {self.answer(number, words)!r:.200}")


def _chat(
    model: str, *, stream: bool = False, **more: object
) -> Callable[[int, str, int], dict[str, object]]:
    def body(number: int, fault: str, words: int) -> dict[str, object]:
        messages = [{"role": "user", "content": f"soak {number} {fault} {words}"}]
        asked = {"stream": True} if stream else {}
        return {"model": model, "messages": messages, **asked, **more}

    return body


def _embed(number: int, fault: str, words: int) -> dict[str, object]:
    return {"model": "openai/embedder", "input": f"soak {number} {fault} {words}"}


def _call(name: str, **arguments: object) -> Callable[[int, str, int], dict[str, object]]:
    def body(number: int, _fault: str, words: int) -> dict[str, object]:
        given = arguments or {"name": name, "arguments": {"a": number, "b": words}}
        params = {"name": "search" if arguments else "execute", "arguments": given}
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}

    return body


def _nothing(_number: int, _fault: str, _words: int) -> dict[str, object]:
    return {}


def _events(body: bytes) -> list[Any]:
    """Decode the data of a stream; what is no JSON stays as it is."""
    found = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [_decode(one) if one.startswith(b"{") else one for one in found]


def _openai_stream(body: bytes) -> str:
    *events, last = _events(body)
    if any("error" in event for event in events):
        raise Broken
    choices = [choice for event in events for choice in event["choices"]]
    if last != b"[DONE]" or not any(choice.get("finish_reason") == "stop" for choice in choices):
        raise Wrong(f"a stream without an end: {body[-200:]!r}")
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _anthropic_stream(body: bytes) -> str:
    events = _events(body)
    if any(event["type"] == "error" for event in events):
        raise Broken
    if events[-1]["type"] != "message_stop":
        raise Wrong(f"a stream without an end: {body[-200:]!r}")
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


def _openai_text(body: bytes) -> str:
    return _decode(body)["choices"][0]["message"]["content"]


def _anthropic_text(body: bytes) -> str:
    return _decode(body)["content"][0]["text"]


def _tool_text(body: bytes) -> str:
    said = _decode(body) if body.startswith(b"{") else _events(body)[-1]
    if "error" in said:
        raise ToolFailed(str(said["error"]))
    if said["result"].get("isError"):
        raise ToolFailed(said["result"]["content"][0]["text"])
    return "\n".join(part["text"] for part in said["result"]["content"])


def _found(body: bytes) -> bool:
    said = _tool_text(body)
    if "pipe__add" not in said or "web__add" not in said:
        raise ToolFailed(f"not found: {said[:200]}")
    return True


def _yes(_number: int, _words: int) -> bool:
    return True


def _healthy(_number: int, _words: int) -> str:
    return "healthy"


def _sum(number: int, words: int) -> str:
    return str(number + words)


def _chats() -> list[Kind]:
    """Pair each protocol of clients with each vendor, whole and streamed."""
    made: list[Kind] = []
    for client, path, whole, streamed, more in (
        ("chat", f"{OPENAI}/chat/completions", _openai_text, _openai_stream, {}),
        ("messages", f"{ANTHROPIC}/messages", _anthropic_text, _anthropic_stream, {"max_tokens": 512}),
    ):
        for model in ("openai/gpt-4o", "anthropic/claude", "google/gemini"):
            for stream, read in ((False, whole), (True, streamed)):
                name = f"{client} to {model.partition('/')[0]}{', streamed' if stream else ''}"
                body = _chat(model, stream=stream, **more)
                made.append(Kind(name, path, body, read, vendors.text, stream=stream, faults=FAULTS))
    return made


KINDS = (
    *_chats(),
    Kind(
        "chat, limited",
        f"{OPENAI}/chat/completions",
        _chat("openai/small"),
        _openai_text,
        vendors.text,
        may=frozenset({"status 429"}),
        share=5,
    ),
    Kind(
        "embeddings",
        f"{OPENAI}/embeddings",
        _embed,
        lambda body: _decode(body)["data"][0]["embedding"],
        vendors.vector,
        faults=FAULTS,
    ),
    Kind(
        "count_tokens, asked",
        f"{ANTHROPIC}/messages/count_tokens",
        _chat("anthropic/claude"),
        lambda body: _decode(body)["input_tokens"],
        lambda number, _: vendors.counted(number),
        faults=("slow",),
        share=5,
    ),
    Kind(
        "count_tokens, estimated",
        f"{ANTHROPIC}/messages/count_tokens",
        _chat("openai/gpt-4o"),
        lambda body: _decode(body)["input_tokens"] > 5,
        _yes,
        share=5,
    ),
    Kind("tool over a pipe", "/mcp", _call("pipe__add"), _tool_text, _sum),
    Kind("tool over HTTP", "/mcp", _call("web__add"), _tool_text, _sum),
    Kind("search of tools", "/mcp", _call("", keywords=["add", "numbers"]), _found, _yes),
    Kind(
        "list of models",
        f"{OPENAI}/models",
        _nothing,
        lambda body: {one["id"] for one in _decode(body)["data"]} >= {"gpt-4o", "claude", "gemini"},
        _yes,
        share=3,
    ),
    Kind("health", "/health", _nothing, lambda body: _decode(body)["status"], _healthy, share=2),
    Kind("metrics", "/metrics", _nothing, lambda body: b"_request_duration_seconds" in body, _yes, share=1),
)
