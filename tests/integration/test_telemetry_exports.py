"""Collectors that are secured, slow, gone or not wanted; and what it takes where nothing is configured."""

import contextlib
import logging
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway import command, gateway, process, provider
from integration.telemetry_gateway import CHAT, chat, says, telling, until
from nexus.telemetry import observation
from upstreams.otlp import Receiver, Tls, by_grpc, by_http
from upstreams.scripted import upstream


async def test_tls_by_grpc_wants_both_sides_certificates(tmp_path: Path) -> None:
    tls = Tls(tmp_path, name="collector.test")
    files = f'ca = "{tls.ca}"\ncert = "{tls.certificate}"\nkey = "{tls.key}"\ndomain_name = "collector.test"'
    table = "[telemetry.exporters.otlp.grpc"
    more = f'{table}]\nheaders = {{ authorization = "Bearer t" }}\n{table}.tls]\n{files}'
    with by_grpc(tls) as receiver:
        async with telling(receiver, more=more) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        assert receiver.headers[0]["authorization"] == "Bearer t"


async def test_tls_by_http_trusts_what_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    more = 'HTTP[telemetry.exporters.otlp.http]\nheaders = [{ name = "X-Shard", value = "1" }]'
    with by_http(tls) as receiver:
        async with telling(receiver, more=more) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        assert receiver.headers[0]["x-shard"] == "1"


async def test_a_signal_with_a_collector_of_its_own_goes_there_and_one_that_is_off_nowhere() -> None:
    with by_grpc() as everything, by_http() as traces:
        own = (
            f'[telemetry.tracing.exporters.otlp]\nenabled = true\nprotocol = "http"\nendpoint = "{traces.url}"\n'
            'batch_export.scheduled_delay = "100ms"\n[telemetry.metrics.exporters.otlp]\nenabled = false\n'
        )
        async with telling(everything, more=own) as (nexus, _):
            await chat(nexus)
            await until(lambda: len(traces.spans) == 2, traces)
        assert {signal for signal, _ in traces.requests} == {"traces"}
        assert {signal for signal, _ in everything.requests} <= {"logs"}


@pytest.mark.parametrize("receive", [by_grpc, by_http])
async def test_a_collector_that_hangs_or_refuses_slows_nobody_and_is_told_of_once(
    receive: Callable[[], contextlib.AbstractContextManager[Receiver]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    more = "HTTP" if receive is by_http else ""
    with receive() as receiver:
        receiver.refuses = True
        async with telling(receiver, more=more) as (nexus, _):
            began = time.perf_counter()
            for _ in range(20):
                assert (await chat(nexus)).status == 200
            assert time.perf_counter() - began < 5
            await until(lambda: receiver.asked >= 9, receiver)
            receiver.held.clear()
            assert (await chat(nexus)).status == 200
            receiver.refuses = False
            receiver.held.set()
            for _ in range(3):
                await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        dropped = receiver.metrics["nexus.telemetry.dropped"]
    told = [record.getMessage() for record in caplog.records if "collector" in record.getMessage()]
    assert sorted(line.split()[0] for line in told) == ["logs", "metrics", "traces"]
    assert dropped.at(signal="traces").value >= 2


async def test_a_collector_that_is_not_there_keeps_nobody_from_starting_or_stopping() -> None:
    with by_grpc() as receiver:
        url = receiver.url
    gone = Receiver(url=url)
    began = time.perf_counter()
    async with telling(gone) as (nexus, _):
        assert (await chat(nexus)).status == 200
    assert time.perf_counter() - began < 15


def test_nothing_of_opentelemetry_is_loaded_where_nothing_is_configured(tmp_path: Path) -> None:
    script = (
        "import sys, asyncio\n"
        "from nexus import config\n"
        "from nexus.server.app import Gateway\n"
        "Gateway(config.loads('llm.providers.e.type = \"echo\"', {}).config)\n"
        "assert not [one for one in sys.modules if one.startswith(('opentelemetry', 'grpc', 'google'))]\n"
    )
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


async def test_no_layer_looks_at_requests_where_nobody_wants_to_know() -> None:
    async with upstream(says) as up, gateway(provider(up.url)) as nexus:
        assert not nexus.gateway.telemetry.active
        assert (await chat(nexus)).status == 200
        assert observation.current() is None


def test_each_request_has_a_line_in_the_log_and_health_checks_have_none(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('llm.providers.e.type = "echo"\n')
    body = b'{"model":"e/echo","messages":[{"role":"user","content":"a b"}]}'
    with process("-c", str(file), "--log-style", "json") as running:
        for path, data in (("/health", None), (CHAT, body)):
            request = urllib.request.Request(running.url + path, data, {"content-type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()
        line = msgspec.json.decode(running.read_until('"route"'))
    expected = {"level": "info", "method": "POST", "status": 200, "model": "e/echo", "provider": "e"}
    assert line.items() >= expected.items()
    assert (line["route"], line["input_tokens"]) == (CHAT, 2)
    assert 0 < line["duration"] < 5


def test_prometheus_may_have_a_listener_of_its_own(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "nexus.toml"
    toml = f'llm.providers.e.type = "echo"\ntelemetry.prometheus = {{ enabled = true, listen = "127.0.0.1:{port}" }}\n'
    file.write_text(toml)
    with process("-c", str(file)) as running:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as shown:
            assert b"target_info{" in shown.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{running.url}/metrics", timeout=10)
        file.write_text(toml + 'telemetry.service_name = "other"\n')
        assert running.read_until("telemetry has changed")


def test_several_workers_cannot_share_one_page_of_metrics(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('llm.providers.e.type = "echo"\ntelemetry.prometheus.enabled = true\n')
    done = command("-c", str(file), "--workers", "2", "--listen-address", "127.0.0.1:0")
    assert done.returncode == 1
    assert "telemetry.prometheus.listen" in done.stderr
