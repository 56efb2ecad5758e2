"""What one configuration wants told, put together: who looks at requests, and where what they see is sent."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nexus import __version__
from nexus.config.telemetry import OtlpConfig, SignalConfig, TelemetryConfig, TracingConfig
from nexus.telemetry import access, logs, process, prometheus
from nexus.telemetry.instruments import Gauge, Key
from nexus.telemetry.lines import Line
from nexus.telemetry.metrics import Metrics
from nexus.telemetry.observation import Observation, Wants, clock, enter
from nexus.telemetry.outbox import Outbox, Ticker
from nexus.telemetry.pipeline import Pipeline
from nexus.telemetry.records import RequestRecord
from nexus.telemetry.trace import Sampler, Span

if TYPE_CHECKING:
    from nexus.telemetry.collector import Collector, Signal

log = logging.getLogger(__name__)

_FLUSH = 5.0
"""Seconds a shutdown waits for collectors."""


class Telemetry:
    """All telemetry of one process. Start and close it in the loop that serves."""

    def __init__(self, config: TelemetryConfig | None, quiet: Collection[str] = ()) -> None:
        """`quiet` routes are asked again and again by machines: they are counted, and have no lines."""
        self._quiet = quiet
        self.metrics = Metrics()
        self.pipeline = Pipeline()
        """Where records go; subscribe to see each call of a model that was made."""
        self.resource: Mapping[str, str] = {}
        """Who is measured."""
        self.measures = False
        """Whether anybody reads the metrics."""
        self._sampler: Sampler | None = None
        self._wants = Wants()
        self.exports: list[Outbox[Any] | Ticker] = []
        """What leaves for collectors."""
        self._handler: logging.Handler | None = None
        self._delay = process.LoopDelay()
        self._started = False
        self._consumes = False
        self._unsent: dict[Signal, ModuleNotFoundError] = {}
        """Signals that a package is missing for."""
        if config is not None:
            self._read(config)
        if (lines := access.wanted(quiet)) is not None:
            self.subscribe(lines.take)

    @property
    def active(self) -> bool:
        """Whether anybody looks at requests."""
        return self._consumes

    def subscribe(self, consumer: Callable[[Sequence[RequestRecord]], None]) -> None:
        """Give every record from now on to `consumer`, in batches and in the loop: it must not wait."""
        self._consumes = True
        self.pipeline.subscribe(consumer)

    def begin(self, scope: dict[str, Any]) -> Observation:
        """Begin to look at a request."""
        trace = self._sampler.begin(scope["headers"]) if self._sampler is not None else None
        seen = Observation(scope, self._wants, trace)
        enter(seen)
        return seen

    def finish(self, seen: Observation) -> None:
        """Tell that a request is over. Never waits."""
        seen.ended = clock()
        self.pipeline.put(seen)

    async def exposition(self) -> bytes:
        """Write the metrics as Prometheus reads them; beside the loop, since there may be many."""
        self.pipeline.flush()
        return await asyncio.to_thread(prometheus.write, tuple(self.metrics.all()), self.resource)

    def start(self) -> None:
        """Begin to send; the second time nothing happens."""
        if self._started:
            return
        self._started = True
        if self.measures:
            self._delay.start()
        for one in self.exports:
            one.start()
        if self._handler is not None:
            logging.getLogger().addHandler(self._handler)

    async def close(self) -> None:
        """Send what there is, in bounded time, and stop."""
        self.pipeline.flush()
        self._delay.close()
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
        await asyncio.gather(*(asyncio.to_thread(one.close, _FLUSH) for one in self.exports))

    def _read(self, config: TelemetryConfig) -> None:
        self.resource = {
            "service.name": config.service_name or "nexus",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            **config.resource_attributes,
        }
        self.measures = config.prometheus.enabled or _collector(config, config.metrics) is not None
        if self.measures:
            self.subscribe(self.metrics.take)
            process.watch(self.metrics, self._delay)
            self.metrics.show(
                Gauge(
                    "nexus.telemetry.dropped",
                    "{item}",
                    "Telemetry that found no room or no taker.",
                    "signal",
                    read=self._dropped,
                    kind="counter",
                )
            )
        self._send_metrics(config)
        self._send_spans(config, config.tracing)
        self._send_lines(config)
        if self._unsent:
            log.error(
                "%s are not sent: a package more is needed: pip install 'nexus-ai-gateway[otel]' (%s)",
                ", ".join(self._unsent),
                next(iter(self._unsent.values())),
            )

    def _dropped(self) -> Iterable[tuple[Key, int]]:
        yield ("records",), self.pipeline.dropped
        for one in self.exports:
            if isinstance(one, Outbox):
                yield (one.what,), one.dropped

    def _send_metrics(self, config: TelemetryConfig) -> None:
        found = self._open("metrics", _collector(config, config.metrics))
        if found is None:
            return
        collector, otlp = found
        self.exports.append(
            Ticker(
                "metrics",
                lambda: collector.metrics(tuple(self.metrics.all()), time.time_ns()),
                collector.close,
                otlp.batch_export.scheduled_delay,
            )
        )

    def _send_spans(self, config: TelemetryConfig, tracing: TracingConfig) -> None:
        limit = tracing.collect.max_attributes_per_span
        found = self._open("traces", _collector(config, tracing), limit)
        if found is None:
            return
        collector, otlp = found
        outbox: Outbox[Span] = Outbox(
            "traces", collector.spans, collector.close, otlp.batch_export, otlp.timeout
        )
        self.exports.append(outbox)
        self._sampler = Sampler(tracing)
        self._wants = Wants(config.content, tracing.propagation.upstream)
        self.subscribe(lambda records: outbox.put([span for record in records for span in record.spans]))

    def _send_lines(self, config: TelemetryConfig) -> None:
        found = self._open("logs", _collector(config, config.logs))
        if found is None:
            return
        collector, otlp = found
        outbox: Outbox[Line] = Outbox(
            "logs", collector.lines, collector.close, otlp.batch_export, otlp.timeout
        )
        self.exports.append(outbox)
        self._handler = logs.Export(outbox.put)
        if logs.ACCESS.isEnabledFor(logging.INFO):
            self.subscribe(
                lambda records: outbox.put(
                    [access.line(record) for record in records if record.route not in self._quiet]
                )
            )

    def _open(
        self, signal: "Signal", config: OtlpConfig | None, limit: int | None = None
    ) -> "tuple[Collector, OtlpConfig] | None":
        """Prepare the way to a collector. What cannot be told keeps nobody from being served."""
        if config is None:
            return None
        try:
            from nexus.telemetry.collector import Collector  # it brings gRPC, protobuf and more

            return Collector(signal, config, self.resource, limit), config
        except ModuleNotFoundError as error:
            self._unsent[signal] = error
        except (OSError, ValueError) as error:
            log.error("%s are not sent: %s", signal, error)
        return None


def _collector(config: TelemetryConfig, signal: SignalConfig) -> OtlpConfig | None:
    """Find where a signal goes: its own collector if it names one, else everybody's; None where that is not enabled."""
    otlp = signal.exporters.otlp or config.exporters.otlp
    return otlp if otlp is not None and otlp.enabled else None
