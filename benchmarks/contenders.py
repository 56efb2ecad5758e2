"""The mock providers and the gateways between which a request goes: their configurations, and how each is asked."""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import upstream
from fleet import GATEWAY_CORE, OTHER_CORE, Fleet, find_program, free_port, rss
from joserfc import jwt
from joserfc.jwk import RSAKey

HERE = Path(__file__).parent
GUARDED, METRICS, TRACES = "nexus guarded", "nexus metrics", "nexus traces"
TOLD = (METRICS, TRACES)
BESIDE = (GUARDED, *TOLD)
"""Set-ups of Nexus to compare with the bare one."""
_ENDLESS = "keepalive_requests 1000000000;"
_GUARDS = """
[llm.providers.bench.rate_limits.per_user]
input_token_limit = {most}
interval = "60s"

[llm.providers.bench.rate_limits.per_user.groups]
pro = {{ input_token_limit = {most}, interval = "60s" }}

[server.rate_limits]
enabled = true
global = {{ limit = {most}, interval = "60s" }}
per_ip = {{ limit = {most}, interval = "60s" }}

[server.client_identification]
enabled = true
client_id.jwt_claim = "sub"
group_id.jwt_claim = "group"
validation.group_values = ["pro"]

[server.oauth]
url = "{issuer}/jwks"
expected_issuer = "bench"
expected_audience = "bench"
protected_resource = {{ resource = "https://bench.test", authorization_servers = ["https://bench.test"] }}
"""

_TOLD = """
[telemetry.exporters.otlp]
enabled = true
endpoint = "http://127.0.0.1:{port}"

[telemetry.logs.exporters.otlp]
enabled = false

[telemetry.tracing]
sampling = 0.15
{tracing}
"""
_UNTRACED = "exporters.otlp.enabled = false"


@dataclass(frozen=True)
class Mocks:
    """Base URLs, without `/v1`, of the provider that answers as a whole and of the one that streams."""

    whole: str
    events: str
    events_pid: int
    token: str
    """A client's; the keys to it are at `/jwks` of `events`."""


@dataclass(frozen=True)
class Target:
    """Where to send a chat, in which protocol, and what to call the model."""

    url: str
    model: str
    protocol: str = "openai"
    token: str = ""

    def body(self, asked: dict[str, object]) -> dict[str, object]:
        """Write a chat completion in the words of the protocol."""
        if self.protocol == "openai":
            return {"model": self.model, **asked}
        named = {"metadata": {"user_id": asked["user"]}} if "user" in asked else {}
        left = {name: value for name, value in asked.items() if name != "user"}
        return {"model": self.model, "max_tokens": 4096, **left, **named}


@dataclass(frozen=True)
class Contender:
    """A gateway under test."""

    name: str
    pid: int
    whole: Target
    events: Target
    start: float
    """Seconds from the start of the process to its first answer."""
    idle: float
    """Mebibytes of memory before any load."""


def mocks(fleet: Fleet) -> Mocks:
    """Start the mock providers: nginx for whole answers where it is installed, so that the mock is not what is measured."""
    port, key = free_port(), RSAKey.generate_key(2048, {"kid": "bench", "use": "sig"})
    keys = msgspec.json.encode({"keys": [key.as_dict(private=False)]}).decode()
    command = [sys.executable, str(HERE / "upstream.py"), str(port)]
    python = fleet.start(command, OTHER_CORE, {"BENCH_JWKS": keys})
    events = f"http://127.0.0.1:{port}"
    fleet.await_answer(python, f"{events}/v1/models", 10)
    whole = events
    if (program := find_program("nginx")) is not None:
        port = free_port()
        answer = upstream.COMPLETION.decode()
        command = [
            program,
            *_nginx(
                fleet,
                port,
                # an answer without `mirror` would leave before the body of the request has arrived
                "default_type application/json; root /nonexistent; log_not_found off;"
                "location = /v1/chat/completions { mirror /read; error_page 404 405 =200 @answer; }"
                "location = /read { internal; return 204; }"
                f"location @answer {{ return 200 '{answer}'; }}"
                f"location = /v1/models {{ return 200 '{upstream.MODELS.decode()}'; }}",
            ),
        ]
        whole = f"http://127.0.0.1:{port}"
        fleet.await_answer(fleet.start(command, OTHER_CORE), f"{whole}/v1/models", 10)
    return Mocks(whole, events, python.pid, _token(key))


def direct(to: Mocks) -> Contender:
    """Ask the mocks themselves: the latency to which each gateway adds its own."""
    targets = [Target(f"{url}/v1/chat/completions", "gpt-4o") for url in (to.whole, to.events)]
    return Contender("direct", to.events_pid, targets[0], targets[1], 0, 0)


