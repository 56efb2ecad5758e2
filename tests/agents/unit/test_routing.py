"""Which model is chosen, and how that is said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fakes import FakeAdapter
from nexus_agents import offers as gathering
from nexus_agents import routing
from nexus_agents.adapters import AMBIENT, EXPLICIT, Configured, Found
from nexus_agents.adapters.base import Listed
from nexus_agents.errors import AdapterError, AgentsError, Kind, Misuse, NoAdapter, Refused, UnknownModel
from nexus_agents.offers import Offers
from nexus_agents.registry import Profile, load
from nexus_agents.router import Router
from nexus_agents.settings import File, ModelOverlay

REGISTRY = load(File())
OPENCODE = [
    Listed(id="custom/claude-opus-4-5"),
    Listed(id="custom/claude-sonnet-4-5"),
    Listed(id="anthropic/claude-sonnet-4-6"),
]


class Broken(FakeAdapter):
    """An adapter whose list cannot be read."""

    def __init__(self, name: str, error: AgentsError, **more: Any) -> None:
        super().__init__(name, **more)
        self._error = error

    async def models(self):
        raise self._error


async def gather(*adapters: tuple[FakeAdapter, int]) -> Offers:
    return await gathering.gather(
        Found(tuple(Configured(one, "test", tier) for one, tier in adapters), ()), REGISTRY
    )


def router(offers: Offers, **more: Any) -> Router:
    return Router(offers, REGISTRY, billing="plan", max_cost=10.0, learned=routing.unlearned, **more)


def openrouter(*listed: Listed, pinned: str = "") -> FakeAdapter:
    return FakeAdapter("openrouter", listed=listed, pinned=pinned)


# what a task needs


@pytest.mark.parametrize(
    ("task", "flag"),
    [
        ("Analyze the trade-offs", "reasoning"),
        ("summarize the repository", "context"),
        ("be quick", "speed"),
        ("fix the bug", "code"),
        ("a cheap one", "cost"),
    ],
)
def test_words_say_what_a_task_needs(task: str, flag: str):
    assert getattr(routing.need(task), flag)


@pytest.mark.parametrize(
    "task", ["sew a costume", "the latest news", "how to freeze fish", "a prefix", "breakfast"]
)
def test_parts_of_words_say_nothing(task: str):
    need = routing.need(task)
    assert (need.cost, need.code, need.speed) == (False, False, False)


@given(st.text(max_size=300))
def test_every_task_has_a_need(task: str):
    assert routing.need(task).tokens >= 0


# what is known of a model


@pytest.mark.parametrize(
    ("listed", "reasoning"),
    [
        ("anthropic/claude-opus-4.6", 10),
        ("claude-3-5-sonnet-20241022", 9),
        ("google/gemini-3-pro", 10),
        ("openai/gpt-4o", 9),
        ("gpt-4o-mini", 7),
        ("meta-llama/llama-3.3-70b-instruct:free", 7),
        ("local/SmolLM2-135M", 2),
        ("never/heard-of-it", 5),
    ],
)
def test_a_listed_model_is_recognised_by_its_name(listed: str, reasoning: int):
    assert REGISTRY.describe("x", Listed(id=listed)).reasoning == reasoning


def test_what_the_catalogue_says_wins():
    listed = Listed(id="claude-opus-9", context=1234, input_per_million=1.5, output_per_million=2.5)
    profile = REGISTRY.describe("x", listed)
    assert (profile.context, profile.input_per_million, profile.output_per_million) == (1234, 1.5, 2.5)


def test_an_unknown_model_has_a_small_window():
    assert REGISTRY.describe("x", Listed(id="never-heard-of-it")).context == 8192


def test_the_seeds_rows_are_there():
    opus, sonnet = REGISTRY.profiles["opencode-custom-opus"], REGISTRY.profiles["opencode-custom-sonnet"]
    assert (opus.model, opus.reasoning, opus.code, opus.speed) == ("custom/claude-opus-4-5", 10, 9, 5)
    assert (sonnet.model, sonnet.reasoning, sonnet.code, sonnet.speed) == (
        "custom/claude-sonnet-4-5",
        9,
        9,
        7,
    )
    assert (opus.context, opus.output) == (200_000, 65_536)
    assert REGISTRY.chains["opencode"] == (
        "opencode-custom-opus",
        "opencode-custom-sonnet",
        "opencode-default",
    )


def test_the_user_changes_rows_without_touching_the_source():
    registry = load(File(models={"opencode-custom-opus": ModelOverlay(model="custom/your-model-id")}))
    assert registry.profiles["opencode-custom-opus"].model == "custom/your-model-id"
    assert registry.profiles["opencode-custom-opus"].reasoning == 10


def test_the_users_description_comes_before_the_built_in_one():
    registry = load(File(models={"mine": ModelOverlay(names=("gpt-4o*",), reasoning=1)}))
    assert registry.describe("x", Listed(id="gpt-4o")).reasoning == 1


def test_a_row_that_nothing_could_serve_is_refused():
    with pytest.raises(Misuse, match="mine"):
        load(File(models={"mine": ModelOverlay(reasoning=1)}))


def test_a_chain_of_rows_that_are_not_there_is_refused():
    with pytest.raises(Misuse, match="nowhere"):
        load(File(chains={"x": ("nowhere",)}))


# automatic choice


async def test_openrouters_free_models_go_first_then_one_that_is_paid():
    listed = [
        Listed(
            id="anthropic/claude-opus-4.6", context=200_000, input_per_million=5.0, output_per_million=25.0
        ),
        Listed(id="qwen/qwen3-coder", context=200_000, input_per_million=0.3, output_per_million=1.0),
        Listed(id="google/gemma-3-1b", context=32_000, input_per_million=0.01, output_per_million=0.01),
        *(Listed(id=f"meta-llama/llama-3.{n}-70b:free", context=131_072) for n in range(5)),
        Listed(id="meta-llama/llama-4-large", context=131_072),  # what it costs nobody says
        Listed(id="unheard/of", context=99_000, input_per_million=0.001, output_per_million=0.001),
    ]
    adapter = openrouter(*listed)
    choice = router(await gather((adapter, EXPLICIT))).choose("Print the string OK")
    chosen = [(offer.model, offer.free) for offer in choice.offers]
    assert [free for _, free in chosen] == [True, True, True, False]
    assert chosen[3][0] == "qwen/qwen3-coder"  # the cheapest that is known to be good enough


async def test_a_paid_model_that_costs_more_than_the_budget_is_left_out():
    dear = Listed(id="claude-opus-9", context=200_000, input_per_million=5_000.0, output_per_million=25_000.0)
    offers = await gather((FakeAdapter("x", listed=[dear]), EXPLICIT))
    with pytest.raises(NoAdapter, match="cost at least"):
        Router(offers, REGISTRY, billing="plan", max_cost=0.01, learned=routing.unlearned).choose("x")


async def test_a_gateway_configured_for_the_agents_goes_before_what_happens_to_be_there():
    offers = await gather(
        (FakeAdapter("opencode", listed=OPENCODE), AMBIENT), (FakeAdapter("custom-openai"), EXPLICIT)
    )
    choice = router(offers).choose("Analyze and design a complex system")
    assert choice.offers[0].adapter.name == "custom-openai"
    assert [offer.id for offer in choice.offers[1:]] == [
        "opencode-custom-opus",
        "opencode-custom-sonnet",
        "opencode-default",
    ]


async def test_opencodes_custom_models_compete_with_direct_ones():
    direct = FakeAdapter("openai", listed=[Listed(id="gpt-4o-mini")])
    offers = await gather((direct, AMBIENT), (FakeAdapter("opencode", listed=OPENCODE), AMBIENT))
    best = router(offers).choose("Analyze the complex design and reason about it").offers[0]
    assert best.id.startswith("opencode-custom")
    assert router(offers).choose("quick and short").offers[0].id == "openai/gpt-4o-mini"


async def test_the_chain_follows_its_first_model():
    offers = await gather((FakeAdapter("opencode", listed=OPENCODE), AMBIENT))
    choice = router(offers, explicit="opencode-custom-opus", fallback=True).choose("x")
    assert [offer.id for offer in choice.offers] == [
        "opencode-custom-opus",
        "opencode-custom-sonnet",
        "opencode-default",
    ]


async def test_a_task_too_long_for_a_model_is_not_given_to_it():
    offers = await gather(
        (
            FakeAdapter("x", listed=[Listed(id="small", context=1_000), Listed(id="large", context=50_000)]),
            EXPLICIT,
        )
    )
    choice = router(offers).choose("word " * 4_000)
    assert [offer.model for offer in choice.offers] == ["large"]
    assert "too small" in str(next(one.excluded for one in choice.routing.candidates if one.model == "small"))


async def test_the_same_request_gets_the_same_answer():
    listed = [Listed(id=f"m{n}") for n in range(20)]
    offers = await gather((FakeAdapter("x", listed=listed), EXPLICIT))
    assert {router(offers).choose("design").offers[0].model for _ in range(5)} == {"m0"}


async def test_what_was_seen_here_moves_a_choice_a_little():
    listed = [Listed(id="m1"), Listed(id="m2")]
    offers = await gather((FakeAdapter("x", listed=listed), EXPLICIT))
    learned = Router(
        offers,
        REGISTRY,
        billing="plan",
        max_cost=10.0,
        learned=lambda _, model: 3.0 if model == "m2" else 0.0,
    )
    choice = learned.choose("x")
    assert choice.offers[0].model == "m2"
    assert any(term.name == "seen here" for term in choice.routing.candidates[0].terms)


async def test_a_pin_is_taken_and_nothing_else_of_its_adapter():
    adapter = openrouter(
        Listed(id="free/one:free"), Listed(id="anthropic/claude-opus-4.6"), pinned="anthropic/claude-opus-4.6"
    )
    choice = router(await gather((adapter, EXPLICIT))).choose("x")
    assert [offer.model for offer in choice.offers] == ["anthropic/claude-opus-4.6"]


async def test_a_pin_the_catalogue_lacks_is_sent_as_it_is_and_warned_about():
    choice = router(await gather((openrouter(Listed(id="a/b:free"), pinned="a/c"), EXPLICIT))).choose("x")
    assert choice.offers[0].model == "a/c"
    assert "does not list a/c" in choice.offers[0].warning


async def test_a_pin_with_a_variant_of_a_listed_model_is_no_cause_for_a_warning():
    choice = router(await gather((openrouter(Listed(id="a/b"), pinned="a/b:nitro"), EXPLICIT))).choose("x")
    assert (choice.offers[0].model, choice.offers[0].warning) == ("a/b:nitro", "")


async def test_models_that_do_not_chat_are_not_offered():
    listed = [
        Listed(id=name) for name in ("text-embedding-3-small", "whisper-1", "dall-e-3", "tts-1", "gpt-4o")
    ]
    offers = await gather((FakeAdapter("x", listed=listed), EXPLICIT))
    assert [offer.model for offer in offers.all] == ["gpt-4o"]


async def test_models_that_cannot_call_tools_are_not_asked_to():
    listed = [
        Listed(id="m1", parameters=("temperature",)),
        Listed(id="m2", parameters=("tools",)),
        Listed(id="m3"),
    ]
    offers = await gather((FakeAdapter("x", listed=listed), EXPLICIT))
    assert [offer.model for offer in router(offers).choose("x", tools=True).offers] == ["m2", "m3"]


# names


async def several() -> Offers:
    claude = FakeAdapter("anthropic", listed=[Listed(id="claude-opus-4-6"), Listed(id="claude-haiku-4-5")])
    return await gather((claude, AMBIENT), (FakeAdapter("opencode", listed=OPENCODE), AMBIENT))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("opencode-custom-opus", "custom/claude-opus-4-5"),
        ("custom-opus", "custom/claude-opus-4-5"),
        ("custom/claude-opus-4-5", "custom/claude-opus-4-5"),
        ("opencode/custom/claude-opus-4-5", "custom/claude-opus-4-5"),
        ("opus", "claude-opus-4-6"),
        ("claude-opus", "claude-opus-4-6"),
        ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
        ("claude-haiku-4-5", "claude-haiku-4-5"),
    ],
)
async def test_a_model_is_found_by_any_of_its_names_and_has_no_stand_in(name: str, model: str):
    choice = router(await several(), explicit=name).choose("x")
    assert [offer.model for offer in choice.offers] == [model]
    assert choice.routing.confidence == 1.0


async def test_an_adapters_name_leaves_the_choice_within_it():
    choice = router(await several(), explicit="anthropic").choose("Analyze this complex design")
    assert {offer.adapter.name for offer in choice.offers} == {"anthropic"}


async def test_a_name_that_means_nothing_is_refused_with_its_neighbours():
    with pytest.raises(UnknownModel, match="opencode-custom-opus"):
        router(await several(), explicit="opencode-custom-opsu").choose("x")


async def test_a_row_whose_adapter_is_missing_is_never_replaced():
    offers = await gather((FakeAdapter("custom-openai"), EXPLICIT))
    with pytest.raises(UnknownModel, match="opencode"):
        router(offers, explicit="opencode-custom-opus").choose("x")


async def test_the_caller_goes_before_the_expert_and_the_expert_before_the_default():
    from nexus_agents.experts import Expert

    offers = await gather((FakeAdapter("x", listed=[Listed(id=n) for n in ("a", "b", "c")]), EXPLICIT))
    expert = Expert(name="e", prompt="p", model="b")
    assert router(offers, explicit="a", default="c").choose("x", expert).offers[0].model == "a"
    assert router(offers, default="c").choose("x", expert).offers[0].model == "b"
    assert router(offers, default="c").choose("x").offers[0].model == "c"


async def test_an_unlisted_model_can_be_named_where_no_list_can_be_read():
    offers = await gather((Broken("custom-openai", AdapterError(Kind.NOT_FOUND, "no list")), EXPLICIT))
    choice = router(offers, explicit="custom-openai/any/model").choose("x")
    assert [offer.model for offer in choice.offers] == ["any/model"]
    with pytest.raises(NoAdapter, match="no list"):
        router(offers).choose("x")


# troubles


async def test_a_refused_adapter_offers_nothing_and_says_why():
    refused = Refused("URL refused", "Set X=1.", reason="loopback", host="h")
    offers = await gather((Broken("custom-openai", refused, pinned="m"), EXPLICIT))
    with pytest.raises(NoAdapter, match=r"Set X=1\."):
        router(offers).choose("x")


async def test_a_pin_is_tried_where_the_list_cannot_be_read():
    offers = await gather(
        (Broken("custom-openai", AdapterError(Kind.NOT_FOUND, "no list"), pinned="m"), EXPLICIT)
    )
    assert [offer.model for offer in router(offers).choose("x").offers] == ["m"]


async def test_the_registrys_rows_are_tried_where_opencode_lists_nothing():
    offers = await gather((Broken("opencode", AdapterError(Kind.TIMEOUT, "slow")), AMBIENT))
    assert router(offers).choose("x").offers[0].id.startswith("opencode-")


async def test_without_anything_the_cure_is_told():
    with pytest.raises(NoAdapter, match="OPENROUTER_API_KEY") as caught:
        router(await gather()).choose("x")
    assert caught.value.exit_code == 3
    assert "No model adapter configured" in str(caught.value)


def test_a_score_is_the_sum_of_its_terms():
    profile = Profile(id="p", reasoning=7, speed=3, code=9, cost=2)
    need = routing.need("implement a quick and cheap thing")
    found = {term.name: term.value for term in routing.terms(profile, need, "api")}
    assert found == {"reasoning": 7, "speed": 9, "code": 18, "cost": 6}
