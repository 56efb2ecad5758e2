"""What is looked at, and where it goes, is what the configuration says."""

import logging
import sys
from contextvars import copy_context
from typing import Any

import pytest

from nexus import config
from nexus.telemetry.collector import target
from nexus.telemetry.setup import Telemetry

ECHO = 'llm.providers.e.type = "echo"\n'
SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
GLOBAL = "[telemetry.exporters.otlp]\nenabled = true\n"


def made(toml: str) -> Telemetry:
    return Telemetry(config.loads(ECHO + toml, {}).config.telemetry)


def signals(telemetry: Telemetry) -> set[str]:
    """Name what is sent."""
    return {one.what for one in telemetry.exports}


@pytest.mark.parametrize(
    ("toml", "sent"),
    [
        ("", set[str]()),
        ("[telemetry]\nservice_name = 'x'\n", set[str]()),
        ("[telemetry.exporters.otlp]\nendpoint = 'http://127.0.0.1:1'\n", set[str]()),
        (GLOBAL, {"metrics", "traces", "logs"}),
        (GLOBAL + "[telemetry.tracing.exporters.otlp]\nenabled = false\n", {"metrics", "logs"}),
        (GLOBAL + "[telemetry.metrics.exporters.otlp]\nenabled = false\n", {"traces", "logs"}),
        (GLOBAL + "[telemetry.logs.exporters.otlp]\nenabled = false\n", {"metrics", "traces"}),
        ("[telemetry.logs.exporters.otlp]\nenabled = true\n", {"logs"}),
    ],
)
def test_a_signal_goes_where_its_own_table_says_or_else_everybodys(toml: str, sent: set[str]) -> None:
    assert signals(made(toml)) == sent


@pytest.mark.parametrize(
    ("toml", "measures"),
    [("", False), ("telemetry.prometheus.enabled = true", True), (GLOBAL, True), ("[telemetry]\n", False)],
)
def test_metrics_are_kept_only_where_somebody_reads_them(toml: str, measures: bool) -> None:
    telemetry = made(toml)
    assert (telemetry.measures, telemetry.active) == (measures, measures)


def test_a_package_that_is_missing_is_told_and_keeps_nobody_from_being_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with caplog.at_level(logging.ERROR):
        telemetry = made(GLOBAL)
    assert signals(telemetry) == set()
    (line,) = caplog.messages
    assert line.startswith("metrics, traces, logs are not sent: a package more is needed: pip install")


def test_a_file_that_cannot_be_read_is_told_and_keeps_nobody_from_being_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tls = 'endpoint = "https://127.0.0.1:1"\ngrpc.tls.ca = "/nowhere/ca.pem"\n'
    with caplog.at_level(logging.ERROR):
        telemetry = made(GLOBAL + tls)
    assert signals(telemetry) == set()
    assert "/nowhere/ca.pem" in caplog.text


def test_whoever_reports_is_named() -> None:
    named = made("[telemetry]\nservice_name = 'mine'\nresource_attributes = { region = 'eu' }\n").resource
    assert (named["service.name"], named["region"]) == ("mine", "eu")
    one, other = made("[telemetry]\n").resource, made("[telemetry]\n").resource
    assert one["service.name"] == "nexus"
    assert one["service.instance.id"] != other["service.instance.id"]


def test_nobody_is_told_of_requests_that_nobody_traces() -> None:
    telemetry = made(GLOBAL + "[telemetry.tracing]\nsampling = 0.0\n")
    assert not copy_context().run(telemetry.begin, dict(SCOPE)).sampled


@pytest.mark.parametrize(
    ("endpoint", "posted"),
    [
        ("http://a:4318", "http://a:4318/v1/traces"),
        ("http://a:4318/", "http://a:4318/v1/traces"),
        ("https://a/otlp/v1/traces", "https://a/otlp/v1/traces"),
    ],
)
def test_a_bare_url_gets_the_path_of_the_protocol(endpoint: str, posted: str) -> None:
    assert target(endpoint, "traces") == posted
