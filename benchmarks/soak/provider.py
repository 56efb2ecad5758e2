"""The mock provider of the soak: three vendors on one port and a collector on another, failing as each request asks it to.

A program: `python -m benchmarks.soak.provider PORT COLLECTOR_PORT`. A request says in its text `soak <number> <fault> <words>`.
`GET /state` tells what it saw; `POST /hang_up` closes the connections nobody is using.
"""

import asyncio
import contextlib
import functools
import re
import socket
import struct
import sys
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import uvloop

from benchmarks.soak import vendors

MARK = re.compile(rb"soak (\d+) (\w+) (\d+)")
PACE = 0.002
"""Seconds between two events of a stream."""
_JSON, _EVENTS = "application/json", "text/event-stream"
_COLLECTED = ("/v1/traces", "/v1/metrics", "/v1/logs")
_GARBAGE = b"<html><body>It works!</body></html>"
_DRIPS = 8


@dataclass
class State:
    """What it saw."""

    asked: Counter[int] = field(default_factory=Counter[int])
    under_way: int = 0
    exports: int = 0
    idle: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def told(self) -> dict[str, object]:
        """Say it: how many were asked, which of them more than once, how many are not over."""
        again = {str(number): times for number, times in self.asked.items() if times > 1}
        return {
            "asked": len(self.asked),
            "again": again,
            "under_way": self.under_way,
            "exports": self.exports,
        }


@dataclass(frozen=True)
class Asked:
    """One request for an answer."""

    number: int
    fault: str
    words: int
    stream: bool
    path: str
    reader: asyncio.StreamReader


class Left(Exception):
    """This connection is over."""


async def converse(state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what comes on one connection."""
    try:
        while True:
            state.idle.add(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            state.idle.discard(writer)
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            length = re.search(rb"content-length: (\d+)", head.lower())
            body = await reader.readexactly(int(length[1])) if length else b""
            await _answer(state, reader, writer, method, target.partition("?")[0], body)
    except (OSError, EOFError, Left):
        pass
    finally:
        state.idle.discard(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _answer(
    state: State,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    path: str,
    body: bytes,
) -> None:
    mark = MARK.search(body)
    if mark is None or path in _COLLECTED:
        await _other(state, writer, method, path)
        return
    stream = b'"stream":true' in body or "streamGenerateContent" in path
    asked = Asked(int(mark[1]), mark[2].decode(), int(mark[3]), stream, path, reader)
    state.asked[asked.number] += 1
    state.under_way += 1
    try:
        await _FAULTS[asked.fault](writer, asked)
    finally:
        state.under_way -= 1


async def _other(state: State, writer: asyncio.StreamWriter, method: str, path: str) -> None:
    body: object = vendors.MODELS.get(path, {})
    if path in _COLLECTED:
        state.exports += 1
    elif path == "/state":
        body = state.told()
    elif path == "/hang_up":
        for one in tuple(state.idle):
            one.close()
    elif not body and method == "GET":
        await _say(writer, _whole(b"{}", 404))
        return
    await _say(writer, _whole(msgspec.json.encode(body) if path not in _COLLECTED else b""))


async def _well(writer: asyncio.StreamWriter, asked: Asked) -> None:
    if not asked.stream:
        await _say(writer, _whole(_body(asked)))
        return
    await _say(writer, _head())
    for event in vendors.EVENTS[asked.path](asked.number, asked.words):
        await _say(writer, _chunk(event))
        await asyncio.sleep(PACE)
    await _say(writer, b"0\r\n\r\n")


async def _slow(writer: asyncio.StreamWriter, asked: Asked) -> None:
    """Say everything, in pieces that end anywhere."""
    if asked.stream:
        data = b"".join(vendors.EVENTS[asked.path](asked.number, asked.words))
        await _say(writer, _head())
        for piece in _torn(data):
            await _say(writer, _chunk(piece))
            await asyncio.sleep(0.05)
        await _say(writer, b"0\r\n\r\n")
        return
    for piece in _torn(_whole(_body(asked))):
        await _say(writer, piece)
        await asyncio.sleep(0.05)


async def _reset(writer: asyncio.StreamWriter, _asked: Asked) -> None:
    held = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise Left


async def _hangup(_writer: asyncio.StreamWriter, _asked: Asked) -> None:
    raise Left


async def _stall(_writer: asyncio.StreamWriter, asked: Asked) -> None:
    """Say nothing until the other side has had enough."""
    await asked.reader.read(1)
    raise Left


async def _cut(writer: asyncio.StreamWriter, asked: Asked) -> None:
    await _half(writer, asked)
    raise Left


async def _hush(writer: asyncio.StreamWriter, asked: Asked) -> None:
    await _half(writer, asked)
    await _stall(writer, asked)


async def _busy(writer: asyncio.StreamWriter, asked: Asked) -> None:
    await _say(writer, _whole(_error(asked, "rate_limit_error"), 429, "retry-after: 1\r\n"))


async def _broken(writer: asyncio.StreamWriter, asked: Asked) -> None:
    await _say(writer, _whole(_error(asked, "api_error"), 500))


async def _garbage(writer: asyncio.StreamWriter, _asked: Asked) -> None:
    await _say(writer, _whole(_GARBAGE))


_FAULTS = {
    "none": _well,
    "slow": _slow,
    "reset": _reset,
    "hangup": _hangup,
    "stall": _stall,
    "cut": _cut,
    "hush": _hush,
    "busy": _busy,
    "broken": _broken,
    "garbage": _garbage,
}


async def _half(writer: asyncio.StreamWriter, asked: Asked) -> None:
    if asked.stream:
        events = vendors.EVENTS[asked.path](asked.number, asked.words)
        await _say(writer, _head() + b"".join(map(_chunk, events[: len(events) // 2])))
    else:
        whole = _whole(_body(asked))
        await _say(writer, whole[: len(whole) - 20])


def _body(asked: Asked) -> bytes:
    return msgspec.json.encode(vendors.WHOLE[asked.path](asked.number, asked.words))


def _error(asked: Asked, kind: str) -> bytes:
    said: vendors.Json = {"type": kind, "message": f"soak {asked.number}"}
    if asked.path.startswith("/google"):
        said = {"code": 500, "status": kind, "message": f"soak {asked.number}"}
    return msgspec.json.encode({"type": "error", "error": said})


def _torn(data: bytes) -> list[bytes]:
    size = len(data) // _DRIPS + 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def _whole(body: bytes, status: int = 200, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {_JSON}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def _head() -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {_EVENTS}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _say(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():
        raise Left
    writer.write(data)
    await writer.drain()


async def serve(*ports: int) -> None:
    """Serve until killed."""
    state = State()
    for port in ports:
        await asyncio.start_server(functools.partial(converse, state), "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:])))
