"""Events of the canonical model into a Responses stream, numbered and named as the API does it."""

from collections.abc import Iterable

from nexus.errors import NexusError
from nexus.llm.canonical import ChatRequest, Event, PartClosed, PartDelta, PartOpened, Started, Stopped
from nexus.llm.protocols.responses import errors
from nexus.llm.protocols.responses import stream_events as events
from nexus.llm.protocols.responses.output import Output
from nexus.llm.protocols.responses.response_writer import Envelope, status_of
from nexus.llm.protocols.responses.stream_events import Said, write_event


class StreamWriter:
    """Writes one stream."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._sequence = 0
        self._envelope: Envelope | None = None
        self._output = Output(request, "", "")
        self._usage = None

    def write(self, event: Event) -> bytes:
        """Give the bytes an event becomes."""
        match event:
            case PartDelta():
                return self._tell(self._output.grow(event))
            case PartOpened():
                return self._tell(self._output.open(event))
            case PartClosed():
                return self._tell(self._output.close(event))
            case Started():
                return self._tell(self._start(event))
            case Stopped():
                return self._tell(self._stop(event))

    def fail(self, error: NexusError) -> bytes:
        """Give the last event of a stream that failed on its way."""
        if self._envelope is None:
            return errors.write_event(error)
        failure = {"code": errors.code_of(error), "message": str(error)}
        response = self._envelope.write("failed", self._output.items(), error=failure)
        return self._tell([events.Failed(response)])

    def _start(self, event: Started) -> list[Said]:
        tier = event.service_tier
        self._envelope = Envelope(self._request, event.id, event.model, event.created, tier)
        self._output = Output(self._request, self._envelope.id, event.protocol)
        self._usage = event.usage
        begun = self._envelope.write("in_progress", [])
        return [events.Created(begun), events.InProgress(begun)]

    def _stop(self, event: Stopped) -> list[Said]:
        status, reason = status_of(event.stop, refused=self._output.has_refusal)
        told = self._output.end(status)
        if self._envelope is None:
            return told
        response = self._envelope.write(status, self._output.items(), event.usage or self._usage, reason)
        kind = events.Completed if status == "completed" else events.Incomplete
        return [*told, kind(response)]

    def _tell(self, told: Iterable[Said]) -> bytes:
        written: list[bytes] = []
        for said in told:
            said.sequence_number = self._sequence
            self._sequence += 1
            written.append(write_event(said))
        return written[0] if len(written) == 1 else b"".join(written)
