"""The events of a Responses stream as clients get them.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Sequence

import msgspec

from nexus.llm.canonical import Json


class Said(msgspec.Struct, kw_only=True):
    """Any event."""

    sequence_number: int = 0


class Answer(Said):
    """An event about the answer as a whole."""

    response: Json


class Created(Answer, tag="response.created"):
    pass


class InProgress(Answer, tag="response.in_progress"):
    pass


class Completed(Answer, tag="response.completed"):
    pass


class Incomplete(Answer, tag="response.incomplete"):
    pass


class Failed(Answer, tag="response.failed"):
    pass


class _OfItem(Said):
    output_index: int
    item: Json


class ItemAdded(_OfItem, tag="response.output_item.added"):
    pass


class ItemDone(_OfItem, tag="response.output_item.done"):
    pass


class _Within(Said):
    item_id: str
    output_index: int


class _OfContent(_Within):
    content_index: int


class ContentAdded(_OfContent, tag="response.content_part.added"):
    part: Json


class ContentDone(_OfContent, tag="response.content_part.done"):
    part: Json


class TextDelta(_OfContent, tag="response.output_text.delta"):
    delta: str
    logprobs: Sequence[Json] = ()


class TextDone(_OfContent, tag="response.output_text.done"):
    text: str
    logprobs: Sequence[Json] = ()


class AnnotationAdded(_OfContent, tag="response.output_text.annotation.added"):
    annotation_index: int
    annotation: Json


class RefusalDelta(_OfContent, tag="response.refusal.delta"):
    delta: str


class RefusalDone(_OfContent, tag="response.refusal.done"):
    refusal: str


class _OfSummary(_Within):
    summary_index: int


class SummaryAdded(_OfSummary, tag="response.reasoning_summary_part.added"):
    part: Json


class SummaryDone(_OfSummary, tag="response.reasoning_summary_part.done"):
    part: Json


class SummaryTextDelta(_OfSummary, tag="response.reasoning_summary_text.delta"):
    delta: str


class SummaryTextDone(_OfSummary, tag="response.reasoning_summary_text.done"):
    text: str


class ArgumentsDelta(_Within, tag="response.function_call_arguments.delta"):
    delta: str


class ArgumentsDone(_Within, tag="response.function_call_arguments.done"):
    arguments: str


class InputDelta(_Within, tag="response.custom_tool_call_input.delta"):
    delta: str


class InputDone(_Within, tag="response.custom_tool_call_input.done"):
    input: str


_encode = msgspec.json.Encoder().encode


def write_event(said: Said) -> bytes:
    """Write one event."""
    kind = str(type(said).__struct_config__.tag)
    return b"event: " + kind.encode() + b"\ndata: " + _encode(said) + b"\n\n"
