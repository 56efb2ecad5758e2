"""A stream of Gemini into canonical events. A whole answer is a stream of one chunk.

https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from collections.abc import Callable, Sequence

import msgspec

from nexus.errors import UpstreamFailed, UpstreamGarbage
from nexus.llm.canonical import ChatRequest, Event, Json, Started, Stop, Stopped
from nexus.llm.protocols.google.answer import Candidate, Chunk, Feedback, decode
from nexus.llm.protocols.google.part_reader import PartReader
from nexus.llm.protocols.google.probabilities import read_logprobs
from nexus.llm.protocols.google.sources import read_sources
from nexus.llm.protocols.google.stops import read_block, read_stop
from nexus.llm.protocols.google.usage import read_usage

_CUT = "Google ended the stream before the answer was complete"
_GARBAGE = "Google answered with something that is no answer of the Gemini API"


class StreamReader:
    """Reads one stream. Only the first candidate counts: more are never asked for."""

    def __init__(self, request: ChatRequest, new_id: Callable[[], str]) -> None:
        self._model = request.model
        self._parts = PartReader(request, new_id)
        self._started = False
        self._answer = ""
        self._seen = False  # a candidate
        self._ended: Candidate | None = None
        self._feedback: Feedback | None = None
        self._usage = msgspec.Raw()
        self._grounding: dict[str, Json] = {}
        self._quoted: dict[str, Json] = {}
        self._fetched: dict[str, Json] = {}

    def read(self, payload: bytes) -> Sequence[Event]:
        """Read the data of one server-sent event."""
        if not payload or payload == b"[DONE]":
            return ()
        events: list[Event] = []
        self._parts.events = events
        try:
            decoded = decode(payload)
            for chunk in decoded if isinstance(decoded, list) else (decoded,):
                self._read_chunk(chunk, events)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamGarbage(_GARBAGE) from None
        return events

    def end(self) -> Sequence[Event]:
        """Read the end of the stream."""
        if self._ended is None and (self._seen or not self._is_blocked()):
            raise UpstreamFailed(_CUT)
        return self.finish()

    def finish(self) -> Sequence[Event]:
        """Give the last events of an answer, also of one that does not say why it ended."""
        if not self._seen and not self._is_blocked():
            raise UpstreamGarbage(_GARBAGE)
        events: list[Event] = []
        self._parts.events = events
        self._parts.add_sources(read_sources(self._grounding, self._quoted))
        self._parts.close()
        usage, _ = read_usage(self._usage)
        events.append(Stopped(self._read_stop(), usage, self._extras()))
        return events

    def _read_stop(self) -> Stop:
        if not self._seen:
            return read_block(self._feedback)
        return read_stop(self._ended or Candidate(), calls=self._parts.calls > 0)

    def _is_blocked(self) -> bool:
        """Tell whether there was a prompt and no answer to it; some blocks show only in the count of tokens."""
        return self._feedback is not None or bool(self._usage)

    def _read_chunk(self, chunk: Chunk, events: list[Event]) -> None:
        if chunk.error is not None:
            raise chunk.error.error()
        if chunk.usage_metadata:
            self._usage = chunk.usage_metadata
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._feedback = chunk.prompt_feedback
        if not self._started:
            self._start(chunk, events)
        for candidate in chunk.candidates or ():
            if not candidate.index:
                self._read_candidate(candidate)

    def _start(self, chunk: Chunk, events: list[Event]) -> None:
        self._started = True
        self._answer = chunk.response_id or ""
        usage, tier = read_usage(chunk.usage_metadata)
        created = int(chunk.create_time.timestamp()) if chunk.create_time else 0
        model = chunk.model_version or self._model
        events.append(Started("google", self._answer, model, created, usage, tier))

    def _read_candidate(self, candidate: Candidate) -> None:
        self._seen = True
        if candidate.content is not None and candidate.content.parts:
            self._parts.read(candidate.content.parts, self._answer, last=candidate.finish_reason is not None)
        if candidate.logprobs_result is not None:
            self._parts.add_logprobs(read_logprobs(candidate.logprobs_result))
        # each is told once or as a growing whole
        self._grounding = candidate.grounding_metadata or self._grounding
        self._quoted = candidate.citation_metadata or self._quoted
        self._fetched = candidate.url_context_metadata or self._fetched
        if candidate.finish_reason:
            self._ended = candidate

    def _extras(self) -> dict[str, Json]:
        found = {
            "groundingMetadata": self._grounding,
            "citationMetadata": self._quoted,
            "urlContextMetadata": self._fetched,
        }
        return {name: value for name, value in found.items() if value}
