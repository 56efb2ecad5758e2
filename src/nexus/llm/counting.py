"""How many tokens a request has: asked of the provider where it can tell, else estimated, and marked so."""

import asyncio
from collections.abc import Callable
from functools import cache

from nexus.errors import UpstreamError
from nexus.llm import reply, tokens
from nexus.llm.protocols.base import Inbound
from nexus.llm.providers.base import Call
from nexus.llm.reply import Reply, json_reply
from nexus.llm.routing import Route

_ESTIMATED = (b"x-nexus-estimated", b"true")


async def count(inbound: Inbound, write: Callable[[int], bytes], body: bytes, chosen: Route) -> Reply:
    """Answer a token count.

    Raises:
        NexusError: the request breaks a rule, or the provider failed.
    """
    request = inbound.read_request(body)
    request.model = chosen.model
    counter = chosen.provider.counter(chosen.model)
    if counter is None:
        return await estimated(write, body)
    call = Call(
        chosen.provider.kind,
        b"POST",
        counter.target(chosen.model),
        counter.write_request(request),
        b"application/json",
        asked=chosen.asked,
    )
    try:
        headers, answer = await reply.ask(chosen.provider, call)
        return json_reply(write(counter.read_response(answer)), headers)
    except UpstreamError as error:
        if not knows_no_counts(error):
            raise
        return await estimated(write, body)


async def estimated(write: Callable[[int], bytes], body: bytes) -> Reply:
    """Answer a token count by OpenAI's vocabulary, whoever the model is of."""
    vocabulary = await asyncio.to_thread(_vocabulary)  # it takes a tenth of a second to load
    return json_reply(write((await vocabulary.estimate(body)).input), (_ESTIMATED,))


def knows_no_counts(error: UpstreamError) -> bool:
    """Tell whether an upstream has no such endpoint; agents that get a 404 count by having answers made, and paid for."""
    return error.upstream_status in (404, 405, 501)


@cache
def _vocabulary() -> tokens.Counter:
    return tokens.Counter()
