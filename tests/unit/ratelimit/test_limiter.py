"""Which limit is asked, by which key, for how much; and what becomes of holds."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from nexus.config import loads
from nexus.config.llm import ProviderConfig
from nexus.config.mcp import HttpServer
from nexus.config.ratelimit import RateLimits
from nexus.context import Identity
from nexus.errors import (
    InvalidRequest,
    NexusError,
    NotReady,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from nexus.ratelimit import Charge, Decision, RateLimited, StoreFailed
from nexus.ratelimit.hold import FREE, Hold
from nexus.ratelimit.limiter import FAILURES, Estimate, Limiter, OnError
from nexus.ratelimit.limiter import limiter as of_config
from nexus.ratelimit.memory import MemoryStore

LATER = "Rate limit exceeded: Token rate limit exceeded. Please try again later."
NEVER = (
    "Rate limit exceeded: Token rate limit exceeded. Request requires more tokens than the configured limit allows"
    " and cannot be fulfilled."
)
ALICE = Identity("alice")


class Recording(MemoryStore):
    """Counts, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(lambda: 1_000_000)
        self.asked: list[Sequence[Charge]] = []
        self.away = False

    async def charge(self, charges: Sequence[Charge]) -> Decision:
        if self.away:
            raise StoreFailed("away")
        self.asked.append(charges)
        return await super().charge(charges)

    async def check(self) -> None:
        if self.away:
            raise StoreFailed("away: redis.internal:6379")

    async def used(self, charge: Charge) -> int:
        return (await super().charge([Charge(charge.key, charge.window, charge.limit, 0)])).used[0]


def limits(**tables: Any) -> RateLimits:
    return RateLimits.model_validate({"enabled": True, **tables})


def provider(**tables: Any) -> ProviderConfig:
    return ProviderConfig.model_validate({"type": "openai", **tables})


def per_user(limit: int, interval: str = "60s", **groups: int) -> dict[str, Any]:
    named = {name: {"input_token_limit": value, "interval": interval} for name, value in groups.items()}
    return {"per_user": {"input_token_limit": limit, "interval": interval, "groups": named}}


def limiter(
    store: Recording,
    requests: RateLimits | None = None,
    providers: dict[str, ProviderConfig] | None = None,
    servers: dict[str, HttpServer] | None = None,
    on_error: OnError | None = None,
) -> Limiter:
    return Limiter(store, requests or RateLimits(enabled=False), providers or {}, servers or {}, on_error)


async def reserve(
    made: Limiter, identity: Identity, provider: str, model: str, input: int, output: int = 0
) -> Hold:
    budget = made.budget(identity, provider, model)
    return FREE if budget is None else await made.reserve(budget, Estimate(input, output))


async def settled(made: Limiter) -> None:
    """Let what is booked in the background be booked."""
    for _ in range(3):
        await asyncio.sleep(0)


ONE = {"limit": 2, "interval": "10s"}
UNCOUNTED = "limits cannot be counted, so requests are refused"


@pytest.mark.parametrize(
    ("on_error", "requests", "tokens", "trouble"),
    [
        (None, True, False, UNCOUNTED),
        (None, False, True, None),
        (None, True, True, UNCOUNTED),
        ("deny", True, False, UNCOUNTED),
        ("deny", False, True, UNCOUNTED),
        ("deny", False, False, None),
        ("allow", True, True, None),
    ],
)
async def test_a_store_that_is_away_is_trouble_where_requests_are_then_refused(
    on_error: OnError | None, requests: bool, tokens: bool, trouble: str | None
) -> None:
    store = Recording()
    providers = {"p": provider(rate_limits=per_user(1))} if tokens else {}
    made = limiter(store, limits(**{"global": ONE}) if requests else None, providers, on_error=on_error)
    assert await made.trouble() is None
    store.away = True
    assert await made.trouble() == trouble


async def test_nothing_configured_asks_nobody() -> None:
    store = Recording()
    made = limiter(store, limits())
    await made.admit("1.2.3.4")
    await made.failed("1.2.3.4")
    await made.call("server", "tool")
    assert await reserve(made, ALICE, "up", "m", 10**9) is FREE
    assert (store.asked, made.limits_requests, made.limits_tokens) == ([], False, False)


