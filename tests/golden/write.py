"""What becomes of whole requests and answers between protocols, kept beside them to be read: `python tests/golden/write.py`.

`requests/<name>.<client>.json` is what a client sends; `requests/<name>.<client>.as.json` what each provider gets of it, and
what is listed as lost. `answers/<name>.<provider>.json` or `.sse` is what a provider says; `….as.json` or `….as.sse` what each
client reads of it. The answer is one to the request of the same name, else to `tools`.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nexus.errors import NexusError
from nexus.http import frames
from nexus.llm.canonical import ChatRequest, Event, Started
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.anthropic.wire import MessagesWire
from nexus.llm.protocols.base import Inbound, Wire
from nexus.llm.protocols.converse.wire import ConverseWire
from nexus.llm.protocols.google.wire import GoogleWire
from nexus.llm.protocols.openai.chat import Chat
from nexus.llm.protocols.openai.wire import ChatWire
from nexus.llm.protocols.responses.inbound import Responses
from nexus.llm.protocols.responses.wire import ResponsesWire

Json = dict[str, Any]
ROOT = Path(__file__).parent
REQUESTS, ANSWERS = ROOT / "requests", ROOT / "answers"
ASKED = "the-model-asked-for"
"""How the client calls the model."""
INBOUNDS: Mapping[str, Inbound] = {"openai": Chat(), "responses": Responses(), "anthropic": Messages()}
WIRES: Mapping[str, tuple[Wire, str]] = {
    "openai": (ChatWire(), "gpt-5.2"),
    "responses": (ResponsesWire(), "gpt-5.2"),
    "anthropic": (MessagesWire(), "claude-sonnet-4-5"),
    "google": (GoogleWire(), "gemini-3-pro-preview"),
    "converse": (ConverseWire(), "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}


def sources(folder: Path) -> list[Path]:
    """List what clients send, or providers say."""
    return sorted(path for path in folder.iterdir() if ".as." not in path.name)


def golden(source: Path) -> Path:
    """Name the file that holds what becomes of one."""
    return source.with_suffix(f".as{source.suffix}")


def sides(source: Path) -> tuple[str, str]:
    """Read the name of a case and the protocol it is written in."""
    name, protocol, *_ = source.name.split(".")
    return name, protocol


def made(source: Path) -> str:
    """Make what becomes of a request or an answer."""
    if source.parent == REQUESTS:
        return _pretty(dict(sent(source)))
    if source.suffix == ".json":
        return _pretty(
            {inbound: msgspec.json.decode(told_whole(source, inbound)) for inbound in readers(source)}
        )
    return "".join(f": {inbound}\n\n{told_stream(source, inbound).decode()}" for inbound in readers(source))


def readers(source: Path) -> list[str]:
    """List the clients an answer is translated for."""
    return [inbound for inbound in INBOUNDS if inbound != sides(source)[1]]


def sent(source: Path) -> Iterator[tuple[str, Json]]:
    """Write a client's request for every provider of another protocol."""
    _, inbound = sides(source)
    for name in WIRES:
        if name != inbound:
            yield name, _send(inbound, name, source.read_bytes())


def _send(inbound: str, wire: str, body: bytes) -> Json:
    request = INBOUNDS[inbound].read_request(body)
    writer, request.model = WIRES[wire]
    path, query = writer.target(request.model, stream=request.stream)
    try:
        written, losses = writer.write_request(request)
    except NexusError as error:
        return {"refused": str(error)}
    target = f"{path}?{query.decode()}" if query else path
    return {
        "target": target,
        "body": msgspec.json.decode(written),
        "lost": {loss.path: loss.why for loss in losses},
    }


def asked(source: Path, inbound: str) -> ChatRequest:
    """Read the request that an answer belongs to."""
    name, wire = sides(source)
    path = REQUESTS / f"{name}.{inbound}.json"
    request = INBOUNDS[inbound].read_request(
        (path if path.exists() else REQUESTS / f"tools.{inbound}.json").read_bytes()
    )
    request.model = WIRES[wire][1]
    return request


def told_whole(source: Path, inbound: str) -> bytes:
    """Write a provider's whole answer for a client."""
    request, wire = asked(source, inbound), WIRES[sides(source)[1]][0]
    try:
        response = wire.read_response(source.read_bytes(), request)
    except NexusError as error:
        return msgspec.json.encode({"failed": str(error)})
    named = msgspec.structs.replace(
        response, model=ASKED, id=response.id or "made-up", created=response.created or 1_700_000_000
    )
    written, losses = INBOUNDS[inbound].write_response(named, request)
    lost = {loss.path: loss.why for loss in losses}
    return msgspec.json.encode({"body": msgspec.Raw(written), "lost": lost})


def told_stream(source: Path, inbound: str) -> bytes:
    """Write a provider's stream for a client."""
    request = asked(source, inbound)
    reader = WIRES[sides(source)[1]][0].read_stream(request)
    writer = INBOUNDS[inbound].write_stream(request)
    written = b""
    try:
        for payload in frames.payloads(source.read_bytes()):
            written += b"".join([writer.write(_named(event)) for event in reader.read(payload)])
        return written + b"".join([writer.write(_named(event)) for event in reader.end()])
    except NexusError as error:
        return written + writer.fail(error)


def _named(event: Event) -> Event:
    if not isinstance(event, Started):
        return event
    return msgspec.structs.replace(
        event, model=ASKED, id=event.id or "made-up", created=event.created or 1_700_000_000
    )


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


if __name__ == "__main__":
    for folder in (REQUESTS, ANSWERS):
        for one in sources(folder):
            golden(one).write_text(made(one))
            sys.stdout.write(f"{golden(one).relative_to(ROOT)}\n")
