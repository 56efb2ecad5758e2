"""What one look gives."""

from typing import Literal

import msgspec

State = Literal["ok", "warning", "failed", "off"]


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing looked at."""

    name: str
    state: State
    detail: str
    fix: str | None = None
