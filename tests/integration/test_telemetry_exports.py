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

from gateway import Running, command, gateway, process, provider
from integration.telemetry_gateway import CHAT, WHOLE, chat, otlp, says, telling, until
from nexus.telemetry import observation
from upstreams.otlp import Receiver, Tls, by_grpc, by_http
from upstreams.scripted import Told, upstream

Receive = Callable[..., contextlib.AbstractContextManager[Receiver]]
SPOKEN = pytest.mark.parametrize(("receive", "spoken"), [(by_grpc, "grpc"), (by_http, "http")])


def protocol(spoken: str, more: str = "") -> str:
    return more if spoken == "grpc" else f"HTTP{more}"


@SPOKEN
async def test_both_sides_of_tls_may_want_a_certificate_of_an_authority_of_their_own(
    receive: Receive, spoken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    tls = Tls(tmp_path, name="collector.test")
    files = f'ca = "{tls.ca}"\ncert = "{tls.certificate}"\nkey = "{tls.key}"\ndomain_name = "collector.test"'
    table = f"[telemetry.exporters.otlp.{spoken}"
    more = f'{table}]\nheaders = {{ authorization = "Bearer t" }}\n{table}.tls]\n{files}'
    with receive(tls) as receiver:
        assert receiver.url.startswith("https:")
        async with telling(receiver, more=protocol(spoken, more)) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics and receiver.lines, receiver)
        assert receiver.headers[0]["authorization"] == "Bearer t"


@SPOKEN
async def test_tls_trusts_what_the_system_trusts(
    receive: Receive, spoken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(tmp_path, mutual=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    more = f'[telemetry.exporters.otlp.{spoken}]\nheaders = [{{ name = "x-shard", value = "1" }}]'
    with receive(tls) as receiver:
        async with telling(receiver, more=protocol(spoken, more)) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
        assert receiver.headers[0]["x-shard"] == "1"


@SPOKEN
async def test_a_collector_that_is_not_who_it_should_be_gets_nothing_and_is_told_of_once(
    receive: Receive, spoken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    tls = Tls(tmp_path, mutual=False)
    (other := tmp_path / "other").mkdir()
    more = f'[telemetry.exporters.otlp.{spoken}.tls]\nca = "{Tls(other).ca}"\n'
    with receive(tls) as receiver:
        async with telling(receiver, more=protocol(spoken, more)) as (nexus, _):
            assert (await chat(nexus)).status == 200
            await until(lambda: len(warnings(caplog)) >= 3)
            assert (await chat(nexus)).status == 200
        assert not receiver.requests
    assert warnings(caplog) == ["logs", "metrics", "traces"]


@SPOKEN
async def test_a_collector_that_was_away_gets_what_was_told_meanwhile(
    receive: Receive, spoken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    with receive() as first:
        url = first.url
    async with telling(Receiver(url=url), more=protocol(spoken)) as (nexus, _):
        for _ in range(5):
            assert (await chat(nexus)).status == 200
        await until(lambda: len(warnings(caplog)) >= 3)
        with receive(port=int(url.rpartition(":")[2])) as receiver:
            await until(lambda: len(receiver.spans) >= 10 and receiver.metrics, receiver)
            await until(lambda: "traces are taken again" in caplog.text)
            lost = receiver.metrics["nexus.telemetry.dropped"].at(signal="traces").value
            assert warnings(caplog) == ["logs", "metrics", "traces"]
    assert caplog.text.count("traces are taken again") == 1
    assert lost == 0


@SPOKEN
async def test_what_a_collector_rejects_of_a_batch_it_takes_is_counted(receive: Receive, spoken: str) -> None:
    with receive() as receiver:
        receiver.rejects = 1
        async with telling(receiver, more=protocol(spoken)) as (nexus, _):
            await chat(nexus)
            await until(lambda: receiver.spans and receiver.metrics, receiver)
            dropped = "nexus.telemetry.dropped"
            await until(lambda: receiver.metrics[dropped].at(signal="traces").value >= 1, receiver)


@SPOKEN
async def test_a_warning_says_why(receive: Receive, spoken: str, caplog: pytest.LogCaptureFixture) -> None:
    with receive() as receiver:
        receiver.refuses = True
        async with telling(receiver, more=protocol(spoken)) as (nexus, _):
            await chat(nexus)
            await until(lambda: warnings(caplog))
    assert {"grpc": "PERMISSION_DENIED: no", "http": "status 403"}[spoken] in caplog.text


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Name the signals that were warned about, as often as they were."""
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    return sorted(line.split()[0] for line in said if "collector" in line)


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


@SPOKEN
async def test_a_collector_that_refuses_and_then_hangs_slows_nobody_and_is_told_of_once(
    receive: Receive, spoken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nexus")
    with receive() as receiver:
        receiver.refuses = True
        async with telling(receiver, more=protocol(spoken)) as (nexus, _):
            assert await slowest(nexus) < 1
            await until(lambda: receiver.asked >= 9, receiver)
            receiver.held.clear()
            before = receiver.asked
            await chat(nexus)
            await until(lambda: receiver.asked >= before + 3, receiver)
            assert await slowest(nexus) < 1  # all three signals hang meanwhile
            receiver.refuses = False
            receiver.held.set()
            await until(lambda: receiver.spans and receiver.metrics, receiver)
            await until(
                lambda: receiver.metrics["nexus.telemetry.dropped"].at(signal="traces").value >= 2, receiver
            )
    assert warnings(caplog) == ["logs", "metrics", "traces"]


async def slowest(nexus: Running) -> float:
    """Ask twenty times and give the seconds of the slowest."""
    took: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        assert (await chat(nexus)).status == 200
        took.append(time.perf_counter() - began)
    return max(took)


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
        "Gateway(config.loads('mcp.servers.s.cmd = [\"x\"]', {}).config)\n"  # brings the words of tracing only
        "ours = ('opentelemetry.sdk', 'opentelemetry.proto', 'opentelemetry.exporter', 'grpc', 'google')\n"
        "assert not [one for one in sys.modules if one.startswith(ours)]\n"
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


async def test_a_number_without_room_takes_no_batch_with_it() -> None:
    with by_grpc() as receiver:
        async with (
            upstream(lambda _: Told(pieces=(WHOLE,))) as up,
            gateway(provider(up.url) + otlp(receiver)) as nexus,
        ):
            await chat(nexus, max_tokens=2**63)
            await chat(nexus)
            await until(lambda: len(receiver.spans) == 4, receiver)


async def test_a_count_without_room_ends_no_metrics() -> None:
    told = WHOLE.replace(b'"prompt_tokens":100', b'"prompt_tokens":18446744073709551615')
    with by_grpc() as receiver:
        async with (
            upstream(lambda _: Told(pieces=(told,))) as up,
            gateway(provider(up.url) + otlp(receiver)) as nexus,
        ):
            await chat(nexus)
            await until(lambda: "gen_ai.client.operation.duration" in receiver.metrics, receiver)
