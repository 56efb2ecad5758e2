"""An answer of a provider into the canonical model.

https://platform.openai.com/docs/api-reference/responses/object
"""

from collections.abc import Iterator

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    ChatResponse,
    CustomTool,
    Extras,
    FunctionTool,
    Json,
    Opaque,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.content import read_citation
from nexus.llm.protocols.responses.thoughts import BETWEEN
from nexus.llm.protocols.responses.tools import flat_name
from nexus.llm.protocols.responses.usage import Tokens, read_usage


class Failure(msgspec.Struct):
    """Why there is no answer."""

    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Envelope(msgspec.Struct):
    """An answer, whole or begun, without what it answers in."""

    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str | None = None
    error: Failure | None = None
    incomplete_details: _Incomplete | None = None
    service_tier: str | None = None
    usage: Tokens | None = None


class _Whole(Envelope):
    output: list[msgspec.Raw] = []


class Content(msgspec.Struct):
    """A part of a message or of a thought."""

    type: str = ""
    text: str = ""
    refusal: str = ""
    annotations: list[Json] | None = None
    logprobs: list[Json] | None = None


class Item(msgspec.Struct):
    """An output item of the kinds that are understood."""

    type: str = ""
    id: str | None = None
    phase: str | None = None
    content: list[msgspec.Raw] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str = ""
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class _Kind(msgspec.Struct):
    type: str = ""


_UNDERSTOOD = frozenset(("message", "reasoning", "function_call", "custom_tool_call"))
_decode = msgspec.json.Decoder(_Whole).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_content = msgspec.json.Decoder(Content).decode
_decode_any = msgspec.json.Decoder().decode


def read_response(body: bytes, request: ChatRequest) -> ChatResponse:
    """Read a whole answer.

    Raises:
        UpstreamFailed: it says that there is none.
        UpstreamGarbage: it is not what the protocol says.
    """
    try:
        whole = _decode(body)
        parts = [part for raw in whole.output for part in read_item(raw, request)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamGarbage("The upstream answered with no response of the Responses protocol") from None
    called = any(isinstance(part, ToolCall) for part in parts)
    refused = any(isinstance(part, Refusal) for part in parts)
    return ChatResponse(
        protocol=NAME,
        id=whole.id,
        model=whole.model,
        created=int(whole.created_at),
        parts=parts,
        stop=read_stop(whole, called=called, refused=refused),
        usage=read_usage(whole.usage),
        service_tier=whole.service_tier,
    )


def read_stop(answer: Envelope, *, called: bool, refused: bool) -> Stop:
    """Read why an answer ended that holds a call or a refusal, or neither.

    Raises:
        UpstreamFailed: it failed.
        UpstreamGarbage: it did not end.
    """
    match answer.status:
        case "completed" | None if answer.error is None:
            return Stop("tool" if called else "refusal" if refused else "end")
        case "incomplete":
            reason = answer.incomplete_details.reason if answer.incomplete_details else None
            return Stop("filter" if reason == "content_filter" else "length", detail=reason)
        case "queued" | "in_progress":
            raise UpstreamGarbage(f"The upstream answered before there was an answer: it is {answer.status}")
        case _:
            raise failed(answer.error)


def failed(error: Failure | None) -> UpstreamFailed:
    """Make the failure that a provider tells."""
    error = error or Failure()
    kind = error.code or error.type or "api_error"
    return UpstreamFailed(error.message or "The upstream failed and did not say why", str(kind))


def read_kind(raw: msgspec.Raw) -> Item | Opaque:
    """Read an output item; one that is not understood is a part as it is.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    kind = _decode_kind(raw).type
    return _decode_item(raw) if kind in _UNDERSTOOD else Opaque(NAME, kind, _decode_any(raw))


def read_item(raw: msgspec.Raw, request: ChatRequest) -> Iterator[AnyPart]:
    """Read an output item into its parts.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    item = read_kind(raw)
    if isinstance(item, Opaque):
        yield item
    elif item.type == "message":
        yield from (read_content(content, item) for content in item.content or ())
    elif item.type == "reasoning":
        yield Thinking(thought_of(item), item.encrypted_content or "", origin=NAME, id=item.id or "")
    else:
        call = open_call(item, request)
        yield call if call.arguments or call.custom else msgspec.structs.replace(call, arguments="{}")


def thought_of(item: Item) -> str:
    """Give the text of a reasoning item."""
    texts = [_decode_content(one).text for one in item.content or ()]
    return BETWEEN.join((*texts, *(one.text for one in item.summary or ())))


def open_call(item: Item, request: ChatRequest) -> ToolCall:
    """Make the part of a call, with what there is of its arguments."""
    custom = item.type == "custom_tool_call"
    return ToolCall(
        item.call_id or item.id or "",
        _flat(item, request) if item.namespace else item.name,
        (item.input if custom else item.arguments) or "",
        custom=custom,
        extras={"id": item.id} if item.id else {},
    )


def _flat(item: Item, request: ChatRequest) -> str:
    """Give the flat name of a tool that was called by its namespace."""
    for tool in request.tools:
        if isinstance(tool, FunctionTool | CustomTool) and (
            (tool.namespace, tool.local_name) == (item.namespace, item.name)
        ):
            return tool.name
    return flat_name(item.namespace or "", item.name)


def read_content(raw: msgspec.Raw, item: Item) -> AnyPart:
    """Read a part of a message."""
    content, more = _decode_content(raw), message_of(item)
    match content.type:
        case "output_text":
            citations = [read_citation(one) for one in content.annotations or ()]
            return Text(content.text, citations, content.logprobs or (), extras=more)
        case "refusal":
            return Refusal(content.refusal, extras=more)
        case _:
            return Opaque(NAME, content.type, _decode_any(raw), extras=more)


def message_of(item: Item) -> Extras:
    """Tell which message a part belongs to."""
    message: dict[str, Json] = {"id": item.id or ""}
    if item.phase is not None:
        message["phase"] = item.phase
    return {"message": message}
