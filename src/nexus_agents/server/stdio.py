"""The server on stdin and stdout, as clients start it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_agents.errors import AgentsError
from nexus_agents.server import greeting
from nexus_agents.settings import MAX_DEPTH, Settings

if TYPE_CHECKING:  # what is imported before the greeting is waited for
    from mcp.server.lowlevel.server import Server
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage


def serve(environ: Mapping[str, str]) -> int:
    """Serve until the client closes; stdout carries the protocol and nothing else.

    Gives the exit code: 0, also at once where agents run agents that run agents.
    """
    try:
        settings = Settings.read(environ, Path.cwd())
    except AgentsError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if settings.depth >= MAX_DEPTH:
        return 0
    try:
        line = greeting.first_line(0)
        if line:
            greeted = greeting.answer(line)
            _write(1, greeted or b"")
            asyncio.run(_serve(environ, line, greeted is not None))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # the client has left
    return 0


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


async def _serve(environ: Mapping[str, str], line: bytes, greeted: bool) -> None:
    from mcp.server.stdio import stdio_server

    from nexus_agents.server.front import Front, build
    from nexus_agents.services import Services

    async with stdio_server() as (lines, replies):
        async with Services(environ) as services:
            ended_by = await _run(build(Front(services, environ)), _message(line), greeted, lines, replies)
        if ended_by:
            os._exit(128 + ended_by)  # the thread that reads stdin cannot be woken


def _message(line: bytes) -> "SessionMessage | Exception":
    import mcp_types
    from mcp.shared.message import SessionMessage

    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _run(
    server: "Server[Any]",
    first: "SessionMessage | Exception",
    greeted: bool,
    lines: "ReadStream[SessionMessage | Exception]",
    replies: "WriteStream[SessionMessage]",
) -> int:
    """Give the SDK the first message and then the rest, until the client or a signal ends it; gives the signal."""
    import anyio

    incoming, read = anyio.create_memory_object_stream["SessionMessage | Exception"]()
    write, outgoing = anyio.create_memory_object_stream["SessionMessage"]()
    ended_by = 0

    async def feed() -> None:
        async with incoming:
            await incoming.send(first)
            async for message in lines:
                await incoming.send(message)

    async def drain() -> None:
        async with outgoing, replies:
            if greeted:
                await outgoing.receive()  # the answer that was given already
            async for message in outgoing:
                await replies.send(message)

    async def listen(running: anyio.CancelScope) -> None:
        nonlocal ended_by
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                ended_by = number
                running.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        group.start_soon(drain)
        with anyio.CancelScope() as running:
            if sys.platform != "win32":
                group.start_soon(listen, running)
            await server.run(read, write, server.create_initialization_options())
        group.cancel_scope.cancel()
    return ended_by
