"""The same protocol on both sides: the bytes go through, and only the name of the model changes on the way.

Inward the top-level `model` becomes what the provider calls it. Outward the answer, and every event of a stream, names the
model as the client asked for it. No other byte of an answer moves.
"""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from nexus.errors import NexusError, UpstreamGarbage
from nexus.http import frames
from nexus.http.client import Failed
from nexus.llm import reply, tap
from nexus.llm.protocols import fields
from nexus.llm.protocols.base import Endpoint, Surface
from nexus.llm.providers.base import Answer, Provider
from nexus.llm.reply import Reply


async def relay(
    answer: Answer, provider: Provider, model: str, surface: Surface, endpoint: Endpoint, keep_alive: float
) -> Reply:
    """Make the reply of an answer in the client's own protocol; `model` is the name the client asked with.

    Raises:
        UpstreamError: the answer is a failure.
        UpstreamGarbage: it claims to be JSON and is not.
    """
    headers = await reply.succeeded(answer, provider, endpoint.protocol)
    content_type = answer.header(b"content-type") or b""
    if content_type:
        headers.append((b"content-type", content_type))
    kind = reply.media_type(content_type)
    if not model or answer.header(b"content-encoding") is not None:
        kind = b""  # nothing to restore, or nothing we could read
    name = fields.encode(model)
    if kind == b"application/json":
        raw = await reply.read(answer, provider)
        tap.current().whole(raw)
        body = whole(raw, name)
        headers.append((b"content-length", b"%d" % len(body)))
        return Reply(answer.status, headers, body)
    if kind == b"text/event-stream":
        answer.heartbeat = keep_alive
        events = _guarded(
            stream(answer, name, endpoint.model_path, surface.keep_alive), provider, surface, endpoint
        )
        return Reply(answer.status, [*headers, *reply.NO_BUFFERING], events, answer.close)
    headers += [pair for pair in answer.headers if pair[0] in (b"content-length", b"content-encoding")]
    return Reply(answer.status, headers, _raw(answer), answer.close)


async def _raw(answer: Answer) -> AsyncGenerator[bytes]:
    """Pass on a body of any kind; a break in it is a break for the client too."""
    while piece := await answer.next():
        yield piece


async def _guarded(
    events: AsyncGenerator[bytes], provider: Provider, surface: Surface, endpoint: Endpoint
) -> AsyncGenerator[bytes]:
    """End a stream that fails on its way with the protocol's own event."""
    failure: NexusError
    try:
        async for piece in events:
            yield piece
        return
    except Failed as error:
        failure = provider.failure(error)
    except OverflowError as error:
        failure = provider.failure(Failed(str(error), received=True))
    tap.current().failed(failure)
    yield surface.write_event(failure, endpoint)


def whole(body: bytes, model: bytes) -> bytes:
    """Restore the model (JSON text) of a complete JSON answer.

    Raises:
        UpstreamGarbage: it is not JSON.
    """
    try:
        return fields.replace(body, ("model",), model)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamGarbage("The upstream answered with success and a body that is not JSON") from None


async def stream(
    answer: Answer, model: bytes, path: Sequence[str], keep_alive: bytes
) -> AsyncGenerator[bytes]:
    """Pass the events of an answer on, their model restored, and `keep_alive` in each silence of its heartbeat."""
    cutter, restore, watch = frames.Cutter(), Restorer(model, path).restore, tap.current().watch
    while (piece := await answer.next()) != b"":
        if piece is None:
            yield keep_alive
        elif ready := cutter.feed(piece):
            yield restore(ready)
            watch(ready)
    if rest := cutter.rest():
        watch(rest)
        yield restore(rest)


class Restorer:
    """Restore the model in whole events.

    The first event is read; after it, events that begin with the very same bytes up to their model (they nearly always do:
    id, object, created, model) are changed by one search and replace over all that arrived, without looking into each.
    """

    __slots__ = ("_model", "_new", "_old", "_path")

    def __init__(self, model: bytes, path: Sequence[str]) -> None:
        self._model = model
        self._path = path
        self._old = b""
        self._new = b""

    def restore(self, data: bytes) -> bytes:
        """Give the events with the model of the client; events without one stay as they are."""
        if b'model"' not in data:
            return data
        if b"\r" in data or not data.endswith(b"\n\n"):
            return b"".join(map(self._restore_one, frames.events(data)))
        begun = b""
        if not self._old:
            end = data.index(b"\n\n") + 2
            begun, data = self._restore_one(data[:end]), data[end:]
        return begun + self._restore_all(data)

    def _restore_all(self, data: bytes) -> bytes:
        text = b"\n\n" + data[:-2]
        count = text.count(b"\n\n") - text.endswith(b"\n\ndata: [DONE]")
        if self._old and text.count(self._old) == count:
            return text.replace(self._old, self._new)[2:] + b"\n\n" if data else b""
        return (
            b"".join([self._restore_one(event + b"\n\n") for event in data[:-2].split(b"\n\n")])
            if data
            else b""
        )

    def _restore_one(self, event: bytes) -> bytes:
        plain = event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event
        before = event[6:-2] if plain else frames.payload(event)
        try:
            span = fields.locate(before, self._path)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return event
        if span is None:
            return event
        if not plain:
            return frames.with_payload(event, before[: span[0]] + self._model + before[span[1] :])
        head = event[: 6 + span[0]] + self._model
        if len(self._path) == 1:  # elsewhere most events have no model at all
            self._old = b"\n\n" + event[: 6 + span[1]]
            self._new = b"\n\n" + head
        return head + event[6 + span[1] :]
