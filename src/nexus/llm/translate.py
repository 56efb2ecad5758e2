"""Another protocol on the other side: bytes become the canonical model, and the model becomes bytes."""

import time
import uuid
from collections.abc import AsyncGenerator

import msgspec

from nexus.errors import NexusError, Unrepresentable, UpstreamGarbage
from nexus.http import frames
from nexus.http.client import Failed
from nexus.llm import caching, reply, tap
from nexus.llm.canonical import (
    AnyPart,
    ChatResponse,
    Event,
    Loss,
    PartDelta,
    PartOpened,
    Started,
    Stopped,
    ToolCall,
    Usage,
)
from nexus.llm.protocols import losses
from nexus.llm.protocols.base import Inbound, StreamReader, StreamWriter, Wire
from nexus.llm.protocols.folding import fold, unfold
from nexus.llm.protocols.tool_names import shorten_all
from nexus.llm.providers.base import Answer, Call, Provider
from nexus.llm.reply import Reply, json_reply
from nexus.llm.routing import Route

_ID_PREFIXES = {"google": "gen-", "bedrock": "bedrock-"}


async def translate(
    inbound: Inbound, wire: Wire, body: bytes, chosen: Route, silence: bytes, keep_alive: float
) -> Reply:
    """Carry one chat to a provider of another protocol; `silence` goes to the client after `keep_alive` seconds of none.

    Raises:
        NexusError: nothing was sent to the client yet, and it should be told this.
    """
    provider = chosen.provider
    translation = Translation(inbound, wire, provider, body, chosen.model, cache=chosen.rules.cache_prompts)
    if chosen.rules.strict:
        translation.refuse_losses()
    stream = translation.request.stream
    path, query = wire.target(chosen.model, stream=stream)
    call = Call(
        wire.name,
        b"POST",
        path,
        translation.payload,
        b"application/json",
        query,
        stream,
        tap.passed_on(),
        chosen.asked,
    )
    answer = await provider.send(call)
    try:
        headers = await reply.succeeded(answer, provider, wire.name)
        return await _write(translation, answer, headers, provider, silence, keep_alive)
    except BaseException:
        answer.close()
        raise


async def _write(
    translation: "Translation",
    answer: Answer,
    headers: list[tuple[bytes, bytes]],
    provider: Provider,
    silence: bytes,
    keep_alive: float,
) -> Reply:
    streams = reply.media_type(answer.header(b"content-type")) == b"text/event-stream"
    if not translation.request.stream:
        body = await reply.read(answer, provider)
        written = translation.whole_of_stream(body) if streams else translation.whole(body)
        return json_reply(written, [*headers, *translation.dropped()])
    headers += [*translation.dropped(), (b"content-type", b"text/event-stream"), *reply.NO_BUFFERING]
    if not streams:
        return Reply(200, headers, translation.stream_of_whole(await reply.read(answer, provider)))
    answer.heartbeat = keep_alive
    return Reply(200, headers, translation.stream(answer, silence), answer.close)


