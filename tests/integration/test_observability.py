"""The dashboard and the alerts, with a real Prometheus that scrapes a gateway at work."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from gateway import Running, gateway, provider
from integration.mcp_gateway import ACCEPT, NO_TLS, stdio
from nexus.telemetry import prometheus as exposition
from upstreams.redis import redis
from upstreams.scripted import Asked, Told, upstream

HERE = Path(__file__).parents[2] / "deploy" / "observability"
IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"
[llm.protocols.anthropic]
enabled = true
[telemetry.prometheus]
enabled = true
"""
LIMITS = """
[llm.providers.up.rate_limits.per_user]
input_token_limit = 100000
interval = "60s"
[server.rate_limits]
enabled = true
[server.rate_limits.storage]
type = "redis"
url = "{}"
"""
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
WHOLE = msgspec.json.encode(
    {
        "id": "1",
        "model": "gpt-4o",
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
NAME = re.compile(r"\b((?:http|gen_ai|mcp|nexus|redis|process)_[a-z0-9_]+)(?=[{\[\s),]|$)")


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def says(asked: Asked) -> Told:
    if asked.json.get("user") == "fail":
        return Told(status=500, pieces=(b"no",))
    if not asked.json.get("stream"):
        return Told(pieces=(WHOLE,))
    chunk = b'data: {"id":"1","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    end = chunk.replace(b"null", b'"stop"')
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, later.set)
    return Told(content_type="text/event-stream", pieces=(chunk, later, end, b"data: [DONE]\n\n"))


async def work(nexus: Running) -> None:
    """Do a bit of everything."""
    chat, messages = "/llm/openai/v1/chat/completions", [{"role": "user", "content": "x"}]
    for more in ({}, {"stream": True}, {"user": "fail"}):
        body = msgspec.json.encode({"model": "up/gpt-4o", "messages": messages, **more})
        await nexus.ask("POST", chat, body, X_Client_ID="alice")
    body = {"model": "up/gpt-4o", "max_tokens": 9, "messages": messages, "container": "c"}
    await nexus.ask("POST", "/llm/anthropic/v1/messages", msgspec.json.encode(body), X_Client_ID="alice")
    del body["container"]
    counting = "/llm/anthropic/v1/messages/count_tokens"
    await nexus.ask("POST", counting, msgspec.json.encode(body), X_Client_ID="alice")
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("tools/call", {"name": "search", "arguments": {"keywords": ["adds"]}}),
        (
            "tools/call",
            {"name": "execute", "arguments": {"name": "math__adder", "arguments": {"a": 1, "b": 2}}},
        ),
        ("tools/call", {"name": "execute", "arguments": {"name": "nothing", "arguments": {}}}),
        ("tools/list", {}),
        ("prompts/list", {}),
        ("resources/list", {}),
    )
    for method, params in calls:
        message = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        await nexus.ask("POST", "/mcp", message, accept=ACCEPT["accept"], X_Client_ID="alice")


@contextlib.asynccontextmanager
async def working() -> AsyncGenerator[Running]:
    async with redis() as server, upstream(says) as up:
        toml = provider(up.url) + IDENTIFIED + stdio("math", "plain") + LIMITS.format(server.url)
        async with gateway(toml) as nexus:
            assert nexus.gateway.mcp is not None
            await asyncio.wait_for(nexus.gateway.mcp.pool.shared["math"].settled.wait(), 20)
            yield nexus


def queries() -> Iterator[tuple[str, str]]:
    """Give every query of the dashboard, as Grafana would send it."""
    board: Any = msgspec.json.decode((HERE / "dashboard.json").read_bytes())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            asked = target["expr"].replace("$__rate_interval", "10s").replace("$__range", "10s")
            yield panel["title"], asked.replace("$model", ".*").replace("$client", ".*")


def expressions() -> Iterator[str]:
    """Give every expression of the alerts."""
    yield from (HERE / "alerts.yml").read_text().split("expr:")[1:]


async def test_promtool_finds_nothing_wrong_with_what_is_shown() -> None:
    promtool = needs("promtool")
    async with working() as nexus:
        await work(nexus)
        text = (await nexus.ask("GET", "/metrics")).body
    done = await asyncio.to_thread(_run, [promtool, "check", "metrics"], text)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_what_the_dashboard_and_the_alerts_ask_for_is_there() -> None:
    async with working() as nexus:
        await work(nexus)
        names = {exposition.name(one) for one in nexus.gateway.telemetry.metrics.all()}
    endings = ("_bucket", "_count", "_sum")
    for text in (*(query for _, query in queries()), *(one.split("labels:")[0] for one in expressions())):
        for name in NAME.findall(re.sub(r'"[^"]*"|by \([^)]*\)|ignoring \([^)]*\)', "", text)):
            whole = next((name.removesuffix(end) for end in endings if name.endswith(end)), name)
            assert {name, whole} & names, name


def test_the_alerts_are_valid_and_ring_when_they_should() -> None:
    promtool = needs("promtool")
    for arguments in (
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("check", "config", "prometheus.yml"),
    ):
        done = _run([promtool, *arguments])
        assert done.returncode == 0, done.stdout + done.stderr


def _run(arguments: Sequence[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(arguments, input=text, cwd=HERE, capture_output=True, check=False, timeout=30)


async def test_a_real_prometheus_answers_every_query_of_the_dashboard(tmp_path: Path) -> None:
    program = needs("prometheus")
    async with working() as nexus:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: { scrape_interval: 200ms, evaluation_interval: 200ms }\n"
            f"rule_files: [{HERE / 'alerts.yml'}]\n"
            f"scrape_configs: [{{ job_name: nexus, static_configs: [{{ targets: ['127.0.0.1:{nexus.port}'] }}] }}]\n"
        )
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            missing = await _ask_until_all_answer(nexus, f"http://127.0.0.1:{port}/api/v1")
        finally:
            process.terminate()
            _, log = await process.communicate()
    assert not missing
    said = [line for line in log.decode().splitlines() if "Received SIGTERM" not in line]
    assert not [line for line in said if "level=warn" in line or "level=error" in line]


async def _ask_until_all_answer(nexus: Running, api: str) -> set[tuple[str, str]]:
    """Work while Prometheus scrapes, until every query has found something; give those that have not in half a minute."""
    missing = set(queries())
    assert len(missing) >= 35
    async with httpx2.AsyncClient(timeout=10, verify=NO_TLS) as client, asyncio.timeout(60):
        while not await _found(client, api, "up == 1"):  # it looks for what to scrape every five seconds
            await asyncio.sleep(0.1)
        for _ in range(100):
            await work(nexus)
            missing = {(title, query) for title, query in missing if not await _found(client, api, query)}
            if not missing:
                break
            await asyncio.sleep(0.1)
    return missing


async def _found(client: httpx2.AsyncClient, api: str, query: str) -> bool:
    """Tell whether a query finds anything; not while Prometheus is still starting."""
    try:
        answer = await client.get(f"{api}/query", params={"query": query})
    except httpx2.TransportError:
        return False
    if answer.status_code == 503:
        return False
    found = answer.json()
    assert found["status"] == "success", (query, found)
    return bool(found["data"]["result"])
