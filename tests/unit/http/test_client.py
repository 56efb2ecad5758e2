"""Bad upstreams never hang or mislead the gateway: the pool against servers that misbehave on purpose."""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from nexus.http.client import (
    HIGH_WATER,
    MAX_HEAD,
    Failed,
    Limits,
    Pool,
    Response,
    TimedOut,
    TooLarge,
    Truncated,
    header_block,
)
from nexus.http.connect import Origin
from upstreams.misbehaving import (
    CHUNKED,
    UNFRAMED,
    Script,
    Upstream,
    Wire,
    answer,
    chunk,
    echo,
    on_both_loops,
    saying,
    serving,
    silence,
    until,
)

SECRET = "sk-do-not-show-me"
HEADERS = header_block([("authorization", f"Bearer {SECRET}"), ("content-type", "application/json")])
MUCH = 1 << 20
MALFORMED = "the upstream sent a malformed HTTP response"


@asynccontextmanager
async def calling(*scripts: Script, **limits: Any) -> AsyncGenerator[tuple[Pool, Upstream]]:
    settings: dict[str, Any] = {"connect": 2.0, "first_byte": 5.0, "idle": 5.0, **limits}
    async with serving(*scripts) as upstream:
        pool = Pool(upstream.origin, Limits(**settings))
        yield pool, upstream
        pool.close()
        assert pool.open == 0


async def begin(pool: Pool, body: bytes = b"{}") -> Response:
    return await pool.request(b"POST", b"/v1/chat", HEADERS, body)


async def ask(pool: Pool, body: bytes = b"{}") -> bytes:
    return await (await begin(pool, body)).read(MUCH)


async def failure(pool: Pool, kind: type[Failed] = Failed) -> Failed:
    """Make a request that must break, and look that its error shows no secret."""
    with pytest.raises(Failed) as caught:
        await ask(pool)
    error = caught.value
    assert type(error) is kind
    cause: BaseException | None = error
    while cause is not None:
        assert SECRET not in f"{cause!s}{cause!r}"
        cause = cause.__cause__
    return error


# time


@on_both_loops
async def test_a_silent_upstream_times_out_at_the_first_byte() -> None:
    async with calling(silence, first_byte=0.1) as (pool, _):
        error = await failure(pool, TimedOut)
        assert str(error) == "the upstream did not answer within 0.1 seconds"
        assert not error.received


@on_both_loops
async def test_dripping_header_bytes_do_not_put_the_first_byte_off() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 1000, 0.02)

    async with calling(script, first_byte=0.15) as (pool, _):
        async with asyncio.timeout(1):
            assert (await failure(pool, TimedOut)).received


@on_both_loops
async def test_provisional_answers_do_not_put_the_first_byte_off() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        while True:
            await wire.say(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.02)

    async with calling(script, first_byte=0.15) as (pool, _):
        async with asyncio.timeout(1):
            await failure(pool, TimedOut)


@on_both_loops
async def test_a_body_that_stops_times_out_and_keeps_what_came() -> None:
    async with calling(saying(CHUNKED + chunk(b"one"), then=silence), idle=0.1) as (pool, _):
        response = await begin(pool)
        assert await response.next() == b"one"
        with pytest.raises(TimedOut, match=r"silent for 0\.1 seconds amid its answer"):
            await response.next()
        assert pool.open == 0


@on_both_loops
@pytest.mark.parametrize("tail", [b"5;" + b"x" * 1000, b"0\r\nx-trailer: " + b"x" * 1000])
async def test_bytes_that_are_no_body_do_not_put_the_idle_time_off(tail: bytes) -> None:
    async def dripping(wire: Wire) -> None:
        await wire.drip(tail, 0.02)

    async with calling(saying(CHUNKED + chunk(b"one"), then=dripping), idle=0.15) as (pool, _):
        async with asyncio.timeout(1):
            await failure(pool, TimedOut)


@on_both_loops
async def test_a_stream_that_keeps_talking_has_no_limit() -> None:
    async def talking(wire: Wire) -> None:
        for _ in range(30):
            await wire.say(chunk(b"word "))
            await asyncio.sleep(0.02)
        await wire.say(b"0\r\n\r\n")

    async with calling(saying(CHUNKED, then=talking), first_byte=0.25, idle=0.25) as (pool, _):
        assert await ask(pool) == b"word " * 30


