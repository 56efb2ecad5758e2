"""Embeddings of providers that have words of their own for them."""

import asyncio
from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm import reply
from nexus.llm.protocols import losses
from nexus.llm.protocols.base import Embedder
from nexus.llm.protocols.openai import embeddings
from nexus.llm.providers.base import Call
from nexus.llm.reply import Reply, json_reply
from nexus.llm.routing import Route

_AT_ONCE = 8
"""Requests under way for one client, where a provider takes one text each."""


async def embed(embedder: Embedder, body: bytes, chosen: Route) -> Reply:
    """Answer a request for embeddings.

    Raises:
        NexusError: the request breaks a rule, has what the provider lacks, or the provider failed.
    """
    asked = embeddings.read_request(body, chosen.model)
    requests, lost = embedder.write_requests(asked.request)
    if lost and chosen.rules.strict:
        raise Unrepresentable(lost[0].path, lost[0].why)
    answers: list[bytes] = []
    for begin in range(0, len(requests), _AT_ONCE):
        some = requests[begin : begin + _AT_ONCE]
        answers += await _send_all(some, chosen)
    written = embeddings.write_response(embedder.read_responses(answers), asked)
    return json_reply(written, losses.headers(lost))


async def _send_all(requests: Sequence[tuple[str, bytes]], chosen: Route) -> list[bytes]:
    """Send some at once; when one fails the others are given up."""
    sending = [asyncio.create_task(_send(path, body, chosen)) for path, body in requests]
    try:
        return await asyncio.gather(*sending)
    except BaseException:
        for one in sending:
            one.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        raise


async def _send(path: str, body: bytes, chosen: Route) -> bytes:
    call = Call(chosen.provider.kind, b"POST", path, body, b"application/json", asked=chosen.asked)
    _, answer = await reply.ask(chosen.provider, call)
    return answer
