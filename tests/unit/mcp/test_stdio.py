"""What is kept of a program's standard error."""

import asyncio

from nexus.mcp.stdio import Tail


async def _told(said: bytes) -> str:
    tail, pipe = Tail(), asyncio.StreamReader()
    pipe.feed_data(said)
    pipe.feed_eof()
    await tail.read(pipe)
    return str(tail)


async def test_a_flood_leaves_its_last_lines() -> None:
    assert await _told(b"noise\n" * 100_000 + b"reason\n") == "\n    noise" * 9 + "\n    reason"


async def test_long_lines_are_cut_and_what_is_hidden_is_hidden_first() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEvQIBADANBgkq\n" * 20 + b"-----END PRIVATE KEY-----\n"
    assert await _told(key + b"x" * 5000) == "\n    " + "x" * 2000
    assert await _told(b"read " + key + b"and failed\n") == "\n    read [redacted]\n    and failed"


async def test_nothing_commands_a_terminal_or_fills_lines_with_nothing() -> None:
    assert await _told(b"\x1b[31mError\x1b[0m\r\n\n \n\tat \xff main") == (
        "\n    \\x1b[31mError\\x1b[0m\n        at \N{REPLACEMENT CHARACTER} main"
    )


async def test_nothing_is_nothing() -> None:
    assert await _told(b"") == ""
