"""Keys: fetched once for all, kept for their time, served stale when nobody answers, asked for again when one is unknown."""

import asyncio

import httpx2
import msgspec
import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from nexus.auth.jwks import Http, Jwks, Keys, KeysUnavailable

ONE = ECKey.generate_key("P-256", {"kid": "one"})
TWO = OKPKey.generate_key("Ed25519", {"kid": "two"})


def written(*keys: Key) -> bytes:
    return msgspec.json.encode({"keys": [key.as_dict() for key in keys]})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A source that says what a test tells it to."""

    def __init__(self, document: bytes | Exception) -> None:
        self.document = document
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> bytes:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.document, Exception):
            raise self.document
        return self.document

    async def close(self) -> None: ...


def made(document: bytes | Exception, ttl: float | None = None) -> tuple[Jwks, Told, Clock]:
    source, clock = Told(document), Clock()
    return Jwks(source, ttl, clock, min_interval=5.0), source, clock


def kids(keys: Keys) -> list[str | None]:
    return [key.kid for key in keys.named(None)]


async def test_cold_requests_share_one_fetch() -> None:
    jwks, source, _ = made(written(ONE))
    source.gate.clear()
    waiting = [asyncio.create_task(jwks.keys()) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    found = await asyncio.gather(*waiting)
    assert source.asked == 1
    assert all(one is found[0] for one in found)


async def test_one_who_stops_waiting_stops_nobody_else() -> None:
    jwks, source, _ = made(written(ONE))
    source.gate.clear()
    first, second = asyncio.create_task(jwks.keys()), asyncio.create_task(jwks.keys())
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert kids(await second) == ["one"]
    assert source.asked == 1


async def test_without_a_time_keys_are_kept_for_ever() -> None:
    jwks, source, clock = made(written(ONE))
    await jwks.keys()
    clock.now += 1e9
    await jwks.keys()
    assert source.asked == 1


@pytest.mark.parametrize(("later", "asked"), [(0.5, 1), (0.501, 2)])
async def test_keys_are_asked_for_again_after_their_time(later: float, asked: int) -> None:
    jwks, source, clock = made(written(ONE), ttl=0.5)
    await jwks.keys()
    clock.now += later
    await asyncio.gather(*(jwks.keys() for _ in range(10)))
    assert source.asked == asked


async def test_an_unchanged_document_stays_the_same_keys() -> None:
    jwks, source, clock = made(written(ONE), ttl=1)
    before = await jwks.keys()
    clock.now += 2
    assert await jwks.keys() is before
    source.document = written(ONE, TWO)
    clock.now += 2
    assert await jwks.keys() is not before


@pytest.mark.parametrize(
    "failure", [OSError("down"), b"not json", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b"\xff", b"{}"]
)
async def test_known_keys_outlive_a_failure(
    failure: bytes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    jwks, source, clock = made(written(ONE), ttl=1)
    known = await jwks.keys()
    source.document = failure
    for _ in range(3):
        clock.now += 10
        assert await jwks.keys() is known
    assert len([line for line in caplog.messages if "could not be fetched" in line]) == 1
    source.document = written(TWO)
    clock.now += 10
    assert kids(await jwks.keys()) == ["two"]


async def test_a_failure_is_not_hammered() -> None:
    jwks, source, clock = made(OSError("down"))
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await jwks.keys()
    assert source.asked == 1
    clock.now += 5
    source.document = written(ONE)
    assert kids(await jwks.keys()) == ["one"]


async def test_a_failed_refresh_of_known_keys_is_not_hammered_either() -> None:
    jwks, source, clock = made(written(ONE), ttl=1)
    await jwks.keys()
    source.document = OSError("down")
    clock.now += 2
    for _ in range(20):
        await jwks.keys()
    assert source.asked == 2


async def test_newer_keys_are_asked_for_no_more_often_than_allowed() -> None:
    jwks, source, clock = made(written(ONE))
    known = await jwks.keys()
    source.document = written(TWO)
    assert await jwks.newer(known) is known
    clock.now += 5
    newer = await asyncio.gather(*(jwks.newer(known) for _ in range(10)))
    assert [kids(one) for one in newer] == [["two"]] * 10
    assert source.asked == 2


async def test_a_slow_source_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.auth.jwks._TIMEOUT", 0.01)
    jwks, source, _ = made(written(ONE))
    source.gate.clear()
    with pytest.raises(KeysUnavailable):
        await jwks.keys()


async def test_a_slow_source_keeps_nobody_waiting_who_has_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.auth.jwks._PATIENCE", 0.01)
    jwks, source, clock = made(written(ONE), ttl=10.0)
    old = await jwks.keys()
    clock.now += 11
    source.document = written(TWO)
    source.gate.clear()
    assert await jwks.keys() is old
    assert await jwks.keys() is old
    renewed = asyncio.create_task(jwks.newer(old))  # who has a token of an unknown key does wait
    await asyncio.sleep(0)
    source.gate.set()
    assert kids(await renewed) == ["two"]
    assert (kids(await jwks.keys()), source.asked) == (["two"], 2)


async def test_a_key_nobody_understands_takes_no_other_with_it() -> None:
    good = ONE.as_dict()
    strange: list[object] = [
        {"kty": "PQC", "kid": "new"},
        {"kty": "RSA", "kid": "broken"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off the curve"},
        {"kid": "of no type"},
        {"kty": 7},
    ]
    jwks, _, _ = made(msgspec.json.encode({"keys": [*strange, good]}))
    assert kids(await jwks.keys()) == ["one"]


async def test_weak_keys_are_left_out() -> None:
    with pytest.warns(Warning, match="2048"):
        weak = RSAKey.generate_key(1024, {"kid": "weak"})
    jwks, _, _ = made(written(weak, ONE, OctKey.import_key("c2hvcnQgYnV0IGxvbmcgZW5vdWdo", {"kid": "oct"})))
    assert "weak" not in kids(await jwks.keys())


async def test_a_token_that_names_no_key_may_be_of_any() -> None:
    jwks, _, _ = made(written(ONE, TWO))
    keys = await jwks.keys()
    assert [key.kid for key in keys.named(None)] == ["one", "two"]
    assert [key.kid for key in keys.named("two")] == ["two"]
    assert list(keys.named("three")) == []


async def test_closing_ends_a_fetch_under_way() -> None:
    jwks, source, _ = made(written(ONE))
    source.gate.clear()
    waiting = asyncio.create_task(jwks.keys())
    await asyncio.sleep(0)
    await jwks.close()
    with pytest.raises(KeysUnavailable):
        await waiting


@pytest.mark.parametrize("through", ["http://idp.test/keys", "https://other.test/keys"])
async def test_keys_come_by_no_way_that_is_not_secret_where_theirs_is(through: str) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/jwks":
            return httpx2.Response(302, headers={"location": through})
        if request.url.scheme == "http":  # and back again, as if nothing had been
            return httpx2.Response(302, headers={"location": "https://idp.test/keys"})
        return httpx2.Response(200, content=written(ONE))

    source = Http("https://idp.test/jwks")
    await source.close()
    source._client = httpx2.AsyncClient(  # pyright: ignore[reportPrivateUsage]  # no network
        transport=httpx2.MockTransport(answer), follow_redirects=True
    )
    if through.startswith("https:"):
        assert await source.fetch() == written(ONE)
    else:
        with pytest.raises(OSError, match="redirected"):
            await source.fetch()
    await source.close()
