"""The program as an operator sees it: start, refuse to start, reload, drain, end."""

import asyncio
import os
import signal
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
import trustme

from gateway import command, process, provider
from upstreams.scripted import Told, upstream

ECHO = '[llm.providers.try]\ntype = "echo"\n'
CHAT = "/llm/openai/v1/chat/completions"
BODY = b'{"model":"try/echo","messages":[{"role":"user","content":"hello"}]}'
JSON = {"content-type": "application/json"}


def get(url: str, context: ssl.SSLContext | None = None) -> bytes:
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.read()


def chat(url: str, body: bytes = BODY) -> str:
    with urllib.request.urlopen(urllib.request.Request(url + CHAT, body, JSON), timeout=10) as answer:
        return msgspec.json.decode(answer.read())["choices"][0]["message"]["content"]


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    file = tmp_path / "nexus.toml"
    file.write_text(ECHO)
    return file


def test_it_starts_answers_and_ends_gracefully(echo: Path) -> None:
    with process("--config", str(echo)) as nexus:
        assert get(nexus.url + "/health") == b'{"status":"healthy"}'
        assert msgspec.json.decode(get(nexus.url + "/ready")) == {
            "ready": True,
            "parts": {"llm.providers.try": "up"},
        }
        assert chat(nexus.url) == "hello"
        nexus.popen.send_signal(signal.SIGTERM)
        nexus.read_until("Server shut down gracefully")
        assert nexus.popen.wait(10) == 0
    assert "Nexus 0." in nexus.log[0]


def test_logs_can_be_json(echo: Path) -> None:
    with process("--config", str(echo), "--log-style", "json") as nexus:
        entry = msgspec.json.decode(nexus.log[0])
        assert entry["level"] == "info"
        assert entry["message"].startswith("Nexus ")


def test_a_bad_file_is_refused_with_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[server]\nlisten_adress = "x"\n[llm]\nkeep_alive = true\n' + ECHO)
    for arguments in (("--config", str(file)), ("check", str(file))):
        ended = command(*arguments)
        assert ended.returncode == 1
        assert "2 mistakes" in ended.stderr
        assert "line 2: server.listen_adress" in ended.stderr
        assert "listen_address" in ended.stderr
        assert "llm.keep_alive" in ended.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    ended = command("--config", str(tmp_path / "none.toml"))
    assert ended.returncode == 1
    assert "there is no file" in ended.stderr


def test_nothing_to_serve_is_refused_with_an_example(tmp_path: Path) -> None:
    ended = command(cwd=tmp_path)
    assert ended.returncode == 1
    assert "No downstream servers configured" in ended.stderr
    assert "[llm.providers.openai]" in ended.stderr


