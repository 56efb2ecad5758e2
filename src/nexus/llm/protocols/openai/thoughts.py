"""Thoughts and the proof of them: `reasoning_details`, the convention of OpenRouter.

https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

from collections.abc import Iterable

from nexus.llm.canonical import AnyPart, Extras, Json, Opaque, Thinking
from nexus.llm.protocols import signature
from nexus.llm.protocols.openai import loose
from nexus.llm.protocols.openai.options import PROTOCOL

DETAILS = "reasoning_details"
_SUMMARY = "reasoning.summary"
_TAKEN = frozenset(("type", "text", "summary", "signature", "data", "id", "index"))


def read_detail(value: Json, path: str = "") -> Thinking | Opaque:
    """Read one piece; in a stream it may have some of its text only, or nothing but its signature."""
    raw = loose.fields(value)
    kind = loose.text(raw.get("type"))
    if kind not in ("reasoning.text", "reasoning.encrypted", _SUMMARY):
        return Opaque(protocol=PROTOCOL, kind=DETAILS, raw=value, path=path)
    extras = {name: value for name, value in raw.items() if name not in _TAKEN and value is not None}
    id = loose.text(raw.get("id"))
    text, proof, data = "", loose.text(raw.get("signature")), ""
    if kind == "reasoning.encrypted":
        data = loose.text(raw.get("data"))
    elif kind == _SUMMARY:
        text, extras = loose.text(raw.get("summary")), {"type": kind, **extras}
    else:
        text = loose.text(raw.get("text"))
    return Thinking(
        text=text, signature=proof, redacted=data, origin=PROTOCOL, id=id, path=path, extras=extras
    )


def write_detail(part: Thinking, index: int, *, own: bool) -> dict[str, Json]:
    """Write a thought as the piece `index`; its signature sealed where it is another vendor's."""
    extras: Extras = part.extras if own else {}
    written: dict[str, Json] = {"type": "reasoning.encrypted" if part.redacted else "reasoning.text"}
    if part.redacted:
        written["data"] = signature.seal(part.redacted, part.origin, PROTOCOL)
    elif extras.get("type") == _SUMMARY:
        written["summary"] = part.text
    else:
        written["text"] = part.text
    if part.signature:
        written["signature"] = signature.seal(part.signature, part.origin, PROTOCOL)
    if part.id and part.origin in ("", PROTOCOL):
        written["id"] = part.id
    return {**written, **extras, "index": index}


def read_thoughts(plain: str, details: Iterable[Json], path: str = "") -> list[AnyPart]:
    """Read the thoughts of a message: the details where they say it, since the plain text only says it again."""
    parts: list[AnyPart] = [
        read_detail(one, f"{path}.{DETAILS}.{number}" if path else "") for number, one in enumerate(details)
    ]
    if plain and not any(isinstance(part, Thinking) and part.text for part in parts):
        parts.insert(
            0, Thinking(text=plain, origin=PROTOCOL, path=f"{path}.reasoning_content" if path else "")
        )
    return parts
