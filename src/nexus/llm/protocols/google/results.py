"""What tools gave, as Gemini takes it: an object under the name of the function.

https://ai.google.dev/gemini-api/docs/function-calling
"""

import msgspec

from nexus.errors import Unrepresentable
from nexus.llm.canonical import Json, Loss, Media, Refusal, Text, ToolResult, Written
from nexus.llm.protocols.google.media_writer import write_media

_decode = msgspec.json.Decoder().decode
_Part = dict[str, Json]


def write_result(
    result: ToolResult, name: str, losses: list[Loss], *, own: bool, nests: bool
) -> tuple[_Part, list[_Part]]:
    """Write a result, and the media in it that have to stand beside it.

    Raises:
        Unrepresentable: it holds what Gemini has no words for.
    """
    texts, media = _sort(result)
    written: _Part = {"id": result.call_id} if result.call_id else {}
    written["name"] = name
    written["response"] = _payload(texts, is_error=result.is_error)
    parts = [write_media(one, losses, own=own) for one in media]
    nested = [part for part in parts if nests and "inlineData" in part]
    if nested:
        written["parts"] = nested
    if own:
        written |= result.extras
    return {"functionResponse": written}, [part for part in parts if part not in nested]


def _sort(result: ToolResult) -> tuple[list[str], list[Media]]:
    texts: list[str] = []
    media: list[Media] = []
    for part in result.content:
        match part:
            case Text() | Refusal():
                texts.append(part.text)
            case Media(source=Written(text)):
                texts.append(text)
            case Media():
                media.append(part)
            case _:
                raise Unrepresentable(
                    part.path or result.path, "the result of a function holds text and media"
                )
    return texts, media


def _payload(texts: list[str], *, is_error: bool) -> Json:
    """Give an object as it is, all else under `result`; failures under `error`, the key Gemini takes for them."""
    value, is_object = _value(texts)
    if is_error:
        return {"error": value}
    if is_object:
        return value
    return {"result": value} if texts else {}


def _value(texts: list[str]) -> tuple[Json, bool]:
    """Give a single text as the JSON it may be, verbatim; and whether that is an object."""
    if len(texts) != 1:
        return texts or "", False
    text = texts[0]
    try:
        decoded = _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text, False
    return msgspec.Raw(text), type(decoded) is dict