class Translation:
    """One chat between a client of one protocol and a provider of another. Its request is written when it is made.

    Raises:
        InvalidRequest: the request breaks a rule of the client's protocol, or has what the provider's has no words for.
    """

    def __init__(
        self,
        inbound: Inbound,
        wire: Wire,
        provider: Provider,
        body: bytes,
        model: str,
        *,
        cache: bool = False,
    ) -> None:
        self._inbound = inbound
        self._wire = wire
        self._provider = provider
        self.request = inbound.read_request(body)
        self._asked = self.request.model
        """The name the client asked with, which answers carry."""
        self.request.model = model
        if cache and wire.caches(model):
            caching.mark(self.request)
        self._sent, self._long_names = shorten_all(self.request, wire.longest_tool_name)
        self.payload, lost = wire.write_request(self._sent)
        self.losses: list[Loss] = [*lost]
        self.usage: Usage | None = None
        """What the provider counted; known when the answer is complete."""
        self._tap = tap.current()
        self._begun = False
        """Whether the answer holds anything yet."""

    def refuse_losses(self) -> None:
        """Refuse a request of which anything is left out.

        Raises:
            Unrepresentable: something is.
        """
        if self.losses:
            raise Unrepresentable(self.losses[0].path, f"{self.losses[0].why} (`llm.loss` is strict)")

    def dropped(self) -> list[tuple[bytes, bytes]]:
        """Write what was left out as a header, if anything was."""
        return losses.headers(self.losses)

    def whole(self, body: bytes) -> bytes:
        """Write a whole answer."""
        return self._write_whole(self._wire.read_response(body, self._sent))

    def whole_of_stream(self, body: bytes) -> bytes:
        """Write the whole answer that a provider gave as a stream without being asked to."""
        reader, events = self._wire.read_stream(self._sent), list[Event]()
        for payload in frames.payloads(body):
            events += reader.read(payload)
        events += reader.end()
        return self._write_whole(fold(events))

    def stream_of_whole(self, body: bytes) -> bytes:
        """Write the stream of an answer that a provider gave whole although asked for a stream."""
        writer = self._inbound.write_stream(self.request)
        response = self._wire.read_response(body, self._sent)
        return b"".join([writer.write(self._ours(event)) for event in unfold(response)])

    async def stream(self, answer: Answer, keep_alive: bytes) -> AsyncGenerator[bytes]:
        """Write a stream event by event; one that fails on its way ends with the client's protocol's own event."""
        cutter = frames.Cutter()
        reader, writer = self._wire.read_stream(self._sent), self._inbound.write_stream(self.request)
        written: list[bytes] = []
        received = 0
        try:
            while (piece := await answer.next()) != b"":
                if piece is None:
                    yield keep_alive
                    continue
                received += len(piece)
                if received > reply.MAX_WHOLE:  # some protocols tell all that was said once more at the end
                    raise OverflowError(f"the stream is longer than {reply.MAX_WHOLE} bytes")
                if ready := cutter.feed(piece):
                    self._convert(ready, reader, writer, written)
                    if out := b"".join(written):
                        yield out
                        self._tap.tick(begun=self._begun)
                    written.clear()
            self._convert(cutter.rest(), reader, writer, written)
            written += [writer.write(self._ours(event)) for event in reader.end()]
            yield b"".join(written)
        except NexusError as error:
            yield b"".join(written) + self._fail(error, writer)
        except Failed as error:
            yield b"".join(written) + self._fail(self._provider.failure(error), writer)
        except OverflowError as error:
            broken = self._provider.failure(Failed(str(error), received=True))
            yield b"".join(written) + self._fail(broken, writer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # what a reader leaves for later
            garbage = UpstreamGarbage("The upstream sent an event that is none of its protocol")
            yield b"".join(written) + self._fail(garbage, writer)

    def _fail(self, error: NexusError, writer: StreamWriter) -> bytes:
        self._tap.failed(error)
        return writer.fail(error)

    def _convert(self, data: bytes, reader: StreamReader, writer: StreamWriter, written: list[bytes]) -> None:
        for payload in frames.payloads(data):
            written += [
                writer.write(event if type(event) is PartDelta else self._ours(event))
                for event in reader.read(payload)
            ]

    def _write_whole(self, response: ChatResponse) -> bytes:
        self.usage = response.usage
        self._tap.answered(response.model, response.usage, response.stop)
        written, lost = self._inbound.write_response(
            msgspec.structs.replace(
                response,
                model=self._asked,
                id=response.id or self._new_id(),
                created=response.created or int(time.time()),
                parts=[self._with_its_name(part) for part in response.parts],
            ),
            self.request,
        )
        self.losses += lost
        return written

    def _ours(self, event: Event) -> Event:
        """Put into an event what the provider does not know: the name the client asked with, an id, the time."""
        match event:
            case Started():
                self._tap.answered(event.model, event.usage, None)
                return msgspec.structs.replace(
                    event,
                    model=self._asked,
                    id=event.id or self._new_id(),
                    created=event.created or int(time.time()),
                )
            case Stopped():
                self.usage = event.usage
                self._tap.answered("", event.usage, event.stop)
                return event
            case PartOpened(index, part):
                self._begun = True
                return PartOpened(index, self._with_its_name(part)) if self._long_names else event
            case _:
                return event

    def _with_its_name(self, part: AnyPart) -> AnyPart:
        """Give a call the name the client knows its tool by."""
        if not isinstance(part, ToolCall):
            return part
        return msgspec.structs.replace(part, name=self._long_names.get(part.name, part.name))

    def _new_id(self) -> str:
        return f"{_ID_PREFIXES.get(self._provider.kind, 'nexus-')}{uuid.uuid4()}"
