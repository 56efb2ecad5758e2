"""Where in a document something stands, and how that is written."""

import re
from collections.abc import Sequence

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write(path: Sequence[str | int]) -> str:
    """Write a path as TOML would: dots between keys, quotes where needed, `[i]` for array elements."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
            continue
        written += ("." if written else "") + key(part)
    return written


def key(name: str) -> str:
    """Write one key, in quotes if TOML asks for them."""
    if _BARE.fullmatch(name):
        return name
    # control characters would let a file write its own lines into our report
    inner = "".join(
        c if c.isprintable() else f"\\u{ord(c):04X}" for c in name.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{inner}"'


def touches(one: Path, other: Path) -> bool:
    """Tell whether one path leads through the other, or is it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
