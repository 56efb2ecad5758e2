"""The first answer of the stdio server, given before the MCP SDK is imported.

The import takes most of a second, and clients measure how long a server takes to say who it is. What `initialize` asks is known
beforehand, so it is answered at once; the SDK then gets the same request, and its answer, which is the same, is kept back.
"""

import os
from typing import Any, Literal

import msgspec

from nexus_agents.server import INSTRUCTIONS, NAME, version

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""What the SDK negotiates by handshake; a test compares them."""
LARGEST = 1024 * 1024


class _Parameters(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: dict[str, Any]
    client_info: dict[str, Any]


class _Initialize(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["initialize"]
    params: _Parameters


def first_line(descriptor: int) -> bytes:
    """Read up to the end of the first line that is not blank, and not a byte more: the rest is for the SDK."""
    line = bytearray()
    while len(line) < LARGEST:
        byte = os.read(descriptor, 1)
        if not byte:
            break
        line += byte
        if byte == b"\n":
            if line.strip():
                break
            line.clear()
    return bytes(line)


def answer(line: bytes) -> bytes | None:
    """Answer an `initialize`; None for anything else, which is the SDK's to answer."""
    try:
        request = msgspec.json.decode(line, type=_Initialize)
    except msgspec.DecodeError:
        return None
    offered = request.params.protocol_version
    result: dict[str, object] = {
        "protocolVersion": offered if offered in VERSIONS else VERSIONS[-1],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": NAME, "version": version()},
        "instructions": INSTRUCTIONS,
    }
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request.id, "result": result}) + b"\n"
