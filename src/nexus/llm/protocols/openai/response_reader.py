"""A whole answer of a server.

Servers that call themselves compatible differ in what they leave out, put beside and call otherwise; all known forms are read.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import msgspec

from nexus.errors import UpstreamGarbage
from nexus.llm.canonical import AnyPart, ChatRequest, ChatResponse, Json, Opaque, Refusal, Text, ToolCall
from nexus.llm.protocols.node import array_of
from nexus.llm.protocols.openai import answers, loose, stops
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.thoughts import DETAILS, read_thoughts
from nexus.llm.protocols.openai.usage import read_usage

_decode = msgspec.json.Decoder(dict[str, Json]).decode


def read_response(body: bytes, request: ChatRequest) -> ChatResponse:
    """Read an answer; of several choices the first.

    Raises:
        UpstreamGarbage: it is not what the protocol says.
        UpstreamFailed: it is a failure in an answer's place.
    """
    try:
        raw = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamGarbage("The upstream's answer is not a JSON object") from None
    choices = array_of(raw.get("choices"))
    if not choices and (raw.get("error") or raw.get("object") == "error"):
        raise stops.failure(raw.get("error") or raw)
    choice = loose.fields(choices[0]) if choices else {}
    if choice.get("error") is not None:
        raise stops.failure(choice["error"])
    message = loose.fields(choice.get("message"))
    if not message:
        raise UpstreamGarbage("The upstream's answer holds no message")
    id, created = loose.text(raw.get("id")), loose.count(raw.get("created"))
    parts = [*_content(message, choice), *_calls(message, partial(answers.make_id, request, id, created))]
    called, refused = stops.ended_by(parts)
    reason = loose.text(choice.get("finish_reason"))
    return ChatResponse(
        protocol=PROTOCOL,
        id=id,
        model=loose.text(raw.get("model")),
        created=created,
        parts=parts,
        stop=stops.read_stop(reason, choice.get("stop_reason"), called=called, refused=refused),
        usage=read_usage(raw.get("usage")),
        service_tier=loose.text(raw.get("service_tier")) or None,
        extras=answers.extras_of(raw),
    )


def _content(message: dict[str, Json], choice: dict[str, Json]) -> list[AnyPart]:
    plain = loose.text(message.get("reasoning")) or loose.text(message.get("reasoning_content"))
    parts = read_thoughts(plain, array_of(message.get(DETAILS)))
    content = message.get("content")
    said = [Text(text=content)] if isinstance(content, str) else map(answers.read_chunk, array_of(content))
    parts += [part for part in said if not isinstance(part, Text) or part.text]
    _annotate(parts, array_of(message.get("annotations")), loose.fields(choice.get("logprobs")))
    if refusal := loose.text(message.get("refusal")):
        parts.append(Refusal(text=refusal))
    if (spoken := message.get(answers.SPOKEN)) is not None:
        parts.append(Opaque(protocol=PROTOCOL, kind=answers.SPOKEN, raw=spoken))
    parts += [answers.read_picture(picture) for picture in array_of(message.get("images"))]
    return parts


def _annotate(parts: list[AnyPart], annotations: list[Json], logprobs: dict[str, Json]) -> None:
    """Give the sources and probabilities, which stand beside the content, to its last text."""
    citations = [answers.read_citation(one) for one in annotations]
    tokens = array_of(logprobs.get("content"))
    if not citations and not tokens:
        return
    at = next((number for number in reversed(range(len(parts))) if isinstance(parts[number], Text)), None)
    text = "" if at is None else cast("Text", parts[at]).text
    annotated = Text(text=text, citations=citations, logprobs=tokens)
    if at is None:
        parts.append(annotated)
    else:
        parts[at] = annotated


def _calls(message: dict[str, Json], make_id: Callable[[int], str]) -> Iterator[ToolCall]:
    raws = [loose.fields(raw) for raw in array_of(message.get("tool_calls"))]
    if not raws and (function := message.get("function_call")) is not None:
        raws = [{"function": function}]
    for number, raw in enumerate(raws):
        custom = "custom" in raw and raw["custom"] is not None
        inner = loose.fields(raw.get("custom" if custom else "function"))
        name = loose.text(inner.get("name"))
        if not name:
            raise UpstreamGarbage("The upstream's answer calls a tool without a name")
        text = loose.arguments(inner.get("input" if custom else "arguments"))
        yield ToolCall(
            id=loose.text(raw.get("id")) or make_id(number),
            name=name,
            arguments=text if custom or text.strip() else "{}",
            custom=custom,
            signature=answers.read_proof(raw.get("extra_content")),
            origin=PROTOCOL,
        )
