"""Google as a provider, over real sockets."""

import pytest

from nexus.config.llm import ProviderConfig
from nexus.errors import Unauthenticated, UpstreamError, UpstreamGarbage
from nexus.llm.canonical import Model
from nexus.llm.providers.base import Call
from nexus.llm.providers.google import Google
from upstreams.scripted import Asked, Told, Upstream, upstream

FIRST = b'{"models":[{"name":"models/gemini-2.5-pro","displayName":"x"}],"nextPageToken":"a/b"}'
SECOND = b'{"models":[{"name":"models/gemini-embedding-001"},{"name":"tunedModels/mine"}]}'


def google(up: Upstream, **more: object) -> Google:
    base_url = up.url.removesuffix("/v1") + "/v1beta"
    config = ProviderConfig.model_validate(
        {"type": "google", "api_key": "k", "base_url": base_url, "proxy": "none", **more}
    )
    return Google("google", config)


async def test_all_pages_of_models_are_read() -> None:
    def script(asked: Asked) -> Told:
        return Told(pieces=(SECOND if "pageToken" in asked.target else FIRST,))

    async with upstream(script) as up:
        provider = google(up)
        assert await provider.models() == [
            Model("gemini-2.5-pro", 0, "google"),
            Model("gemini-embedding-001", 0, "google"),
            Model("tunedModels/mine", 0, "google"),
        ]
        await provider.close()
    first, second = up.asked
    assert first.target == "/v1beta/models"
    assert second.target == "/v1beta/models?pageSize=1000&pageToken=a%2Fb"
    assert first.headers["x-goog-api-key"] == "k"


@pytest.mark.parametrize(
    ("told", "error"),
    [(Told(pieces=(b'{"models":5}',)), UpstreamGarbage), (Told(status=403, pieces=(b"no",)), UpstreamError)],
)
async def test_a_list_that_is_none_is_a_failure(told: Told, error: type[Exception]) -> None:
    async with upstream(lambda _: told) as up:
        provider = google(up)
        with pytest.raises(error):
            await provider.models()
        await provider.close()


async def test_the_key_goes_in_a_header_and_not_in_the_url() -> None:
    async with upstream() as up:
        provider = google(up, api_key_header="x-corp-key")
        call = Call("google", b"POST", "/models/m:generateContent", b"{}", b"application/json", b"alt=sse")
        answer = await provider.send(call)
        answer.close()
        await provider.close()
    assert up.last.target == "/v1beta/models/m:generateContent?alt=sse"
    assert up.last.headers["x-corp-key"] == "k"


async def test_without_a_key_nothing_is_asked() -> None:
    async with upstream() as up:
        provider = google(up, api_key=None)
        assert not provider.discovers
        with pytest.raises(Unauthenticated, match="No API key configured"):
            await provider.send(Call("google", b"POST", "/models/m:generateContent"))
        await provider.close()
    assert up.asked == []


async def test_it_is_spoken_to_in_its_own_protocol_only() -> None:
    async with upstream() as up:
        provider = google(up)
        assert provider.speaks("gemini-2.5-pro") == ()
        assert provider.wire("gemini-2.5-pro").name == "google"
        assert provider.counter("gemini-2.5-pro").target("m") == "/models/m:countTokens"
        assert provider.embedder("gemini-embedding-001") is not None
        await provider.close()