@on_both_loops
async def test_heartbeats_come_in_silence_only() -> None:
    async def script(wire: Wire) -> None:
        await wire.say(chunk(b"one"))
        await asked.wait()
        await wire.say(chunk(b"two") + b"0\r\n\r\n")

    asked = asyncio.Event()
    async with calling(saying(CHUNKED, then=script), idle=0.4) as (pool, _):
        response = await begin(pool)
        response.heartbeat = 0.05
        assert await response.next() == b"one"
        assert await response.next() is None
        assert await response.next() is None
        asked.set()
        assert await response.next() == b"two"
        assert await response.next() == b""


@on_both_loops
async def test_a_heartbeat_does_not_end_the_reading_of_a_whole_body() -> None:
    async def late(wire: Wire) -> None:
        await asyncio.sleep(0.2)
        await wire.say(b"two")

    async with calling(saying(answer(b"onetwo")[:-3], then=late), idle=0.4) as (pool, _):
        response = await begin(pool)
        response.heartbeat = 0.05
        assert await response.read(MUCH) == b"onetwo"


@on_both_loops
async def test_heartbeats_do_not_put_the_idle_time_off() -> None:
    async with calling(saying(CHUNKED, then=silence), idle=0.2) as (pool, _):
        response = await begin(pool)
        response.heartbeat = 0.05
        with pytest.raises(TimedOut):
            await response.read(MUCH)


# answers that end early, late or not at all


@on_both_loops
@pytest.mark.parametrize("cut", [Wire.hang_up, Wire.reset])
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(CHUNKED + b"a\r\nhalf", id="in a chunk"),
        pytest.param(CHUNKED + chunk(b"one"), id="between chunks"),
        pytest.param(CHUNKED + chunk(b"one") + b"0\r\n", id="before the last line"),
        pytest.param(answer(b"whole")[:-1], id="in a body with length"),
        pytest.param(answer(b"")[:-1], id="in the head"),
        pytest.param(b"H", id="after one byte"),
    ],
)
async def test_a_cut_answer_is_truncated(said: bytes, cut: Callable[[Wire], None]) -> None:
    async def cutting(wire: Wire) -> None:
        await heard.wait()
        cut(wire)

    heard = asyncio.Event()
    async with calling(saying(said, then=cutting)) as (pool, upstream):
        asking = asyncio.ensure_future(failure(pool, Truncated))
        await until(lambda: bool(pool.open))
        for _ in range(20):
            await asyncio.sleep(0)
        heard.set()
        assert (await asking).received
        assert upstream.connections == 1  # never asked twice


@on_both_loops
async def test_what_came_before_the_cut_is_given_out() -> None:
    async with calling(saying(CHUNKED + chunk(b"one") + b"5\r\ntw")) as (pool, _):
        response = await begin(pool)
        await until(lambda: pool.open == 0)
        assert await response.next() == b"onetw"
        with pytest.raises(Truncated):
            await response.next()


@on_both_loops
async def test_a_body_without_length_is_whole_when_the_upstream_closes() -> None:
    async with calling(saying(UNFRAMED + b"all of it")) as (pool, _):
        assert await ask(pool) == b"all of it"
        assert pool.open == 0


@on_both_loops
async def test_a_body_without_length_is_truncated_by_a_reset() -> None:
    async def script(wire: Wire) -> None:
        await heard.wait()
        wire.reset()

    heard = asyncio.Event()
    async with calling(saying(UNFRAMED + b"some", then=script)) as (pool, _):
        response = await begin(pool)
        assert await response.next() == b"some"
        heard.set()
        with pytest.raises(Truncated):
            await response.next()


@on_both_loops
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"x", id="a byte"),
        pytest.param(answer(b"smuggled"), id="a second answer"),
        pytest.param(answer(b"smuggled")[:-4], id="half a second answer"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="a late provisional answer"),
    ],
)
async def test_bytes_after_the_body_cost_the_connection_and_nothing_else(extra: bytes) -> None:
    async with calling(saying(answer(b"mine") + extra, then=Wire.gone), echo) as (pool, upstream):
        assert await ask(pool) == b"mine"
        assert pool.open == 0
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 2


