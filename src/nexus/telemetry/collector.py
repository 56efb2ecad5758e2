"""The way to one collector, for one signal: by gRPC or by HTTP, with TLS or without.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc, https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import gzip
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from nexus import __version__
from nexus.config.telemetry import CollectorTls, OtlpConfig
from nexus.telemetry import otlp
from nexus.telemetry.instruments import AnyInstrument
from nexus.telemetry.lines import Line
from nexus.telemetry.outbox import Sent
from nexus.telemetry.trace import Span

Signal = Literal["traces", "metrics", "logs"]
_AGENT = f"nexus/{__version__}"
_METHODS = {
    "traces": "trace.v1.TraceService",
    "metrics": "metrics.v1.MetricsService",
    "logs": "logs.v1.LogsService",
}
_STATUSES = frozenset((429, 502, 503, 504))
_CODES = frozenset(
    (
        "ABORTED",
        "CANCELLED",
        "DATA_LOSS",
        "DEADLINE_EXCEEDED",
        "OUT_OF_RANGE",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    )
)
"""After which the same may be sent again, as the protocol has it."""
_CHANNEL = (
    ("grpc.primary_user_agent", _AGENT),
    # the pace is that of the batches: each is to find a connection if there can be one
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_MAX_WHY = 300
_COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"


class Transport(Protocol):
    """Sends bytes and waits for the answer's."""

    def send(self, body: bytes) -> bytes:
        """Give the answer.

        Raises:
            NotTaken: the collector did not take it.
        """
        ...

    def close(self) -> None:
        """Send no more, and give up what is being sent."""
        ...


class NotTaken(Exception):
    """A collector is away, busy or too slow, or it refuses."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why[:_MAX_WHY])
        self.again = again
        """Whether it may take the same later."""


class Collector:
    """One signal's way to one collector."""

    def __init__(
        self, signal: Signal, config: OtlpConfig, resource: Mapping[str, str], limit: int | None = None
    ) -> None:
        self._transport: Transport = (
            _Grpc(signal, config) if config.protocol == "grpc" else _Http(signal, config)
        )
        self._answer = otlp.ANSWERS[signal]
        self._resource = resource
        self._limit = limit
        """Attributes of one span."""

    def metrics(self, found: Sequence[AnyInstrument], now: int) -> Sent:
        """Send every point there is."""
        return self._send(otlp.of_metrics(found, self._resource, now))

    def spans(self, batch: Sequence[Span]) -> Sent:
        """Send some spans."""
        return self._send(otlp.of_spans(batch, self._resource, self._limit))

    def lines(self, batch: Sequence[Line]) -> Sent:
        """Send some log lines."""
        return self._send(otlp.of_lines(batch, self._resource))

    def close(self) -> None:
        """Send no more."""
        self._transport.close()

    def _send(self, body: bytes) -> Sent:
        try:
            return Sent(True, rejected=self._rejected(self._transport.send(body)))
        except NotTaken as error:
            return Sent(False, error.again, why=str(error))

    def _rejected(self, answer: bytes) -> int:
        try:
            partial: Any = self._answer.FromString(answer)
        except DecodeError:
            return 0  # it said that it took them
        told = partial.partial_success
        return sum(value for field, value in told.ListFields() if field.name.startswith("rejected"))


class _Grpc:
    def __init__(self, signal: Signal, config: OtlpConfig) -> None:
        # it tells of each failed try on standard error; one warning of ours says as much
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import grpc  # pyright: ignore[reportMissingTypeStubs]  # it has none

        given, address = config.grpc, urlsplit(config.endpoint)
        options: list[tuple[str, str | int]] = [*_CHANNEL]
        tls = given.tls if given is not None and given.tls is not None else CollectorTls()
        if tls.domain_name is not None:
            options.append(("grpc.ssl_target_name_override", tls.domain_name))
        packed = grpc.Compression.Gzip if _compresses() else grpc.Compression.NoCompression
        target = address.netloc.rpartition("@")[2]
        if address.scheme == "https":
            both = tls.key is not None and tls.cert is not None
            credentials = grpc.ssl_channel_credentials(
                _read(tls.ca or _authorities()),
                _read(tls.key) if both else None,
                _read(tls.cert) if both else None,
            )
            self._channel = grpc.secure_channel(target, credentials, options, packed)
        else:
            self._channel = grpc.insecure_channel(target, options, packed)
        self._call: Any = self._channel.unary_unary(
            f"/opentelemetry.proto.collector.{_METHODS[signal]}/Export"
        )
        headers = given.headers if given is not None else {}
        self._metadata = tuple((name, value.get_secret_value()) for name, value in headers.items())
        self._timeout = config.timeout
        self._errors = grpc.RpcError

    def send(self, body: bytes) -> bytes:
        try:
            return self._call(body, timeout=self._timeout, metadata=self._metadata)
        except self._errors as error:
            code = error.code().name
            raise NotTaken(f"{code}: {error.details()}", again=code in _CODES) from None
        except ValueError:
            raise NotTaken("closed") from None

    def close(self) -> None:
        self._channel.close()


class _Http:
    def __init__(self, signal: Signal, config: OtlpConfig) -> None:
        import httpx2

        given = config.http
        tls = given.tls if given is not None and given.tls is not None else CollectorTls()
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None and tls.key is not None:
            context.load_cert_chain(tls.cert, tls.key)
        headers = {"content-type": "application/x-protobuf", "user-agent": _AGENT}
        for name, value in (given.headers if given is not None else {}).items():
            headers[name] = value.get_secret_value()
        self._packs = _compresses()
        if self._packs:
            headers["content-encoding"] = "gzip"
        self._url = target(config.endpoint, signal)
        self._client = httpx2.Client(verify=context, headers=headers, timeout=config.timeout)
        self._named = {"sni_hostname": tls.domain_name} if tls.domain_name is not None else {}
        self._errors = httpx2.HTTPError

    def send(self, body: bytes) -> bytes:
        content = gzip.compress(body, 6, mtime=0) if self._packs else body
        try:
            answer = self._client.post(self._url, content=content, extensions=self._named)
        except self._errors as error:
            raise NotTaken(f"{type(error).__name__}: {error}", again=True) from None
        except RuntimeError:
            raise NotTaken("closed") from None
        if not answer.is_success:
            raise NotTaken(f"status {answer.status_code}", again=answer.status_code in _STATUSES)
        return answer.content

    def close(self) -> None:
        self._client.close()


def target(endpoint: str, signal: Signal) -> str:
    """Give where a signal is posted to: a base URL gets the path of the protocol, any other path is taken as it is."""
    return endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/{signal}"


def _compresses() -> bool:
    return os.environ.get(_COMPRESSION, "").strip().lower() == "gzip"


def _authorities() -> str | None:
    """Give the file of the authorities the system trusts, as everything else of ours finds it."""
    return os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    with open(file, "rb") as opened:
        return opened.read()
