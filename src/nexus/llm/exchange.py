"""One exchange with a model, top to bottom: open, route, send, pass back. The file to read first."""

from collections.abc import AsyncGenerator

import msgspec

from nexus.errors import (
    InvalidRequest,
    NotReady,
    UnknownModel,
    UnknownProvider,
    UnsupportedMediaType,
    UpstreamError,
)
from nexus.http.client import Failed
from nexus.llm import relay
from nexus.llm.catalog import Catalog
from nexus.llm.protocols import fields, form
from nexus.llm.protocols.base import Body, Endpoint, Inbound
from nexus.llm.providers.base import Answer, Call, Provider
from nexus.llm.routing import Route, route, within

_MAX_ERROR = 1024 * 1024
_WAIT_FOR_CATALOG = 30.0
_NO_BUFFERING = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a client asked, as the server room hands it over."""

    inbound: Inbound
    endpoint: Endpoint
    method: str
    path: str
    """Below `/v1`."""
    provider: str | None
    """The provider the path names."""
    query: bytes
    content_type: bytes
    body: bytes
    headers: bytes = b""
    """Lines of the client's headers that are part of its protocol."""


class Reply(msgspec.Struct, frozen=True):
    """What goes back: a whole body, or one that is still coming. Who sends it closes it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncGenerator[bytes]


class _Opened(msgspec.Struct, frozen=True):
    """A request body whose model is known and can be replaced."""

    model: str
    body: bytes
    split: fields.Fields | None = None
    span: tuple[int, int] | None = None
    stream: bool = False

    def outgoing(self, model: str) -> bytes:
        if self.split is not None:
            self.split["model"] = msgspec.Raw(fields.encode(model))
            return fields.join(self.split)
        if self.span is not None:
            return self.body[: self.span[0]] + model.encode() + self.body[self.span[1] :]
        return self.body


async def exchange(request: Request, catalog: Catalog, keep_alive: float) -> Reply:
    """Carry one request to its provider and the answer back; a silent stream gets a comment every `keep_alive` seconds.

    Raises:
        NexusError: nothing was sent to the client yet, and it should be told this.
    """
    opened = _open(request)
    chosen = await _route(request, opened, catalog)
    protocol = request.inbound.name
    if protocol not in chosen.provider.speaks:
        raise InvalidRequest(
            f"Provider '{chosen.provider.name}' does not speak the {protocol} protocol, and this version does not translate;"
            f" use one of its own: {', '.join(chosen.provider.speaks)}"
        )
    call = Call(
        protocol,
        request.method.encode(),
        request.path,
        opened.outgoing(chosen.model),
        request.content_type if request.endpoint.body is not Body.JSON else b"application/json",
        request.query,
        opened.stream,
        request.headers,
    )
    answer = await chosen.provider.send(call)
    try:
        return await _reply(answer, chosen.provider, opened.model, request, keep_alive)
    except BaseException:
        answer.close()
        raise


def _open(request: Request) -> _Opened:
    expected = request.endpoint.body
    if expected is Body.NONE:
        return _Opened("", request.body)
    if _media_type(request.content_type) != expected.value.encode():
        raise UnsupportedMediaType(f"Unsupported Content-Type, expected: 'Content-Type: {expected.value}'")
    if expected is Body.JSON:
        split = fields.split(request.body)
        return _Opened(
            fields.text(split, "model"), request.body, split=split, stream=fields.flag(split, "stream")
        )
    span = form.locate(request.body, request.content_type, "model")
    if span is None:
        raise InvalidRequest("Failed to parse request body: the form has no field `model`")
    return _Opened(request.body[span[0] : span[1]].decode("utf-8", "replace"), request.body, span=span)


async def _route(request: Request, opened: _Opened, catalog: Catalog) -> Route:
    if request.provider is not None:
        return _within(request.provider, opened.model, catalog)
    if request.endpoint.body is Body.NONE:
        raise InvalidRequest(
            f"No model tells which provider {request.endpoint.path} is meant for; put its name into the path:"
            f" /<provider>/v1{request.endpoint.path}"
        )
    try:
        return route(catalog.snapshot, opened.model)
    except (UnknownModel, UnknownProvider, InvalidRequest):
        if not await catalog.wait(_WAIT_FOR_CATALOG):
            raise NotReady("The model list is not there yet, try again in a moment") from None
        await catalog.refresh_for(opened.model)
        return route(catalog.snapshot, opened.model)


def _within(provider: str, model: str, catalog: Catalog) -> Route:
    shelf = catalog.snapshot.shelves.get(provider)
    if shelf is None:
        raise UnknownProvider(provider)
    return Route(shelf.provider, within(shelf, model.removeprefix(f"{provider}/")) if model else "")


async def _reply(
    answer: Answer, provider: Provider, model: str, request: Request, keep_alive: float
) -> Reply:
    content_type = answer.header(b"content-type") or b""
    headers = relay.relayed_headers(answer.headers)
    if answer.status >= 400:
        raise UpstreamError(answer.status, headers, await _read(answer, provider, _MAX_ERROR), content_type)
    if content_type:
        headers.append((b"content-type", content_type))
    kind = _media_type(content_type)
    if not model or answer.header(b"content-encoding") is not None:
        kind = b""  # nothing to restore, or nothing we could read
    name = fields.encode(model)
    if kind == b"application/json":
        body = relay.whole(await _read(answer, provider, relay.MAX_WHOLE), name)
        headers.append((b"content-length", b"%d" % len(body)))
        return Reply(answer.status, headers, body)
    if kind == b"text/event-stream":
        answer.heartbeat = keep_alive
        events = relay.stream(answer, name, request.endpoint.model_path, request.inbound.keep_alive)
        return Reply(answer.status, headers + _NO_BUFFERING, _guarded(events, answer, provider, request))
    headers += [pair for pair in answer.headers if pair[0] in (b"content-length", b"content-encoding")]
    return Reply(answer.status, headers, _raw(answer))


async def _read(answer: Answer, provider: Provider, limit: int) -> bytes:
    try:
        return await answer.read(limit)
    except Failed as error:
        raise provider.failure(error) from error


async def _raw(answer: Answer) -> AsyncGenerator[bytes]:
    """Pass on a body of any kind; a break in it is a break for the client too."""
    try:
        while piece := await answer.next():
            yield piece
    finally:
        answer.close()


async def _guarded(
    events: AsyncGenerator[bytes], answer: Answer, provider: Provider, request: Request
) -> AsyncGenerator[bytes]:
    """End a stream that fails on its way with the protocol's own event."""
    try:
        async for piece in events:
            yield piece
    except Failed as error:
        yield request.inbound.write_event(provider.failure(error), request.endpoint)
    except OverflowError as error:
        broken = provider.failure(Failed(str(error), received=True))
        yield request.inbound.write_event(broken, request.endpoint)
    finally:
        answer.close()


def _media_type(content_type: bytes) -> bytes:
    return content_type.split(b";", 1)[0].strip().lower()