@on_both_loops
async def test_bytes_on_an_idle_connection_cost_the_connection_and_nothing_else() -> None:
    async def later(wire: Wire) -> None:
        await idle.wait()
        await wire.say(answer(b"nobody asked"))
        await wire.gone()

    idle = asyncio.Event()
    async with calling(saying(answer(b"mine"), then=later), echo) as (pool, upstream):
        assert await ask(pool) == b"mine"
        assert pool.open == 1
        idle.set()
        await until(lambda: pool.open == 0)
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 2


@on_both_loops
async def test_an_answer_that_comes_before_its_request_is_not_taken_for_the_next() -> None:
    async def eager(wire: Wire) -> None:
        await wire.say(answer(b"eager") + answer(b"for the next"))
        await wire.gone()

    async with calling(eager, echo) as (pool, _):
        with suppress(Failed):  # if it was there before we had asked
            assert await ask(pool) == b"eager"
        assert await ask(pool, b"next") == b"next"


@on_both_loops
async def test_an_answer_before_the_whole_request_was_read_costs_the_connection() -> None:
    async def impatient(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.say(answer(b"too much", status=b"413 Too Large"))
        await done.wait()

    done = asyncio.Event()
    async with calling(impatient, echo) as (pool, upstream):
        response = await begin(pool, b"x" * (32 << 20))
        assert (response.status, await response.read(MUCH)) == (413, b"too much")
        assert pool.open == 0
        done.set()
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 2


# keep-alive


@on_both_loops
async def test_a_connection_is_used_again() -> None:
    async with calling(echo) as (pool, upstream):
        for number in range(5):
            assert await ask(pool, b"%d" % number) == b"%d" % number
        assert (pool.open, upstream.connections) == (1, 1)


@on_both_loops
async def test_a_connection_closed_in_idleness_is_replaced() -> None:
    async with calling(saying(answer(b"one")), echo) as (pool, upstream):
        assert await ask(pool) == b"one"
        assert await ask(pool, b"two") == b"two"
        assert upstream.connections == 2


@on_both_loops
@pytest.mark.parametrize("cut", [Wire.hang_up, Wire.reset])
async def test_a_connection_closed_as_we_write_is_replaced(cut: Callable[[Wire], None]) -> None:
    async def rude(wire: Wire) -> None:
        await wire.request()
        cut(wire)

    async with calling(saying(answer(b"one"), then=rude), echo) as (pool, upstream):
        assert await ask(pool) == b"one"
        assert await ask(pool, b"two") == b"two"
        assert upstream.connections == 2


@on_both_loops
async def test_a_request_is_sent_twice_at_most_however_many_idle_connections_there_are() -> None:
    async def poisoned(wire: Wire) -> None:
        nonlocal poison
        while b"poison" not in await wire.request():
            await together.wait()
            await wire.say(answer(b"fine"))
        poison += 1

    poison, together = 0, asyncio.Event()
    async with calling(poisoned, max_connections=4) as (pool, upstream):
        asking = [asyncio.ensure_future(ask(pool)) for _ in range(4)]
        await until(lambda: upstream.connections == 4)
        together.set()
        await asyncio.gather(*asking)
        with pytest.raises(Failed, match="closed the connection without an answer"):
            await ask(pool, b"poison")
        assert (poison, upstream.connections) == (2, 5)
        assert await ask(pool) == b"fine"


@on_both_loops
async def test_a_kept_connection_that_says_one_byte_is_not_replaced() -> None:
    async def rude(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"H")

    async with calling(saying(answer(b"one"), then=rude), echo) as (pool, upstream):
        assert await ask(pool) == b"one"
        assert (await failure(pool, Truncated)).received
        assert upstream.connections == 1


@on_both_loops
async def test_a_fresh_connection_that_closes_is_not_replaced() -> None:
    async with calling(saying(b""), echo) as (pool, upstream):
        assert not (await failure(pool)).received
        assert upstream.connections == 1


@on_both_loops
async def test_idle_connections_are_closed_after_a_while() -> None:
    clock = asyncio.get_running_loop().time
    async with calling(echo, keep=0.1) as (pool, upstream):
        await ask(pool)
        await asyncio.sleep(0.05)
        await ask(pool)
        used = clock()
        await until(lambda: pool.open == 0)
        assert clock() - used > 0.09  # counted from the last use
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections >= 2


@on_both_loops
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(b"fine", b"connection: close"), id="connection: close"),
        pytest.param(answer(b"fine").replace(b"/1.1", b"/1.0"), id="HTTP/1.0"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nfine", id="HTTP/1.0 without length"),
    ],
)
async def test_a_connection_that_the_upstream_ends_is_not_used_again(said: bytes) -> None:
    async with calling(saying(said), echo) as (pool, upstream):
        assert await ask(pool) == b"fine"
        assert pool.open == 0
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 2


