"""Asking a provider for its models, over the wire."""

import asyncio

import msgspec
import pytest

from gateway import gateway, provider
from nexus.errors import UpstreamError, UpstreamGarbage
from upstreams.scripted import Asked, Told, upstream


def page(*ids: str, **more: object) -> Told:
    data = [{"id": one, "object": "model"} for one in ids]
    return Told(pieces=(msgspec.json.encode({"object": "list", "data": data, **more}),))


async def served(script: dict[str, Told]) -> tuple[list[str], list[str]]:
    """Serve pages by their target; gives the ids that are listed, and what was asked."""
    async with upstream() as up:
        up.listed = lambda asked: script[asked.target]
        async with gateway(provider(up.url)) as nexus:
            listed = msgspec.json.decode((await nexus.ask("GET", "/llm/openai/v1/models")).body)
            return [one["id"] for one in listed["data"]], [one.target for one in up.asked]


async def test_every_page_is_read() -> None:
    ids, asked = await served(
        {
            "/v1/models": page("a", "b", has_more=True, last_id="b/1 &"),
            "/v1/models?after=b%2F1%20%26": page("c", has_more=True, last_id="c"),
            "/v1/models?after=c": page("d", has_more=False, last_id="d"),
        }
    )
    assert ids == ["a", "b", "c", "d"]
    assert len(asked) == 3


async def test_a_list_that_does_not_move_on_is_left() -> None:
    same = page("a", has_more=True, last_id="a")
    ids, asked = await served({"/v1/models": same, "/v1/models?after=a": same})
    assert ids == ["a"]
    assert len(asked) == 2


async def test_a_new_model_is_found_when_it_is_asked_for() -> None:
    async with upstream() as up, gateway(provider(up.url)) as nexus:
        up.listed = lambda _: page("gpt-4o", "new")
        nexus.gateway.catalog._asked_at = float("-inf")  # pyright: ignore[reportPrivateUsage]  # as if some seconds had passed
        assert (await nexus.ask("POST", "/llm/v1/chat/completions", b'{"model":"new"}')).status == 200


async def test_requests_wait_for_the_first_list() -> None:
    gate = asyncio.Event()

    def slow(_: Asked) -> Told:
        return Told(pieces=(gate, b'{"data":[{"id":"gpt-4o"}]}'))

    async with upstream() as up:
        up.listed = slow
        async with gateway(provider(up.url), wait=False) as nexus:
            asking = asyncio.create_task(nexus.ask("POST", "/llm/v1/chat/completions", b'{"model":"gpt-4o"}'))
            assert (await nexus.ask("GET", "/health")).status == 200
            assert (await nexus.ask("GET", "/ready")).status == 503
            gate.set()
            assert (await asking).status == 200
            assert (await nexus.ask("GET", "/ready")).status == 200


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":[{"no":"id"}]}'])
async def test_nonsense_for_a_list_is_told(body: bytes) -> None:
    async with upstream() as up:
        up.listed = lambda _: Told(pieces=(body,))
        async with gateway(provider(up.url)) as nexus:
            with pytest.raises(UpstreamGarbage, match="no model list"):
                await nexus.gateway.providers[0].models()
            assert "no model list" in nexus.gateway.catalog.troubles["up"]


async def test_the_words_of_a_refusal_are_not_public() -> None:
    async with upstream() as up:
        up.listed = lambda _: Told(status=401, pieces=(b"key sk-123 is wrong",))
        async with gateway('llm.discovery.on_start_error = "warn"\n' + provider(up.url)) as nexus:
            with pytest.raises(UpstreamError):
                await nexus.gateway.providers[0].models()
            ready = await nexus.ask("GET", "/ready")
            assert ready.status == 503
            assert b"answered 401" in ready.body
            assert b"sk-123" not in ready.body