def test_keys_in_the_environment_are_enough(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-secret-1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    with process(cwd=tmp_path, environ=environ) as nexus:
        log = "".join(nexus.log)
        assert "environment: OPENAI_API_KEY" in log
        assert "sk-secret-1" not in log
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(nexus.url + "/ready")
        assert refused.value.code == 503
        parts = msgspec.json.decode(refused.value.read())["parts"]
        assert "could not connect to 127.0.0.1" in parts["llm.providers.openai"]
        refused.value.close()


async def test_a_provider_that_answers_with_an_error_stops_the_start(tmp_path: Path) -> None:
    async with upstream() as up:
        up.listed = lambda _: Told(status=401, pieces=(b'{"error":{"message":"bad key"}}',))
        file = tmp_path / "nexus.toml"
        file.write_text(provider(up.url))
        ended = await asyncio.to_thread(command, "--config", str(file), "--listen-address", "127.0.0.1:0")
        assert ended.returncode == 1
        assert (
            "Failed to initialize LLM router: Failed to initialize LLM server: Internal server error"
            in ended.stderr
        )
        assert "provider 'up' did not give its models" in ended.stderr
        assert "test-key" not in ended.stderr


async def test_a_start_can_forgive_a_provider_its_error(tmp_path: Path) -> None:
    async with upstream() as up:
        up.listed = lambda _: Told(status=401, pieces=(b'{"error":{"message":"bad key"}}',))
        file = tmp_path / "nexus.toml"
        file.write_text('llm.discovery.on_start_error = "warn"\n' + provider(up.url))

        def log() -> str:
            with process("--config", str(file)) as nexus:
                return "".join(nexus.log)

        assert "provider 'up' did not give its models: the upstream answered 401" in await asyncio.to_thread(
            log
        )


def test_a_changed_file_is_served_and_a_bad_one_is_not(echo: Path) -> None:
    with process("--config", str(echo)) as nexus:
        echo.write_text(ECHO + '[llm.providers.second]\ntype = "echo"\n')
        nexus.popen.send_signal(signal.SIGHUP)
        nexus.read_until("The configuration was reloaded")
        assert chat(nexus.url, BODY.replace(b"try/", b"second/")) == "hello"
        echo.write_text("nonsense")
        nexus.read_until("the old one stays in force")
        assert chat(nexus.url, BODY.replace(b"try/", b"second/")) == "hello"


async def test_streams_end_before_the_process_does(tmp_path: Path) -> None:
    gate = asyncio.Event()
    event = b'data: {"model":"gpt-4o"}\n\n'
    told = Told(content_type="text/event-stream", pieces=(event, gate, event))
    async with upstream(lambda _: told) as up:
        file = tmp_path / "nexus.toml"
        file.write_text(provider(up.url))
        starting = process("--config", str(file))
        nexus = await asyncio.to_thread(starting.__enter__)
        try:
            port = int(nexus.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = b'{"model":"gpt-4o","stream":true}'
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            assert event in await reader.readuntil(event)
            nexus.popen.send_signal(signal.SIGTERM)
            await _refused(port)
            gate.set()
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            assert await asyncio.to_thread(nexus.popen.wait, 10) == 0
            writer.close()
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    gate = asyncio.Event()
    told = Told(content_type="text/event-stream", pieces=(b"data: {}\n\n", gate))
    async with upstream(lambda _: told) as up:
        file = tmp_path / "nexus.toml"
        file.write_text(provider(up.url))
        starting = process("--config", str(file))
        nexus = await asyncio.to_thread(starting.__enter__)
        try:
            port = int(nexus.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = b'{"model":"gpt-4o","stream":true}'
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await reader.readuntil(b"data: {}")
            nexus.popen.send_signal(signal.SIGTERM)
            await _refused(port)
            nexus.popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(nexus.popen.wait, 5) == 0
            writer.close()
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


async def _refused(port: int) -> None:
    """Wait until no new connection is accepted."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.01)


def test_https_is_served(tmp_path: Path) -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    file = tmp_path / "nexus.toml"
    file.write_text(ECHO + f'[server.tls]\ncertificate = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n')
    trusting = ssl.create_default_context()
    trusting.load_verify_locations(cadata=ca.cert_pem.bytes().decode())
    with process("--config", str(file)) as nexus:
        assert nexus.url.startswith("https://")
        assert get(nexus.url + "/health", trusting) == b'{"status":"healthy"}'


def test_health_can_listen_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text(ECHO + '[server.health]\nlisten = "127.0.0.1:0"\n')
    with process("--config", str(file), ready="Health check endpoint") as nexus:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(nexus.url + "/health")
        assert refused.value.code == 404
        refused.value.close()


def test_workers_share_the_port_and_are_replaced(echo: Path) -> None:
    with process("--config", str(echo), "--workers", "2") as nexus:
        first, second = _children(nexus.popen.pid)
        # Ctrl-C in a terminal is for the supervisor, which passes it on once
        assert os.getpgid(int(first)) == int(first)
        assert chat(nexus.url) == "hello"
        os.kill(int(second), signal.SIGKILL)
        nexus.read_until("starting another")
        replaced = _children(nexus.popen.pid)
        assert first in replaced
        assert second not in replaced
        assert len(replaced) == 2
        assert {chat(nexus.url) for _ in range(20)} == {"hello"}
        nexus.popen.send_signal(signal.SIGTERM)
        assert nexus.popen.wait(10) == 0
        assert not any(Path(f"/proc/{child}").exists() for child in replaced)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_local_model_is_not_shared_between_workers(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[llm.providers.here]\ntype = "local"\n')
    ended = command("--config", str(file), "--workers", "2")
    assert ended.returncode == 1
    assert "cannot be shared between workers" in ended.stderr


def test_an_address_in_use_is_told(echo: Path) -> None:
    with process("--config", str(echo)) as nexus:
        ended = command("--config", str(echo), "--listen-address", nexus.url.removeprefix("http://"))
        assert ended.returncode == 1
        assert "Failed to bind to 127.0.0.1" in ended.stderr


def test_check_says_good(echo: Path) -> None:
    ended = command("check", str(echo))
    assert (ended.returncode, ended.stdout.strip()) == (0, f"{echo}: good (1 provider)")
    assert command("--config", str(echo), "check").stdout == ended.stdout


def test_check_misses_what_a_local_model_needs(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[llm.providers.here]\ntype = "local"\nmodel_path = "/nowhere/model.gguf"\n')
    ended = command("check", str(file))
    assert ended.returncode == 1
    assert "/nowhere/model.gguf" in ended.stderr


def test_schema_is_json() -> None:
    assert msgspec.json.decode(command("schema").stdout)["type"] == "object"


def test_models_are_listed_with_their_origin(echo: Path) -> None:
    echo.write_text(ECHO + "[llm.providers.try.models.echo]\n")
    ended = command("models", "--config", str(echo))
    assert ended.returncode == 0
    assert [line.split() for line in ended.stdout.splitlines() if "try" in line] == [
        ["echo", "try", "echo", "discovery", "echo"],
        ["try/echo", "try", "echo", "configuration", "echo"],
    ]


def test_the_version_is_shown() -> None:
    assert command("--version").stdout.startswith("nexus 0.")