@on_both_loops
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(b"fine").replace(b"OK\r\n", b"OK\r\nx-empty:\r\n"), id="an empty header"),
        pytest.param(
            answer(b"fine", b"connection: keep-alive").replace(b"/1.1", b"/1.0"), id="HTTP/1.0 kept"
        ),
        pytest.param(
            CHUNKED + b'4;a=b;c="d"\r\nfine\r\n0;last\r\nx-trailer: 1\r\n\r\n', id="trailers, extensions"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"fine"), id="100"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + answer(b"fine"), id="103, 103, 103"
        ),
    ],
)
async def test_what_http_allows_is_understood_however_it_is_cut(said: bytes) -> None:
    async def script(wire: Wire) -> None:
        for edge in range(len(said) + 1):
            await wire.request()
            await wire.say(said[:edge])
            await asyncio.sleep(0)
            await wire.say(said[edge:])
        await wire.request()
        await wire.drip(said)

    async with calling(script) as (pool, upstream):
        for _ in range(len(said) + 2):
            response = await begin(pool)
            assert await response.read(MUCH) == b"fine"
            assert not response.header(b"link")
            assert not response.header(b"x-trailer")
        assert upstream.connections == 1


@on_both_loops
@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 255, 256])
async def test_a_body_of_any_size_is_the_same_byte_by_byte(size: int) -> None:
    body = random.Random(size).randbytes(size)
    forms = (answer(body), CHUNKED + (chunk(body) if body else b"") + b"0\r\n\r\n", UNFRAMED + body)

    async def script(wire: Wire) -> None:
        for form in forms:
            await wire.request()
            await wire.drip(form)

    async with calling(script) as (pool, upstream):
        for _ in forms:
            assert await ask(pool) == body
        assert upstream.connections == 1


@on_both_loops
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"205 Reset"])
async def test_an_answer_without_a_body_ends_with_its_head(status: bytes) -> None:
    said = b"HTTP/1.1 %s\r\n%s\r\n" % (status, b"content-length: 0\r\n" if status[2] == ord("5") else b"")
    async with calling(saying(said, then=echo)) as (pool, upstream):
        response = await begin(pool)
        assert (response.status, await response.read(MUCH)) == (int(status[:3]), b"")
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 1


# answers that are none


async def mirror(wire: Wire) -> None:
    await wire.say(await wire.request())


@on_both_loops
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(saying(b"SSH-2.0-OpenSSH_9.7\r\n"), id="ssh"),
        pytest.param(saying(b"\x15\x03\x01\x00\x02\x02\x46"), id="tls"),
        pytest.param(mirror, id="our own request"),
        pytest.param(saying(b"HTTP/1.1 101 Yes\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nx"), id="101"),
        pytest.param(saying(b"HTTP/1.1 101 Yes\r\n\r\n"), id="101 alone"),
        pytest.param(saying(b"HTTP/1.1 000 None\r\ncontent-length: 0\r\n\r\n"), id="status 000"),
        pytest.param(saying(b"HTTP/1.1 99 Less\r\n\r\n"), id="status 99"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), id="length -1"),
        pytest.param(saying(answer(b"1", b"content-length: 2")), id="two lengths"),
        pytest.param(saying(answer(b"1", b"transfer-encoding: chunked")), id="length and chunks"),
        pytest.param(saying(CHUNKED + b"ffffffffffffffffff\r\n"), id="endless chunk"),
        pytest.param(saying(CHUNKED + b"2\r\ntoo long\r\n"), id="long chunk"),
        pytest.param(saying(CHUNKED + b"zz\r\n"), id="no number"),
        pytest.param(saying(answer(b"1", b"no colon here")), id="no colon"),
    ],
)
async def test_what_is_not_http_is_refused(script: Script) -> None:
    async with calling(script) as (pool, upstream):
        error = await failure(pool)
        assert (str(error), error.received) == (MALFORMED, True)
        assert (pool.open, upstream.connections) == (0, 1)