def nginx(fleet: Fleet, to: Mocks) -> Contender | None:
    """Start nginx as reverse proxy, the limit of what a proxy can do; nothing where it is not installed."""
    if (program := find_program("nginx")) is None:
        return None
    port = free_port()
    pools = "".join(
        f"upstream {name} {{ server {url.removeprefix('http://')}; keepalive 128; {_ENDLESS} }}"
        for name, url in (("whole", to.whole), ("events", to.events))
    )
    places = "".join(
        f"location /{name}/ {{ proxy_pass http://{name}/; proxy_http_version 1.1;"
        'proxy_set_header Connection ""; proxy_buffering off; }'
        for name in ("whole", "events")
    )
    process = fleet.start([program, *_nginx(fleet, port, places, pools)], GATEWAY_CORE)
    took = fleet.await_answer(process, f"http://127.0.0.1:{port}/whole/v1/models", 10)
    targets = [
        Target(f"http://127.0.0.1:{port}/{name}/v1/chat/completions", "gpt-4o")
        for name in ("whole", "events")
    ]
    return Contender("nginx", process.pid, targets[0], targets[1], took, rss(process.pid))


def _token(key: RSAKey) -> str:
    """Sign a client's token for the next hours."""
    claims = {
        "iss": "bench",
        "aud": "bench",
        "sub": "client",
        "group": "pro",
        "exp": int(time.time()) + 86_400,
    }
    return jwt.encode({"alg": "RS256", "kid": "bench"}, claims, key)


def nexus(fleet: Fleet, to: Mocks, name: str = "nexus", token: str = "", more: str = "") -> Contender:
    """Start Nexus with one provider for each mock."""
    port = free_port()
    file = fleet.folder / f"nexus-{port}.toml"
    file.write_text(
        "llm.protocols.anthropic.enabled = true\n"
        + "".join(
            f'[llm.providers.{name}]\ntype = "openai"\napi_key = "sk-bench"\nbase_url = "{url}/v1"\nproxy = "none"\n'
            for name, url in (("bench", to.whole), ("events", to.events))
        )
        + more
    )
    command = [sys.executable, "-m", "nexus", "-c", str(file), "-l", f"127.0.0.1:{port}", "--log", "warn"]
    process = fleet.start(command, GATEWAY_CORE)
    took = fleet.await_answer(process, f"http://127.0.0.1:{port}/ready", 30)
    url = f"http://127.0.0.1:{port}/llm/openai/v1/chat/completions"
    targets = [Target(url, f"{mock}/gpt-4o", token=token) for mock in ("bench", "events")]
    return Contender(name, process.pid, targets[0], targets[1], took, rss(process.pid))


def guarded(fleet: Fleet, to: Mocks) -> Contender:
    """Start Nexus with everything that may stand before a request: token, identity, limits on requests and on tokens."""
    return nexus(fleet, to, GUARDED, to.token, _GUARDS.format(issuer=to.events, most=10**12))


def telling(fleet: Fleet, to: Mocks) -> list[Contender]:
    """Start Nexus with metrics, and with metrics and 15 % of traces, exported to a collector on the other core."""
    port = free_port()
    collector = fleet.start([sys.executable, str(HERE / "collector.py"), str(port)], OTHER_CORE)
    fleet.await_listener(collector, port, 10)
    wanted = ((METRICS, _UNTRACED), (TRACES, ""))
    return [nexus(fleet, to, name, more=_TOLD.format(port=port, tracing=more)) for name, more in wanted]


def translating(nexus: Contender) -> Contender:
    """Ask the same Nexus in the Anthropic protocol: each request and each event is translated, both ways."""
    url = nexus.whole.url.replace("/openai/v1/chat/completions", "/anthropic/v1/messages")
    targets = Target(url, nexus.whole.model, "anthropic"), Target(url, nexus.events.model, "anthropic")
    return Contender("nexus translating", nexus.pid, *targets, nexus.start, nexus.idle)


def litellm(fleet: Fleet, to: Mocks) -> Contender | None:
    """Start the LiteLLM proxy; nothing where neither BENCH_LITELLM nor the path names it."""
    program = os.environ.get("BENCH_LITELLM") or shutil.which("litellm")
    if program is None:
        return None
    port = free_port()
    file = fleet.folder / "litellm.yaml"
    file.write_text(
        "model_list:\n"
        + "".join(
            f"- model_name: {name}\n  litellm_params: {{model: openai/gpt-4o, api_base: '{url}/v1', api_key: sk-bench}}\n"
            for name, url in (("whole", to.whole), ("events", to.events))
        )
    )
    command = [
        program,
        "--config",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    environ = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
        # no keys of its own, as the others have none here; it is on loopback
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    process = fleet.start(command, GATEWAY_CORE, environ)
    took = fleet.await_answer(process, f"http://127.0.0.1:{port}/health/liveliness", 120)
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return Contender(
        "litellm", process.pid, Target(url, "whole"), Target(url, "events"), took, rss(process.pid)
    )


def _nginx(fleet: Fleet, port: int, server: str, more: str = "") -> list[str]:
    """Write the configuration of one nginx without a master process; gives its arguments."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {fleet.folder}/{kind}-{port};" for kind in kinds)
    file = fleet.folder / f"nginx-{port}.conf"
    file.write_text(
        f"worker_processes 1; daemon off; master_process off; pid {fleet.folder}/{port}.pid; error_log stderr;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; client_body_buffer_size 256k; {_ENDLESS} {folders}"
        f"{more} server {{ listen 127.0.0.1:{port}; client_max_body_size 50m; {server} }} }}"
    )
    return ["-c", str(file)]
