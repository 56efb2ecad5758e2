"""All that clients of the OpenAI API find."""

from collections.abc import Iterable

from nexus.errors import NexusError
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Endpoint
from nexus.llm.protocols.openai import errors
from nexus.llm.protocols.openai import models as model_list
from nexus.llm.protocols.responses import errors as responses_errors
from nexus.llm.surfaces import openai_endpoints


class OpenAI:
    """Chat completions, responses and everything else below `/v1`."""

    name = "openai"
    endpoints = openai_endpoints.ENDPOINTS
    keep_alive = b": keep-alive\n\n"
    """A comment: every client skips it, every proxy on the way sees a live connection."""
    forwarded: frozenset[bytes] = frozenset()

    def find(self, path: str) -> Endpoint | None:
        """Find the endpoint of a path below `/v1`."""
        return openai_endpoints.find(path)

    def write_error(self, error: NexusError) -> tuple[int, bytes, bytes]:
        """Give status, content type and body for a failure before the first byte of an answer."""
        return errors.write_error(error)

    def write_event(self, error: NexusError, endpoint: Endpoint) -> bytes:
        """Give the last events of a stream that failed on its way; each endpoint has its own grammar."""
        told = responses_errors if endpoint.protocol == "responses" else errors
        return told.write_event(error)

    def write_list(self, models: Iterable[Model]) -> bytes:
        """Write the answer to `GET /v1/models`."""
        return model_list.write_list(models)

    def write_model(self, model: Model) -> bytes:
        """Write the answer to `GET /v1/models/{id}`."""
        return model_list.write_model(model)
