"""One exchange with a model, top to bottom: open, route, choose, send, pass back. The file to read first."""

from collections.abc import Sequence

import msgspec

from nexus.context import Identity
from nexus.errors import (
    InvalidRequest,
    NexusError,
    UnknownModel,
    UnknownProvider,
    UnsupportedMediaType,
    UpstreamError,
)
from nexus.llm import embedding, tap
from nexus.llm.catalog import Catalog
from nexus.llm.counting import count, estimated, knows_no_counts
from nexus.llm.protocols import fields, form
from nexus.llm.protocols.base import Body, Endpoint, Surface
from nexus.llm.protocols.signature import is_sealed_in
from nexus.llm.providers.base import Asked, Call
from nexus.llm.relay import relay
from nexus.llm.reply import Reply, media_type
from nexus.llm.routing import Route, route, within
from nexus.llm.tokens import UNLISTED, Metering
from nexus.llm.translate import translate

_JSON = b"application/json"


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a client asked, as the server room hands it over."""

    surface: Surface
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
    client: Sequence[tuple[bytes, bytes]] = ()
    """All of the client's headers."""
    identity: Identity | None = None


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


async def exchange(request: Request, catalog: Catalog, metering: Metering, keep_alive: float) -> Reply:
    """Carry one request to its provider and the answer back; a silent stream gets a comment every `keep_alive` seconds.

    Raises:
        NexusError: nothing was sent to the client yet, and it should be told this.
    """
    call = tap.begin(request.endpoint.path, request.endpoint.protocol)
    try:
        reply = await _exchange(request, catalog, metering, keep_alive, call)
    except NexusError as error:
        call.failed(error)
        raise
    call.replied(reply)
    return reply


async def _exchange(
    request: Request, catalog: Catalog, metering: Metering, keep_alive: float, call: tap.Tap
) -> Reply:
    opened = _open(request)
    call.asks(opened.model, opened.split, stream=opened.stream)
    chosen = await _route(request, opened, catalog)
    call.goes(chosen.provider.name, chosen.model)
    asked = Asked(request.client, opened.model.removeprefix(f"{chosen.provider.name}/"))
    chosen = Route(chosen.provider, chosen.model, chosen.rules, asked)
    name, path = chosen.provider.name, request.endpoint.path
    known = asked.model in catalog.snapshot.shelves[name].upstream
    counted = asked.model if known else UNLISTED  # else each way to write a model would have room of its own
    with await metering.reserve(request.identity, name, counted, path, request.body) as hold:
        reply = await _carry(request, opened, chosen, keep_alive)
    if not hold.measured:
        return reply
    return msgspec.structs.replace(reply, body=metering.settle(hold, reply.body))


async def _carry(request: Request, opened: _Opened, chosen: Route, keep_alive: float) -> Reply:
    endpoint = request.endpoint
    if _is_relayed(request, chosen):
        try:
            return await _relay(request, opened, chosen, keep_alive)
        except UpstreamError as error:
            if endpoint.write_count is None or not knows_no_counts(error):
                raise
            return await estimated(endpoint.write_count, request.body)
    if endpoint.inbound is not None and endpoint.write_count is not None:
        return await count(endpoint.inbound, endpoint.write_count, request.body, chosen)
    if endpoint.inbound is not None and (wire := chosen.provider.wire(chosen.model)) is not None:
        return await translate(
            endpoint.inbound, wire, request.body, chosen, request.surface.keep_alive, keep_alive
        )
    if endpoint.protocol == "embeddings" and (embedder := chosen.provider.embedder(chosen.model)) is not None:
        return await embedding.embed(embedder, request.body, chosen)
    raise InvalidRequest(
        f"Provider '{chosen.provider.name}' has nothing like {request.path}: its type, {chosen.provider.kind},"
        " cannot serve this endpoint"
    )


def _is_relayed(request: Request, chosen: Route) -> bool:
    """Tell whether the provider speaks the client's protocol, and every signature in the request is of that protocol."""
    if request.endpoint.protocol not in chosen.provider.speaks(chosen.model):
        return False
    return request.endpoint.inbound is None or not is_sealed_in(request.body)


async def _relay(request: Request, opened: _Opened, chosen: Route, keep_alive: float) -> Reply:
    endpoint = request.endpoint
    call = Call(
        endpoint.protocol,
        request.method.encode(),
        request.path,
        opened.outgoing(chosen.model),
        request.content_type if endpoint.body is not Body.JSON else _JSON,
        request.query,
        opened.stream,
        request.headers + tap.passed_on(),
        chosen.asked,
    )
    answer = await chosen.provider.send(call)
    try:
        return await relay(answer, chosen.provider, opened.model, request.surface, endpoint, keep_alive)
    except BaseException:
        answer.close()
        raise


def _open(request: Request) -> _Opened:
    expected = request.endpoint.body
    if expected is Body.NONE:
        return _Opened("", request.body)
    if media_type(request.content_type) != expected.value.encode():
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
        await catalog.wait()
        await catalog.refresh_for(opened.model)
        return route(catalog.snapshot, opened.model)


def _within(provider: str, model: str, catalog: Catalog) -> Route:
    shelf = catalog.snapshot.shelves.get(provider)
    if shelf is None:
        raise UnknownProvider(provider)
    upstream = within(shelf, model.removeprefix(f"{provider}/")) if model else ""
    return Route(shelf.provider, upstream, shelf.rules)
