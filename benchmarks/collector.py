"""The mock collector of the benchmark: takes whatever a gateway exports by OTLP over gRPC.

A program: `collector.py PORT`. It reads nothing of what it takes, so that it leaves its core to the mock and the load.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

SERVICES = ("trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService")


def taken(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """Answer that all of it was taken: a message of which nothing is set."""
    return b""


def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.server(ThreadPoolExecutor(2))
    export: Any = grpc.unary_unary_rpc_method_handler(taken)  # pyright: ignore[reportUnknownVariableType]  # its types have a hole
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                f"opentelemetry.proto.collector.{service}", {"Export": export}
            )
            for service in SERVICES
        ]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
