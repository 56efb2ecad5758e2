"""What is served, and who serves it: discovery, filters, renames, order."""

import asyncio
import re
from collections.abc import Sequence

import pytest

from nexus.errors import InvalidRequest, NexusError, NotFound, UpstreamError, UpstreamUnreachable
from nexus.http.client import Failed
from nexus.llm.canonical import Model
from nexus.llm.catalog import Catalog, DiscoveryFailed, Rules
from nexus.llm.providers.base import Answer, Call, Plain
from nexus.llm.routing import route


class Fake(Plain):
    """A provider whose list a test decides."""

    kind = "openai"
    trouble: str | None = None

    def __init__(self, name: str, *ids: str, discovers: bool = True) -> None:
        self.name = name
        self.ids: Sequence[str] | NexusError = ids
        self.discovers = discovers
        self.asked = 0

    def speaks(self, model: str) -> Sequence[str]:
        return ("openai",)

    async def start(self) -> None: ...

    async def models(self) -> Sequence[Model]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.ids, NexusError):
            raise self.ids
        return [Model(one, 7, "somebody") for one in self.ids]

    async def send(self, call: Call) -> Answer:
        raise AssertionError("nothing is sent here")

    def failure(self, error: Failed) -> NexusError:
        raise AssertionError("nothing fails here")

    async def close(self) -> None: ...


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def stocked(*providers: tuple[Fake, Rules]) -> Catalog:
    catalog = Catalog(providers, 1000, Clock())
    await catalog.refresh()
    return catalog


def explicit(allowed: str | None = None, **renames: str | None) -> Rules:
    return Rules(
        {key.replace("_", "-"): rename for key, rename in renames.items()},
        re.compile(allowed, re.I) if allowed else None,
    )


def sent(catalog: Catalog, model: str) -> tuple[str, str]:
    found = route(catalog.snapshot, model)
    return found.provider.name, found.model


async def test_the_first_provider_in_the_file_has_a_model_of_two() -> None:
    catalog = await stocked((Fake("zed", "gpt-4", "b"), Rules()), (Fake("abc", "gpt-4", "a"), Rules()))
    assert list(catalog.snapshot.models) == ["a", "b", "gpt-4"]
    assert sent(catalog, "gpt-4") == ("zed", "gpt-4")
    assert sent(catalog, "abc/gpt-4") == ("abc", "gpt-4")


async def test_bare_ids_are_listed_before_those_with_a_slash_each_in_byte_order() -> None:
    catalog = await stocked((Fake("p", "b", "Z", "v/x", "a"), explicit(zz=None, aa=None)))
    assert list(catalog.snapshot.models) == ["Z", "a", "b", "p/aa", "p/zz", "v/x"]


async def test_the_filter_chooses_among_all_discovered_ids() -> None:
    catalog = await stocked((Fake("p", "gpt-4", "dall-e", "v/GPT-5"), explicit("gpt", other=None)))
    assert list(catalog.snapshot.models) == ["gpt-4", "p/other", "v/GPT-5"]
    for refused in ("p/dall-e", "p/gpt-6"):
        with pytest.raises(NotFound, match=r"is not configured"):
            sent(catalog, refused)
    assert sent(catalog, "p/other") == ("p", "other")


async def test_rename_is_read_as_alias_to_real() -> None:
    catalog = await stocked((Fake("p", "gpt-4"), explicit(smart="gpt-4")))
    assert sent(catalog, "p/smart") == ("p", "gpt-4")
    assert sent(catalog, "p/gpt-4") == ("p", "gpt-4")
    assert "p/smart" in catalog.snapshot.models


async def test_rename_is_read_as_real_to_alias_when_the_key_is_what_the_provider_has() -> None:
    catalog = await stocked((Fake("p", "gpt-4"), Rules({"gpt-4": "smart"})))
    assert sent(catalog, "p/smart") == ("p", "gpt-4")
    assert sent(catalog, "p/gpt-4") == ("p", "gpt-4")
    assert list(catalog.snapshot.models) == ["gpt-4", "p/smart"]


async def test_rename_works_without_discovery() -> None:
    catalog = await stocked((Fake("p", discovers=False), explicit(smart="gpt-4")))
    assert sent(catalog, "p/smart") == ("p", "gpt-4")
    assert sent(catalog, "p/gpt-4") == ("p", "gpt-4")


async def test_an_explicit_name_wins_over_the_filter_it_matches() -> None:
    catalog = await stocked((Fake("p", "gpt-4"), explicit("gpt", gpt_x="gpt-4")))
    assert sent(catalog, "p/gpt-x") == ("p", "gpt-4")