async def test_what_is_not_enabled_limits_no_request_and_no_call() -> None:
    store = Recording()
    off = RateLimits.model_validate({"enabled": False, "global": ONE, "per_ip": ONE})
    made = limiter(
        store, off, servers={"s": HttpServer.model_validate({"url": "http://x", "rate_limits": ONE})}
    )
    for _ in range(5):
        await made.admit("1.2.3.4")
        await made.call("s", "t")
    assert store.asked == []


async def test_a_request_counts_for_all_and_for_its_address_in_one_decision() -> None:
    store = Recording()
    made = limiter(store, limits(**{"global": {"limit": 3, "interval": "10s"}}, per_ip=ONE))
    await made.admit("1.1.1.1")
    await made.admit("1.1.1.1")
    with pytest.raises(RateLimited, match=r"^Rate limit exceeded$"):
        await made.admit("1.1.1.1")
    await made.admit("2.2.2.2")  # the one refused has used up nothing of everybody's
    with pytest.raises(RateLimited):
        await made.admit("3.3.3.3")
    assert [len(charges) for charges in store.asked] == [2] * 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.1.1.1", "1.1.1.2", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
    ],
)
async def test_an_address_is_one_of_ipv4_or_a_network_of_ipv6(one: str, other: str, same: bool) -> None:
    made = limiter(Recording(), limits(per_ip={"limit": 1, "interval": "10s"}))
    await made.admit(one)
    if same:
        with pytest.raises(RateLimited):
            await made.admit(other)
    else:
        await made.admit(other)


async def test_refused_tokens_are_counted_apart() -> None:
    made = limiter(Recording(), limits(per_ip={"limit": 1, "interval": "10s"}))
    for _ in range(FAILURES):
        await made.failed("1.1.1.1")
    with pytest.raises(RateLimited):
        await made.failed("1.1.1.1")
    await made.failed("2.2.2.2")
    await made.admit("1.1.1.1")


def server(**tools: dict[str, object]) -> HttpServer:
    return HttpServer.model_validate({"url": "http://x", "rate_limits": {**ONE, "tools": tools}})


async def test_calls_of_a_server_share_its_limit() -> None:
    made = limiter(Recording(), limits(), servers={"s": server()})
    await made.call("s", "one")
    await made.call("s", "two")
    with pytest.raises(RateLimited):
        await made.call("s", "three")
    await made.call("other", "one")


async def test_a_tool_with_a_limit_of_its_own_is_counted_by_that_alone() -> None:
    made = limiter(Recording(), limits(), servers={"s": server(cheap={"limit": 4, "interval": "10s"})})
    for _ in range(4):
        await made.call("s", "cheap")
    with pytest.raises(RateLimited):
        await made.call("s", "cheap")
    await made.call("s", "one")
    await made.call("s", "one")
    with pytest.raises(RateLimited):
        await made.call("s", "one")


async def test_a_request_over_http_and_its_call_are_counted_once_each() -> None:
    store = Recording()
    made = limiter(store, limits(**{"global": ONE}), servers={"s": server()})
    await made.admit("1.1.1.1")
    await made.call("s", "one")
    assert [[charge.key.split(":")[0] for charge in charges] for charges in store.asked] == [
        ["{requests}"],
        ["{server"],
    ]


@pytest.mark.parametrize(
    ("model", "group", "limit"),
    [
        ("both", "pro", 1),
        ("both", "free", 2),
        ("both", None, 2),
        ("plain", "pro", 3),
        ("plain", "free", 4),
        ("plain", None, 4),
        ("unknown", "pro", 3),
    ],
)
async def test_the_first_limit_that_exists_wins(model: str, group: str | None, limit: int) -> None:
    store = Recording()
    up = provider(
        rate_limits=per_user(4, pro=3),
        models={"both": {"rate_limits": per_user(2, pro=1)}, "plain": {}},
    )
    made = limiter(store, providers={"up": up})
    await reserve(made, Identity("alice", group), "up", model, 1)
    assert store.asked[0][0].limit == limit


async def test_a_model_with_limits_hides_its_providers_even_for_groups() -> None:
    store = Recording()
    up = provider(rate_limits=per_user(9, pro=1), models={"m": {"rate_limits": per_user(5)}})
    await reserve(limiter(store, providers={"up": up}), Identity("a", "pro"), "up", "m", 1)
    assert store.asked[0][0].limit == 5


