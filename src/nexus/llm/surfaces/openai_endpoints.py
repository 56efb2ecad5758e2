"""The endpoints of the OpenAI API that are relayed, and where each has its model."""

import re

from nexus.llm.protocols.base import Body, Endpoint
from nexus.llm.protocols.openai.chat import Chat
from nexus.llm.protocols.responses.inbound import Responses

ENDPOINTS = (
    Endpoint("/chat/completions", ("POST",), Body.JSON, inbound=Chat()),
    Endpoint("/responses", ("POST",), Body.JSON, ("response", "model"), "responses", Responses()),
    Endpoint("/embeddings", ("POST",), Body.JSON, protocol="embeddings"),
    Endpoint("/completions", ("POST",), Body.JSON),
    Endpoint("/moderations", ("POST",), Body.JSON),
    Endpoint("/images/generations", ("POST",), Body.JSON),
    Endpoint("/audio/speech", ("POST",), Body.JSON),
    Endpoint("/images/edits", ("POST",), Body.FORM),
    Endpoint("/images/variations", ("POST",), Body.FORM),
    Endpoint("/audio/transcriptions", ("POST",), Body.FORM),
    Endpoint("/audio/translations", ("POST",), Body.FORM),
    Endpoint("/files", ("GET", "POST"), Body.NONE),
)

_ID = r"[A-Za-z0-9_.:-]{1,256}"
ITEMS = (
    (re.compile(rf"/files/{_ID}"), Endpoint("/files/{id}", ("GET", "DELETE"), Body.NONE)),
    (re.compile(rf"/files/{_ID}/content"), Endpoint("/files/{id}/content", ("GET",), Body.NONE)),
    (
        re.compile(rf"/responses/{_ID}"),
        Endpoint("/responses/{id}", ("GET", "DELETE"), Body.NONE, ("response", "model"), "responses"),
    ),
    (re.compile(rf"/responses/{_ID}/cancel"), Endpoint("/responses/{id}/cancel", ("POST",), Body.NONE)),
    (
        re.compile(rf"/responses/{_ID}/input_items"),
        Endpoint("/responses/{id}/input_items", ("GET",), Body.NONE),
    ),
)
_BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}


def find(path: str) -> Endpoint | None:
    """Find the endpoint of a path below `/v1`; ids in it are of harmless characters only, dots alone are no id."""
    if (endpoint := _BY_PATH.get(path)) is not None:
        return endpoint
    if "/." in path:
        return None
    return next((endpoint for pattern, endpoint in ITEMS if pattern.fullmatch(path)), None)
