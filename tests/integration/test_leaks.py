"""What a client leaves behind when it is gone: nothing."""

import asyncio
import gc
import socket
import struct

from gateway import gateway, provider
from nexus.server.connection import Connection
from upstreams.scripted import Asked, Told, upstream

BODY = b'{"model":"gpt-4o","stream":true}'
HEAD = b"POST /llm/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
REQUEST = HEAD + b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
RESET = struct.pack("ii", 1, 0)


async def visit(port: int, until: bytes) -> None:
    """Ask, read so far, and hang up with a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    await reader.readuntil(until)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def connections(expected: int) -> int:
    """Count the client connections in memory, once there are no more than expected or after a while."""
    count = -1
    for _ in range(100):
        gc.collect()
        count = sum(isinstance(one, Connection) for one in gc.get_objects())
        if count <= expected:
            break
        await asyncio.sleep(0.02)
    return count


async def test_clients_that_hang_up_leave_nothing() -> None:
    never = asyncio.Event()
    event = b"data: {}\n\n"
    async with upstream(lambda _: Told(content_type="text/event-stream", pieces=(event,))) as up:
        async with gateway(provider(up.url)) as nexus:
            for _ in range(20):
                await visit(nexus.port, b"\r\n0\r\n\r\n")  # after the whole answer, on a connection kept open

            def endless(_: Asked) -> Told:
                return Told(content_type="text/event-stream", pieces=(event, never))

            up.script = endless
            for _ in range(20):
                await visit(nexus.port, event)  # in the middle of it
            assert await connections(0) == 0
            assert nexus.gateway.active == 0