def test_a_provider_without_limits_limits_nobody() -> None:
    made = limiter(Recording(), providers={"up": provider(rate_limits=per_user(1)), "other": provider()})
    assert made.budget(ALICE, "other", "m") is None


def test_names_are_kept_only_while_they_are_short() -> None:
    made = limiter(Recording(), providers={"up": provider(rate_limits=per_user(1))})
    short, long = Identity("a"), Identity("a" * 60_000)
    assert made.budget(short, "up", "m") is made.budget(short, "up", "m")
    assert made.budget(long, "up", "m") is not made.budget(long, "up", "m")
    assert made.budget(long, "up", "m") == made.budget(long, "up", "m")


@pytest.mark.parametrize(
    ("identity", "name", "model", "shared"),
    [
        (Identity("alice"), "up", "m", True),
        (Identity("alice", "free"), "up", "m", True),  # no limit of its own: the same as everybody's
        (Identity("alice", "pro"), "up", "m", False),
        (Identity("bob"), "up", "m", False),
        (Identity("alice"), "up", "n", False),
        (Identity("alice"), "down", "m", False),
        (Identity("alice:"), "up", "m", False),
        (Identity("alice%3A"), "up", "m", False),
    ],
)
async def test_budgets_are_apart_by_client_limit_provider_and_model(
    identity: Identity, name: str, model: str, shared: bool
) -> None:
    both = {key: provider(rate_limits=per_user(10, pro=10)) for key in ("up", "down")}
    made = limiter(Recording(), providers=both)
    await reserve(made, ALICE, "up", "m", 10)
    if shared:
        with pytest.raises(RateLimited):
            await reserve(made, identity, name, model, 10)
    else:
        await reserve(made, identity, name, model, 10)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a:b", "c"), ("a", "b:c")),
        (("a", "b/c"), ("a/b", "c")),
        (("a}", "b"), ("a", "}b")),
        (("x" * 300, "m"), ("x" * 301, "m")),
        (("", "m"), (" ", "m")),
        (("é", "m"), ("e", "m")),
        (("\ud800", "m"), ("?", "m")),
    ],
)
async def test_no_two_clients_share_a_key_by_accident(one: tuple[str, str], other: tuple[str, str]) -> None:
    made = limiter(Recording(), providers={"up": provider(rate_limits=per_user(1))})
    await reserve(made, Identity(one[0]), "up", one[1], 1)
    await reserve(made, Identity(other[0]), "up", other[1], 1)


async def test_what_is_used_up_is_told_in_the_words_of_the_contract() -> None:
    made = limiter(Recording(), providers={"up": provider(rate_limits=per_user(100))})
    for _ in range(12):
        await reserve(made, ALICE, "up", "m", 8)
    with pytest.raises(RateLimited) as refused:
        await reserve(made, ALICE, "up", "m", 8)
    assert (str(refused.value), refused.value.status, refused.value.headers) == (LATER, 429, ())


async def test_what_can_never_pass_is_told_so_and_uses_up_nothing() -> None:
    store = Recording()
    made = limiter(store, providers={"up": provider(rate_limits=per_user(100))})
    with pytest.raises(RateLimited) as refused:
        await reserve(made, ALICE, "up", "m", 101)
    assert (str(refused.value), store.asked) == (NEVER, [])


async def test_the_input_stays_as_estimated() -> None:
    store = Recording()
    made = limiter(store, providers={"up": provider(rate_limits=per_user(100))})
    with await reserve(made, ALICE, "up", "m", 8, 50) as hold:
        assert not hold.measured
        hold.settle(1000)
    await settled(made)
    assert len(store.asked) == 1


@pytest.mark.parametrize(
    ("error", "given_back"),
    [
        (UpstreamError(500, (), b"", b""), True),
        (UpstreamUnreachable("up", "refused"), True),
        (InvalidRequest("no"), True),
        (UpstreamTimeout("up", "late"), False),
        (UpstreamBroken("up", "cut"), False),
        (asyncio.CancelledError(), False),
        (RuntimeError(), False),
    ],
)
async def test_what_never_ran_is_given_back(error: BaseException, given_back: bool) -> None:
    store = Recording()
    made = limiter(store, providers={"up": provider(rate_limits=per_user(100))})
    with pytest.raises(type(error)):
        with await reserve(made, ALICE, "up", "m", 8):
            raise error
    await settled(made)
    assert await store.used(store.asked[0][0]) == (0 if given_back else 8)