async def one_header_for_ever(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\nx-endless: ")
    while True:
        await wire.say(b"x" * 5000)


async def headers_for_ever(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.say(b"x-more: and more\r\n" * 100)


async def provisional_for_ever(wire: Wire) -> None:
    await wire.request()
    while True:
        await wire.say(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


async def trailers_for_ever(wire: Wire) -> None:
    await wire.request()
    await wire.say(CHUNKED + chunk(b"one") + b"0\r\n")
    while True:
        await wire.say(b"x-more: and more\r\n" * 100)


async def extension_for_ever(wire: Wire) -> None:
    await wire.request()
    await wire.say(CHUNKED + b"3;a=")
    while True:
        await wire.say(b"x" * 5000)


@on_both_loops
@pytest.mark.parametrize(
    "script",
    [
        one_header_for_ever,
        headers_for_ever,
        provisional_for_ever,
        trailers_for_ever,
        extension_for_ever,
        pytest.param(saying(answer(b"fine", b"x-huge: " + b"x" * MAX_HEAD)), id="huge"),
        pytest.param(saying(answer(b"fine", *[b"x-more: %d" % n for n in range(6000)])), id="many"),
    ],
)
async def test_headers_without_end_are_refused(script: Script) -> None:
    async with calling(script) as (pool, _):
        assert str(await failure(pool, TooLarge)) == "the upstream sent more than 65536 bytes of headers"
        assert pool.open == 0


@on_both_loops
async def test_a_large_head_with_a_large_body_behind_it_is_fine() -> None:
    body = b"x" * (MUCH - 1)
    async with calling(saying(answer(body, b"x-large: " + b"x" * (MAX_HEAD - 100)))) as (pool, _):
        assert await ask(pool) == body


@on_both_loops
async def test_a_body_beyond_the_limit_is_refused_and_its_connection_closed() -> None:
    async with calling(saying(CHUNKED + chunk(b"x" * 2000), then=Wire.gone)) as (pool, _):
        response = await begin(pool)
        with pytest.raises(TooLarge, match="larger than 1000 bytes"):
            await response.read(1000)
        assert pool.open == 0


# no connection at all


@on_both_loops
async def test_a_reset_at_accept_is_a_failure() -> None:
    async def reset(wire: Wire) -> None:
        wire.reset()

    async with calling(reset) as (pool, _):
        assert not (await failure(pool)).received


@on_both_loops
async def test_a_refused_connection_is_a_failure() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        pool = Pool(Origin(False, "127.0.0.1", bound.getsockname()[1]))
        assert str(await failure(pool)).startswith("could not connect to 127.0.0.1: ")


@on_both_loops
@pytest.mark.parametrize("host", ["nowhere.invalid", "two..dots", "x" * 64])
async def test_an_unknown_host_is_a_failure(host: str) -> None:
    pool = Pool(Origin(False, host, 80))
    assert str(await failure(pool)).startswith(f"could not connect to {host}: ")


# back-pressure


@on_both_loops
async def test_an_upstream_faster_than_the_reader_has_to_wait() -> None:
    piece, sent = random.Random(0).randbytes(64 * 1024), 0

    async def pushing(wire: Wire) -> None:
        nonlocal sent
        for _ in range(800):
            await wire.say(chunk(piece))
            sent += len(piece)
        await wire.say(b"0\r\n\r\n")

    async with calling(saying(CHUNKED, then=pushing), idle=0.2) as (pool, _):
        response = await begin(pool)
        before = -1
        while before != sent:  # it stalls, for longer than the idle time-out
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 20 * MUCH
        held = await response.next()
        assert held is not None
        assert HIGH_WATER < len(held) <= HIGH_WATER * 2
        got = len(held)
        assert held == (piece * 8)[: len(held)]
        while data := await response.next():
            assert data == (piece * 9)[got % len(piece) :][: len(data)]
            assert len(data) <= HIGH_WATER * 2
            got += len(data)
        assert got == 800 * len(piece)
        assert pool.open == 1


# giving up


async def _cancelled(pool: Pool) -> None:
    asking = asyncio.ensure_future(begin(pool))
    await until(lambda: pool.open == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def _cancelled_reading(pool: Pool) -> None:
    response = await begin(pool)
    reading = asyncio.ensure_future(response.read(MUCH))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def _closed(pool: Pool) -> None:
    response = await begin(pool)
    response.close()
    with pytest.raises(Failed, match="given up"):
        await response.read(MUCH)


async def _pool_closed(pool: Pool) -> None:
    response = await begin(pool)
    pool.close()
    with pytest.raises(Failed, match="the gateway closed the connection"):
        await response.read(MUCH)
    with pytest.raises(Failed, match="the gateway is closing"):
        await ask(pool)


@on_both_loops
@pytest.mark.parametrize(
    ("said", "give_up"),
    [
        pytest.param(b"", _cancelled, id="cancelled"),
        pytest.param(CHUNKED, _cancelled_reading, id="cancelled in the body"),
        pytest.param(CHUNKED, _closed, id="closed"),
        pytest.param(UNFRAMED, _closed, id="closed, no length"),
        pytest.param(CHUNKED, _pool_closed, id="pool closed"),
        pytest.param(UNFRAMED, _pool_closed, id="pool closed, no length"),
    ],
)
async def test_an_upstream_learns_at_once_that_we_gave_up(
    said: bytes, give_up: Callable[[Pool], Awaitable[None]]
) -> None:
    async def watching(wire: Wire) -> None:
        await wire.gone()
        gone.set()

    gone = asyncio.Event()
    async with calling(saying(said, then=watching)) as (pool, _):
        await give_up(pool)
        async with asyncio.timeout(0.1):
            await gone.wait()
        assert pool.open == 0


@on_both_loops
async def test_closing_a_whole_answer_keeps_the_connection() -> None:
    async with calling(echo) as (pool, upstream):
        response = await begin(pool, b"unread")
        await until(lambda: response.complete)
        response.close()
        assert await ask(pool, b"next") == b"next"
        assert upstream.connections == 1


@on_both_loops
async def test_cancelling_at_any_turn_harms_no_other_exchange() -> None:
    async with calling(echo, max_connections=1) as (pool, _):
        for turns in range(60):
            first = asyncio.ensure_future(ask(pool, b"first"))
            second = asyncio.ensure_future(ask(pool, b"second"))
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            assert await second == b"second"
            await asyncio.gather(first, return_exceptions=True)


# the bound


@on_both_loops
async def test_who_waits_gets_a_connection_in_turn() -> None:
    async with calling(echo, max_connections=2) as (pool, upstream):
        order: list[int] = []

        async def one(number: int) -> None:
            assert await ask(pool, b"%d" % number) == b"%d" % number
            order.append(number)

        await asyncio.gather(*map(one, range(20)))
        assert (pool.open, upstream.connections) == (2, 2)
        assert all(abs(place - number) <= 2 for place, number in enumerate(order))


@on_both_loops
async def test_who_waits_for_too_long_is_told_so() -> None:
    async with calling(saying(CHUNKED, then=silence), echo, max_connections=1, connect=0.2) as (pool, _):
        busy = await begin(pool)
        error = await failure(pool, TimedOut)
        assert str(error) == "all 1 connections to 127.0.0.1 were busy for 0.2 seconds"
        busy.close()
        assert await ask(pool, b"free") == b"free"


@on_both_loops
@pytest.mark.parametrize("script", [saying(b""), saying(b"garbage"), saying(CHUNKED, then=silence)])
async def test_a_broken_exchange_makes_place_for_the_next(script: Script) -> None:
    async with calling(script, echo, max_connections=1, idle=0.1) as (pool, _):
        broken = asyncio.ensure_future(failure_of_any_kind(pool))
        waiting = [asyncio.ensure_future(ask(pool, b"next")) for _ in range(3)]
        assert await asyncio.gather(*waiting) == [b"next"] * 3
        await broken


async def failure_of_any_kind(pool: Pool) -> None:
    with pytest.raises(Failed):
        await ask(pool)


@on_both_loops
async def test_a_connection_that_cannot_be_made_makes_place_for_the_next() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        pool = Pool(Origin(False, "127.0.0.1", bound.getsockname()[1]), Limits(max_connections=1))
        async with asyncio.timeout(2):
            await asyncio.gather(*(failure(pool) for _ in range(5)))


@on_both_loops
async def test_closing_the_pool_lets_nobody_wait() -> None:
    async with calling(silence, max_connections=1) as (pool, _):
        asking = [asyncio.ensure_future(failure(pool)) for _ in range(4)]
        await until(lambda: pool.open == 1)
        pool.close()
        async with asyncio.timeout(1):
            await asyncio.gather(*asking)


@on_both_loops
async def test_closing_the_pool_as_it_connects_leaves_no_connection() -> None:
    for turns in range(12):
        async with calling(echo) as (pool, _):
            asking = asyncio.ensure_future(ask(pool))
            for _ in range(turns):
                await asyncio.sleep(0)
            pool.close()
            await asyncio.gather(asking, return_exceptions=True)
            assert pool.open == 0


MOODS: list[Callable[[bytes], bytes]] = [
    answer,
    answer,
    answer,
    lambda body: answer(body)[:-1],
    lambda body: answer(body, b"connection: close"),
    lambda body: answer(body) + b"more",
    lambda _: b"",
]


@on_both_loops
@pytest.mark.parametrize("seed", range(3))
async def test_cancelled_requests_lose_no_place(seed: int) -> None:
    chance, places = random.Random(seed), 3
    meeting = asyncio.Barrier(places)

    async def moody(wire: Wire) -> None:
        said = wanted = b""
        while said == wanted:
            body = (await wire.request()).partition(b"\r\n\r\n")[2]
            wanted, said = answer(body), chance.choice(MOODS)(body)
            if body == b"meet":
                said = wanted
                await meeting.wait()
            await some_turns(4)
            await wire.say(said)

    async def some_turns(most: int) -> None:
        for _ in range(chance.randrange(most)):
            await asyncio.sleep(0)

    async def one(body: bytes) -> None:
        with suppress(Failed):
            assert await ask(pool, body) == body

    async with calling(moody, max_connections=places) as (pool, _):
        running: list[asyncio.Task[None]] = []
        for number in range(400):
            running.append(asyncio.create_task(one(b"%d" % number)))
            await some_turns(3)
            if chance.random() < 0.6:
                chance.choice(running[-8:]).cancel()
            assert pool.open <= places
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert {type(end) for end in ends} == {type(None), asyncio.CancelledError}
        async with asyncio.timeout(2):  # every place is there: as many requests meet as there are places
            assert await asyncio.gather(*(ask(pool, b"meet") for _ in range(places))) == [b"meet"] * places


# what we write


@on_both_loops
async def test_a_request_is_written_as_it_should_be() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.say(answer(await wire.request()))

    async with calling(script) as (pool, upstream):
        host = b"host: 127.0.0.1:%d\r\n" % upstream.port
        assert (
            await ask(pool, b"{}")
            == b"POST /v1/chat HTTP/1.1\r\n" + host + HEADERS + b"content-length: 2\r\n\r\n{}"
        )
        response = await pool.request(b"GET", b"/v1/models", b"", b"")
        assert await response.read(MUCH) == b"GET /v1/models HTTP/1.1\r\n" + host + b"\r\n"
        response = await pool.request(b"POST", b"/", b"", b"")
        assert await response.read(MUCH) == b"POST / HTTP/1.1\r\n" + host + b"content-length: 0\r\n\r\n"


def test_header_lines_are_written_in_order() -> None:
    assert header_block([("a", "1"), ("b", "é")]) == b"a: 1\r\nb: \xe9\r\n"


@pytest.mark.parametrize("bad", ["x\r\ny: z", "x\ry", "x\ny", "x\0y", "€"])
def test_header_lines_cannot_be_smuggled(bad: str) -> None:
    with pytest.raises(ValueError, match="header 'x-key' holds") as caught:
        header_block([("x-key", SECRET + bad)])
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ValueError, match="holds"):
        header_block([(bad, "value")])


def test_the_clock_of_a_pool_is_as_fine_as_its_shortest_time() -> None:
    assert Limits().tick == 1.0
    assert Limits(keep=0.8).tick == pytest.approx(0.1)
    assert Limits(idle=0.001).tick == 0.02
