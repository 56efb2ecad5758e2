"""A stream and a whole answer are the same thing: one folds into the other and back."""

from collections.abc import Iterable, Iterator

import msgspec

from nexus.llm.canonical import (
    AnyPart,
    ChatResponse,
    Event,
    PartClosed,
    PartDelta,
    PartOpened,
    Refusal,
    Started,
    Stop,
    Stopped,
    Text,
    Thinking,
    ToolCall,
)


def fold(events: Iterable[Event]) -> ChatResponse:
    """Read a stream to its end as one answer."""
    started = Started("", "", "")
    parts: dict[int, AnyPart] = {}
    stopped = Stopped(Stop("end"))
    for event in events:
        match event:
            case Started():
                started = event
            case PartOpened(index, part):
                parts[index] = part
            case PartDelta(index):
                parts[index] = grown(parts[index], event)
            case PartClosed():
                pass
            case Stopped():
                stopped = event
    return ChatResponse(
        protocol=started.protocol,
        id=started.id,
        model=started.model,
        created=started.created,
        parts=list(parts.values()),
        stop=stopped.stop,
        usage=stopped.usage or started.usage,
        service_tier=started.service_tier,
        extras={**started.extras, **stopped.extras},
    )


def grown(part: AnyPart, delta: PartDelta) -> AnyPart:
    """Add a delta to its part."""
    match part:
        case Text():
            citations = (*part.citations, delta.citation) if delta.citation else part.citations
            logprobs = (*part.logprobs, *delta.logprobs) if delta.logprobs else part.logprobs
            return msgspec.structs.replace(
                part, text=part.text + delta.text, citations=citations, logprobs=logprobs
            )
        case Refusal():
            return msgspec.structs.replace(part, text=part.text + delta.text)
        case Thinking():
            signature = part.signature + delta.signature
            return msgspec.structs.replace(part, text=part.text + delta.text, signature=signature)
        case ToolCall():
            signature = part.signature + delta.signature
            return msgspec.structs.replace(part, arguments=part.arguments + delta.text, signature=signature)
        case _:
            return part


def unfold(response: ChatResponse) -> Iterator[Event]:
    """Tell a whole answer as a stream."""
    yield Started(
        response.protocol,
        response.id,
        response.model,
        response.created,
        response.usage,
        response.service_tier,
        response.extras,
    )
    for index, part in enumerate(response.parts):
        yield PartOpened(index, part)
        yield PartClosed(index)
    yield Stopped(response.stop, response.usage)