@pytest.mark.parametrize("output", [0, 7, 50, 51, 5000])
async def test_the_output_is_settled_to_what_was_written(output: int) -> None:
    store = Recording()
    made = limiter(store)
    first = Charge("k", (await window()), 100, 50)
    at = (await store.charge([first])).at
    hold = Hold((first, first), at, made._book)  # pyright: ignore[reportPrivateUsage]
    hold.settle(output)
    hold.settle(output + 9)
    hold.cancel()
    await settled(made)
    assert await store.used(first) == output


async def window() -> Any:
    store = Recording()
    await limiter(store, limits(**{"global": ONE})).admit("")
    return store.asked[0][0].window


async def test_a_store_that_is_away_stops_requests_and_calls_and_no_tokens() -> None:
    store = Recording()
    up = provider(rate_limits=per_user(1))
    made = limiter(store, limits(**{"global": ONE}, per_ip=ONE), {"up": up}, {"s": server()})
    store.away = True
    with pytest.raises(StoreFailed):
        await made.admit("1.1.1.1")
    with pytest.raises(NotReady):
        await made.call("s", "t")
    assert await reserve(made, ALICE, "up", "m", 1) is FREE
    await made.failed("1.1.1.1")


@pytest.mark.parametrize("policy", ["allow", "deny"])
async def test_a_policy_holds_for_all_kinds(policy: OnError) -> None:
    store = Recording()
    up = provider(rate_limits=per_user(1))
    made = limiter(store, limits(**{"global": ONE}), {"up": up}, {"s": server()}, policy)
    store.away = True
    asked = [made.admit("1.1.1.1"), made.call("s", "t"), reserve(made, ALICE, "up", "m", 1)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    if policy == "allow":
        assert answers == [None, None, FREE]
    else:
        assert [isinstance(answer, (StoreFailed, NexusError)) for answer in answers] == [True] * 3


async def test_a_settlement_that_fails_troubles_nobody() -> None:
    store = Recording()
    made = limiter(store, providers={"up": provider(rate_limits=per_user(9))})
    hold = await reserve(made, ALICE, "up", "m", 1)
    store.away = True
    hold.cancel()
    await made.close()


async def test_closing_finishes_what_is_being_booked() -> None:
    store = Recording()
    made = limiter(store, providers={"up": provider(rate_limits=per_user(9))})
    (await reserve(made, ALICE, "up", "m", 5)).cancel()
    await made.close()
    assert await store.used(store.asked[0][0]) == 0


async def test_a_client_can_be_told_what_is_left() -> None:
    up = provider(rate_limits=per_user(100, pro=50), models={"m": {"rate_limits": per_user(10)}})
    made = limiter(Recording(), providers={"up": up})
    pro = Identity("alice", "pro")
    await reserve(made, pro, "up", "n", 20)
    left = await made.left(pro, [("up", "m"), ("up", "n"), ("other", "x")])
    assert [
        (one.provider, one.model, one.tokens, one.limit, one.remaining, one.interval) for one in left
    ] == [
        ("up", "m", "input", 10, 10, 60.0),
        ("up", "n", "input", 50, 30, 60.0),
    ]
    assert (await made.left(ALICE, [("up", "n")]))[0].remaining == 100
    assert await made.left(ALICE, [("other", "x")]) == []


STORED = """
[llm.providers.up]
type = "echo"

[server.rate_limits]
enabled = {enabled}
global = {{ limit = 1, interval = "1s" }}

[server.rate_limits.storage]
type = "redis"
url = "redis://127.0.0.1:1"
"""


def test_redis_is_named_where_its_client_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "nexus.ratelimit.redis", raising=False)
    made = loads(STORED.format(enabled="true"), {}).config
    with pytest.raises(ValueError, match=r"nexus-ai-gateway\[redis\]"):
        of_config(made, MemoryStore())


async def test_where_nothing_is_limited_nothing_is_connected_to() -> None:
    await of_config(loads(STORED.format(enabled="false"), {}).config, MemoryStore()).start()