async def test_unlisted_models_are_left_to_a_provider_that_can_be_asked() -> None:
    catalog = await stocked((Fake("p", "a"), Rules()), (Fake("mute", discovers=False), Rules()))
    assert sent(catalog, "p/ft:mine/x") == ("p", "ft:mine/x")
    with pytest.raises(NotFound, match="Model 'x' is not configured"):
        sent(catalog, "mute/x")


async def test_only_explicit_models_are_served_where_the_file_says_so() -> None:
    catalog = await stocked((Fake("p", "a"), Rules({"b": None}, explicit_only=True)))
    assert list(catalog.snapshot.models) == ["p/b"]
    for refused in ("p/a", "p/c"):
        with pytest.raises(NotFound):
            sent(catalog, refused)


async def test_ids_with_a_slash_of_their_own_are_found_by_it() -> None:
    router = Fake("router", "meta/llama", "p/gpt-4")
    catalog = await stocked((Fake("p", "gpt-4"), Rules()), (router, Rules()))
    assert sent(catalog, "meta/llama") == ("router", "meta/llama")
    assert sent(catalog, "router/meta/llama") == ("router", "meta/llama")
    assert sent(catalog, "p/gpt-4") == ("p", "gpt-4")
    assert sent(catalog, "router/p/gpt-4") == ("router", "p/gpt-4")
    assert "router/p/gpt-4" in catalog.snapshot.models
    assert "p/gpt-4" not in catalog.snapshot.models


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        ("gpt-9", NotFound, "Model 'gpt-9' not found"),
        ("nobody/x", NotFound, "Provider 'nobody' not found"),
        ("p/", InvalidRequest, "Invalid model format: expected 'provider/model', got 'p/'"),
        ("", InvalidRequest, "Invalid model format: expected 'provider/model', got ''"),
        ("/x", NotFound, "Provider '' not found"),
    ],
)
async def test_names_nobody_has_are_told_apart(model: str, error: type[NexusError], text: str) -> None:
    catalog = await stocked((Fake("p", "a"), Rules()))
    with pytest.raises(error) as raised:
        sent(catalog, model)
    assert str(raised.value) == text


async def test_a_bare_name_is_malformed_where_there_are_no_bare_names() -> None:
    catalog = await stocked((Fake("p", discovers=False), explicit(a=None)))
    with pytest.raises(InvalidRequest, match="Invalid model format: expected 'provider/model', got 'a'"):
        sent(catalog, "a")


async def test_a_provider_that_fails_keeps_its_list_and_disturbs_nobody() -> None:
    bad, good = Fake("bad", "x"), Fake("good", "y")
    catalog = await stocked((bad, Rules()), (good, Rules()))
    bad.ids, good.ids = UpstreamUnreachable("OpenAI", "gone"), ["y", "z"]
    await catalog.refresh()
    assert list(catalog.snapshot.models) == ["x", "y", "z"]
    assert "gone" in catalog.troubles["bad"]
    bad.ids = ["w"]
    await catalog.refresh()
    assert list(catalog.snapshot.models) == ["w", "y", "z"]
    assert catalog.troubles == {}


async def test_an_error_answer_at_start_is_fatal_unless_forgiven_and_silence_is_not() -> None:
    angry = Fake("angry")
    angry.ids = UpstreamError(401, (), b"bad key", b"text/plain")
    with pytest.raises(
        DiscoveryFailed, match="provider 'angry' did not give its models: the upstream answered 401: bad key"
    ):
        await Catalog([(angry, Rules())], 1000, Clock()).start(forgiving=False)
    absent = Fake("absent")
    absent.ids = UpstreamUnreachable("OpenAI", "refused")
    for providers, forgiving in (([(angry, Rules())], True), ([(absent, Rules())], False)):
        catalog = Catalog(providers, 1000, Clock())
        await catalog.start(forgiving=forgiving)
        assert catalog.ready
        await catalog.close()


async def test_rounds_at_the_same_time_are_one() -> None:
    fake = Fake("p", "a")
    catalog = Catalog([(fake, Rules())], 1000, Clock())
    await asyncio.gather(*(catalog.refresh() for _ in range(10)))
    assert fake.asked == 1


async def test_asking_for_nonsense_refreshes_at_most_every_few_seconds() -> None:
    fake, clock = Fake("p", "a"), Clock()
    catalog = Catalog([(fake, Rules())], 1000, clock)
    await catalog.refresh()
    for _ in range(5):
        await catalog.refresh_for("nonsense")
    assert fake.asked == 1
    clock.now += 11
    for _ in range(5):
        await catalog.refresh_for("nonsense")
    assert fake.asked == 2


async def test_the_list_is_refreshed_at_its_interval() -> None:
    fake = Fake("p", "a")
    catalog = Catalog([(fake, Rules())], 0.01, Clock())
    await catalog.start(forgiving=False)
    async with asyncio.timeout(5):
        while fake.asked < 3:
            await asyncio.sleep(0.005)
    await catalog.close()
