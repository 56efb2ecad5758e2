"""What a client is told of its limits with every answer, where the operator wants that."""

import asyncio

import msgspec
import pytest

from gateway import Answer, Running, gateway, provider
from upstreams.redis import redis
from upstreams.scripted import Asked, Told, upstream

CHAT = "/llm/v1/chat/completions"
PREFIX = "x-ratelimit-"
BODY = msgspec.json.encode(
    {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": "Hello"}]}
)
"""8 tokens."""
REQUESTS = """
[server.rate_limits]
enabled = true
headers = {headers}
global = {{ limit = {everybody}, interval = "60s" }}
per_ip = {{ limit = {address}, interval = "10s" }}
"""
TOKENS = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"

[llm.providers.up.rate_limits.per_user]
input_token_limit = {input}
output_token_limit = {output}
interval = "30s"
"""
HEADERS_ALONE = "[server.rate_limits]\nenabled = false\nheaders = true\n"


def passes(_: Asked) -> Told:
    return Told(pieces=(b'{"model":"gpt-4o","usage":{"completion_tokens":3}}',))


def requests(everybody: int, address: int, headers: str = "true") -> str:
    return REQUESTS.format(everybody=everybody, address=address, headers=headers)


async def chat(nexus: Running) -> Answer:
    return await nexus.ask("POST", CHAT, BODY, x_client_id="alice")


def told(answer: Answer) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): value for name, value in answer.headers.items() if name.startswith(PREFIX)
    }


def standing(resource: str, limit: int, remaining: int, reset: int) -> dict[str, str]:
    return {"resource": resource, "limit": str(limit), "remaining": str(remaining), "reset": str(reset)}


async def test_nothing_is_told_unless_it_is_wanted() -> None:
    toml = requests(10, 10, "false") + TOKENS.format(input=100, output=1000)
    async with upstream(passes) as up, gateway(provider(up.url) + toml) as nexus:
        assert told(await chat(nexus)) == {}


async def test_the_limit_with_the_least_share_left_is_told() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + requests(100, 4)) as nexus:
        found = [told(await chat(nexus)) for _ in range(2)]
        assert found == [standing("requests", 4, 3, 11), standing("requests", 4, 2, 11)]
    async with upstream(passes) as up, gateway(provider(up.url) + requests(3, 400)) as nexus:
        assert told(await chat(nexus)) == standing("requests", 3, 2, 61)


async def test_a_refusal_tells_the_limit_that_refused() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + requests(100, 1)) as nexus:
        assert (await chat(nexus)).status == 200
        refused = await chat(nexus)
        assert refused.status == 429
        assert told(refused) == standing("requests", 1, 0, 11)
        assert "retry-after" not in refused.headers


@pytest.mark.parametrize(
    ("input", "output", "resource", "limit", "remaining"),
    [(100, 100_000, "input_tokens", 100, 92), (100_000, 1000, "output_tokens", 1000, 500)],
)
async def test_tokens_are_told_where_they_are_scarcer(
    input: int, output: int, resource: str, limit: int, remaining: int
) -> None:
    toml = requests(1000, 1000) + TOKENS.format(input=input, output=output)
    async with upstream(passes) as up, gateway(provider(up.url) + toml) as nexus:
        assert told(await chat(nexus)) == standing(resource, limit, remaining, 31)


async def test_what_a_refused_chat_could_still_use_is_told() -> None:
    toml = HEADERS_ALONE + TOKENS.format(input=20, output=100_000)
    async with upstream(passes) as up, gateway(provider(up.url) + toml) as nexus:
        assert [told(await chat(nexus))["remaining"] for _ in range(2)] == ["12", "4"]
        refused = await chat(nexus)
        assert (refused.status, told(refused)) == (429, standing("input_tokens", 20, 4, 31))


async def test_what_is_not_counted_has_no_headers() -> None:
    toml = HEADERS_ALONE + TOKENS.format(input=20, output=100)
    async with upstream(passes) as up, gateway(provider(up.url) + toml) as nexus:
        models = await nexus.ask("GET", "/llm/v1/models", x_client_id="alice")
        assert (models.status, told(models)) == (200, {})


async def test_ours_stand_in_place_of_those_a_provider_sends() -> None:
    sent = {"x-ratelimit-limit": "9", "x-ratelimit-remaining": "9", "x-ratelimit-limit-requests": "500"}

    def limited(_: Asked) -> Told:
        return Told(pieces=(b'{"model":"gpt-4o"}',), headers=sent)

    async with upstream(limited) as up:
        async with gateway(provider(up.url) + requests(100, 4)) as nexus:
            assert told(await chat(nexus)) == standing("requests", 4, 3, 11) | {"limit-requests": "500"}
        async with gateway(provider(up.url)) as nexus:
            assert told(await chat(nexus))["limit"] == "9"


async def test_redis_tells_the_same() -> None:
    async with redis() as server, upstream(passes) as up:
        storage = f'[server.rate_limits.storage]\ntype = "redis"\nurl = "{server.url}"\n'
        async with gateway(provider(up.url) + requests(100, 2) + storage) as nexus:
            found = [told(await chat(nexus)) for _ in range(3)]
            assert found == [standing("requests", 2, left, 11) for left in (1, 0, 0)]


async def test_requests_at_the_same_time_do_not_mix_what_they_are_told() -> None:
    async with upstream(passes) as up, gateway(provider(up.url) + requests(1000, 50)) as nexus:
        answers = await asyncio.gather(*(chat(nexus) for _ in range(50)))
        left = sorted(int(told(one)["remaining"]) for one in answers)
        assert left == list(range(50))
