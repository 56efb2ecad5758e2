"""What all answers share."""

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of every answer."""
