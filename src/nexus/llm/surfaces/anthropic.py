"""All that clients of the Anthropic API find."""

from collections.abc import Iterable
from datetime import UTC, datetime

from nexus.errors import NexusError
from nexus.llm.canonical import Model
from nexus.llm.protocols.anthropic import errors
from nexus.llm.protocols.anthropic.inbound import Messages
from nexus.llm.protocols.base import Body, Endpoint
from nexus.llm.protocols.fields import encode


def _write_count(tokens: int) -> bytes:
    counted = {"input_tokens": tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return encode({"type": "message_count_tokens_result", **counted})


MESSAGES = Endpoint("/messages", ("POST",), Body.JSON, ("message", "model"), "anthropic", Messages())
COUNT_TOKENS = Endpoint(
    "/messages/count_tokens",
    ("POST",),
    Body.JSON,
    protocol="anthropic",
    inbound=Messages(needs_max_tokens=False),
    write_count=_write_count,
)


class Anthropic:
    """Messages, token counts and models."""

    name = "anthropic"
    endpoints = (MESSAGES, COUNT_TOKENS)
    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'
    forwarded = frozenset((b"anthropic-version", b"anthropic-beta"))

    def find(self, path: str) -> Endpoint | None:
        """Find the endpoint of a path below `/v1`."""
        return next((endpoint for endpoint in self.endpoints if endpoint.path == path), None)

    def write_error(self, error: NexusError) -> tuple[int, bytes, bytes]:
        """Give status, content type and body for a failure before the first byte of an answer."""
        return errors.write_error(error)

    def write_event(self, error: NexusError, endpoint: Endpoint) -> bytes:
        """Give the last event of a stream that failed on its way."""
        return errors.write_event(error)

    def write_list(self, models: Iterable[Model]) -> bytes:
        """Write the whole list as one page.

        https://platform.claude.com/docs/en/api/models/list
        """
        data = [_entry(model) for model in models]
        ends = (
            {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            if data
            else {"first_id": None, "last_id": None}
        )
        return encode({"data": data, "has_more": False, **ends})

    def write_model(self, model: Model) -> bytes:
        """Write one model."""
        return encode(_entry(model))


def _entry(model: Model) -> dict[str, str]:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": created}
