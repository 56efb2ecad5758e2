"""A receiver of OpenTelemetry's protocol, by gRPC and by HTTP, with TLS or without; it keeps what it gets, as it was sent."""

import contextlib
import gzip
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import trustme
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs  # pyright: ignore[reportMissingTypeStubs]  # the two beside it have some
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

Attributes = dict[str, Any]

_SERVICES: dict[str, tuple[str, type[Message], type[Message]]] = {
    "traces": (
        "trace.v1.TraceService",
        traces.ExportTraceServiceRequest,
        traces.ExportTraceServiceResponse,
    ),
    "metrics": (
        "metrics.v1.MetricsService",
        metrics.ExportMetricsServiceRequest,
        metrics.ExportMetricsServiceResponse,
    ),
    "logs": ("logs.v1.LogsService", logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
}


@dataclass
class Point:
    """One point of a metric."""

    attributes: Attributes
    value: float
    count: int
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass
class Metric:
    """The last state of a metric."""

    name: str
    unit: str
    kind: str
    monotonic: bool
    points: list[Point]

    def at(self, **wanted: object) -> Point:
        """Give the one point with these attributes; `__` in a name stands for a dot."""
        names = {name.replace("__", "."): value for name, value in wanted.items()}
        found = [one for one in self.points if names.items() <= one.attributes.items()]
        assert len(found) == 1, (names, [one.attributes for one in self.points])
        return found[0]


@dataclass
class Received:
    """One span."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    attributes: Attributes
    seconds: float
    state: str


@dataclass
class Line:
    """One log line."""

    text: str
    level: str
    severity: int
    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass
class Receiver:
    """What has arrived, and how the next is answered."""

    url: str = ""
    requests: list[tuple[str, Message]] = field(default_factory=list[tuple[str, Message]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    refuses: bool = False
    """Answer that it takes nothing, now or later."""
    rejects: int = 0
    """Items of each request it says it does not want."""
    held: threading.Event = field(default_factory=threading.Event)
    """Answers wait until it is set."""
    arrived: threading.Condition = field(default_factory=threading.Condition)
    asked: int = 0
    """Requests that came, taken or not."""

    def take(self, signal: str, message: Message, headers: dict[str, str]) -> bool:
        with self.arrived:
            self.asked += 1
            self.arrived.notify_all()
        self.held.wait(30)
        if self.refuses:
            return False
        with self.arrived:
            self.requests.append((signal, message))
            self.headers.append(headers)
            self.arrived.notify_all()
        return True

    def answer(self, signal: str) -> Message:
        """Give what a request that was taken is answered."""
        answer: Any = _SERVICES[signal][2]()
        if self.rejects:
            items = {"traces": "spans", "metrics": "data_points", "logs": "log_records"}[signal]
            setattr(answer.partial_success, f"rejected_{items}", self.rejects)
        return answer

    def wait(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Wait for what has arrived to satisfy a condition."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: bool(condition()), seconds), "it did not come"

    @property
    def everything(self) -> bytes:
        """All that has come, in its own encoding and as text."""
        with self.arrived:
            return b"\n".join(
                one.SerializeToString() + str(one).encode("utf-8", "replace") for _, one in self.requests
            )

    def _all(self, signal: str) -> list[Any]:
        with self.arrived:
            return [one for which, one in self.requests if which == signal]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric by its name, as it was when it came last."""
        last = self._all("metrics")[-1:]
        return {one.name: one for request in last for one in _metrics(request)}

    @property
    def spans(self) -> list[Received]:
        return [span for request in self._all("traces") for span in _spans(request)]

    @property
    def lines(self) -> list[Line]:
        return [line for request in self._all("logs") for line in _lines(request)]

    def resource(self, signal: str) -> Attributes:
        """Give who has sent the last of a signal."""
        last = self._all(signal)[-1]
        group = {"metrics": "resource_metrics", "traces": "resource_spans", "logs": "resource_logs"}[signal]
        return _attributes(getattr(last, group)[0].resource.attributes)


def _attributes(pairs: Any) -> Attributes:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _metrics(request: Any) -> Iterator[Metric]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for one in scope.metrics:
                kind = one.WhichOneof("data")
                data = getattr(one, kind)
                monotonic = kind == "sum" and data.is_monotonic
                yield Metric(
                    one.name, one.unit, kind, monotonic, [_point(kind, each) for each in data.data_points]
                )


def _point(kind: str, one: Any) -> Point:
    if kind == "histogram":
        bounds, counts = tuple(one.explicit_bounds), tuple(one.bucket_counts)
        return Point(_attributes(one.attributes), one.sum, one.count, bounds, counts)
    return Point(_attributes(one.attributes), getattr(one, one.WhichOneof("value")), 0, (), ())


def _spans(request: Any) -> Iterator[Received]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for one in scope.spans:
                yield Received(
                    one.name,
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    one.parent_span_id.hex(),
                    one.kind,
                    one.status.code,
                    _attributes(one.attributes),
                    (one.end_time_unix_nano - one.start_time_unix_nano) / 1e9,
                    one.trace_state,
                )


def _lines(request: Any) -> Iterator[Line]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for one in scope.log_records:
                yield Line(
                    one.body.string_value,
                    one.severity_text,
                    one.severity_number,
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    _attributes(one.attributes),
                )


@dataclass
class Tls:
    """Certificates of a receiver, and of who may send to it."""

    folder: Path
    name: str = "127.0.0.1"
    mutual: bool = True
    """Whether who sends needs a certificate, too."""

    def __post_init__(self) -> None:
        self.authority = trustme.CA()
        self.ca = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.server = self.authority.issue_cert(self.name)
        ours = self.authority.issue_cert("nexus.test")
        self.certificate, self.key = self.folder / "nexus.pem", self.folder / "nexus.key"
        ours.cert_chain_pems[0].write_to_path(str(self.certificate))
        ours.private_key_pem.write_to_path(str(self.key))


@contextlib.contextmanager
def by_grpc(tls: Tls | None = None, port: int = 0) -> Generator[Receiver]:
    """Receive by gRPC until the end of the block."""
    receiver = Receiver()
    receiver.held.set()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([_service(receiver, signal) for signal in _SERVICES])
    if tls is None:
        receiver.url = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    else:
        chain = b"".join(pem.bytes() for pem in tls.server.cert_chain_pems)
        credentials = grpc.ssl_server_credentials(
            [(tls.server.private_key_pem.bytes(), chain)],
            tls.ca.read_bytes() if tls.mutual else None,
            require_client_auth=tls.mutual,
        )
        receiver.url = f"https://127.0.0.1:{server.add_secure_port(f'127.0.0.1:{port}', credentials)}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.stop(None).wait()


def _service(receiver: Receiver, signal: str) -> grpc.GenericRpcHandler:
    name, request, response = _SERVICES[signal]

    def export(asked: Message, context: grpc.ServicerContext) -> Message:
        metadata = {name: str(value) for name, value in context.invocation_metadata() or ()}
        if not receiver.take(signal, asked, metadata):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        return receiver.answer(signal)

    handler: Any = grpc.unary_unary_rpc_method_handler(
        export, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    return grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{name}", {"Export": handler})


@contextlib.contextmanager
def by_http(tls: Tls | None = None, port: int = 0) -> Generator[Receiver]:
    """Receive by HTTP until the end of the block."""
    receiver = Receiver()
    receiver.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            signal = self.path.rsplit("/", 1)[-1]
            message = _SERVICES[signal][1]()
            message.ParseFromString(body)
            taken = receiver.take(
                signal, message, {name.lower(): value for name, value in self.headers.items()}
            )
            with contextlib.suppress(ConnectionError):
                self.send_response(200 if taken else 403)
                answer = receiver.answer(signal).SerializeToString() if taken else b""
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.server.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # it takes contexts of pyOpenSSL, too
        if tls.mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls.ca)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        server.server_close()
        thread.join()
