"""What is found out about a call of a model that goes through as it is. Where nobody looks at the request, nothing is."""

import re
from collections.abc import AsyncGenerator
from typing import NamedTuple
from urllib.parse import unquote

from nexus.errors import InvalidRequest, UpstreamError
from nexus.http.client import Failed
from nexus.http.frames import Cutter
from nexus.llm import tap
from nexus.llm.protocols import fields, form
from nexus.llm.protocols.base import Body
from nexus.llm.providers.api import Api
from nexus.llm.providers.base import Answer
from nexus.llm.reply import media_type
from nexus.llm.surfaces import ANTHROPIC, OPENAI
from nexus.telemetry import observation

_MAX_WHOLE = 4 * 1024 * 1024
"""Bytes of an answer that are kept to be read."""
_SURFACES = {"openai": OPENAI, "anthropic": ANTHROPIC}
_NO = (b"", b"false", b"null", b"0")
_GEMINI = re.compile(r"/(?:models|tunedModels)/([^/:]+):([A-Za-z]+)")
_GEMINI_CHATS = ("generateContent", "streamGenerateContent")
_GEMINI_ENDPOINTS = {
    **dict.fromkeys(_GEMINI_CHATS, "/chat/completions"),
    "embedContent": "/embeddings",
    "batchEmbedContents": "/embeddings",
    "countTokens": "/messages/count_tokens",
}


class _Asked(NamedTuple):
    path: str
    """Of the endpoint that is like it."""
    protocol: str
    model: str = ""
    stream: bool = False
    split: fields.Fields | None = None


def begin(kind: str, provider: str, path: str, body: bytes, content_type: bytes = b"") -> tap.Tap:
    """Begin a call of a provider of some kind, for whoever looks at this request; `path` is below the base of its API."""
    if observation.current() is None:
        return tap.UNSEEN
    path = unquote(path).rstrip("/")  # as its provider will read it
    asked = _gemini(path) if kind == "google" else _read(kind, path, body, content_type)
    if asked is None:
        return tap.UNSEEN
    call = tap.begin(asked.path, asked.protocol)
    call.asks(asked.model, asked.split, stream=asked.stream)
    call.goes(provider, asked.model)
    return call


def _gemini(path: str) -> _Asked | None:
    found = _GEMINI.fullmatch(path)
    if found is None or (endpoint := _GEMINI_ENDPOINTS.get(found[2])) is None:
        return None
    return _Asked(endpoint, "google", found[1], found[2] == "streamGenerateContent")


def _read(kind: str, path: str, body: bytes, content_type: bytes) -> _Asked | None:
    endpoint = _SURFACES[kind].find(path)
    if endpoint is None or endpoint.body is Body.NONE:
        return None
    asked = _Asked(endpoint.path, endpoint.protocol)
    try:
        if endpoint.body is not Body.JSON:
            span = form.locate(body, content_type, "model")
            return asked._replace(model=body[span[0] : span[1]].decode("utf-8", "replace")) if span else asked
        split = fields.split(body)
        asked = asked._replace(split=split, stream=bytes(split.get("stream", b"")) not in _NO)
        return asked._replace(model=fields.text(split, "model"))
    except InvalidRequest:  # its provider's to refuse
        return asked


async def pieces(answer: Answer, api: Api, call: tap.Tap) -> AsyncGenerator[bytes]:
    """Give the body of an answer as it comes, and show it to `call`."""
    watcher = None if call is tap.UNSEEN else _Watcher(answer, call)
    try:
        while piece := await answer.next():
            yield piece
            if watcher is not None:
                watcher.take(piece)
    except Failed as failure:
        call.failed(api.failure(failure))
        raise
    if watcher is not None:
        watcher.end()


class _Watcher:
    """Shows the pieces of one answer to a call as that wants them: events whole, anything else as one."""

    def __init__(self, answer: Answer, call: tap.Tap) -> None:
        self._call = call
        self._cutter: Cutter | None = None
        self._parts: list[bytes] | None = None
        self._room = _MAX_WHOLE
        kind = media_type(answer.header(b"content-type"))
        if answer.status >= 400:
            call.failed(UpstreamError(answer.status, (), b"", kind))
        elif answer.header(b"content-encoding") in (None, b"identity"):  # else it is nothing we could read
            self._cutter = Cutter(_MAX_WHOLE) if kind == b"text/event-stream" else None
            self._parts = [] if kind == b"application/json" else None

    def take(self, piece: bytes) -> None:
        if self._cutter is not None:
            self._watch(self._cutter, piece)
        elif self._parts is not None:
            self._room -= len(piece)
            self._parts.append(piece)
            if self._room < 0:
                self._parts = None

    def _watch(self, cutter: Cutter, piece: bytes) -> None:
        try:
            if events := cutter.feed(piece):
                self._call.watch(events)
        except OverflowError:
            self._cutter = None

    def end(self) -> None:
        if self._cutter is not None and (rest := self._cutter.rest()):
            self._call.watch(rest)
        if self._parts:
            self._call.whole(b"".join(self._parts))
