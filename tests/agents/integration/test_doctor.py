"""What `doctor` says and how it leaves, with one thing configured at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from agents.fake_opencode import FakeOpenCode, played
from agents.fakes import Asked, Gateway, Told, custom, environment, failed, free, listing, openrouter, said
from nexus_agents.doctor import Report, examine
from nexus_agents.services import Services
from nexus_agents.setup import apply, plan


def run(*arguments: str, environ: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nexus_agents", *arguments],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def report(environ: dict[str, str], cwd: Path, **more: Any) -> Report:
    async with Services(environ, cwd=cwd) as services:
        return await examine(services, environ, cwd, **more)


def refusing(asked: Asked) -> Told:
    return failed(401, "bad key sk-custom-secret")


def told(report: Report, name: str) -> list[tuple[str, str]]:
    return [(check.state, check.detail) for check in report.checks if check.name == name]


def test_a_custom_gateway_alone_is_enough(tmp_path: Path) -> None:
    with Gateway(lambda asked: said("OK"), listing("m-1", "m-2")).listening() as gateway:
        done = run("doctor", environ=custom(tmp_path, gateway), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    available = done.stdout.split("Available adapters\n")[1].split("\n\n")[0]
    assert "Custom OpenAI" in available
    assert "127.0.0.1" in available
    assert "Status: Ready" in done.stdout
    assert "sk-custom-secret" not in done.stdout + done.stderr
    assert gateway.chats == [], "no model was called"


def test_openrouter_alone_is_enough(tmp_path: Path) -> None:
    with Gateway(lambda asked: said("OK"), listing(free("a/b:free"))).listening() as gateway:
        done = run("doctor", environ=openrouter(tmp_path, gateway), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "OpenRouter" in done.stdout.split("Available adapters\n")[1].split("\n\n")[0]
    assert "sk-or-v1-secret" not in done.stdout + done.stderr


def test_a_refused_base_url_is_told_with_what_lifts_it(tmp_path: Path) -> None:
    environ = environment(
        tmp_path,
        NEXUS_CUSTOM_API_BASE_URL="http://user:hunter2@localhost:4000/v1",
        NEXUS_CUSTOM_API_KEY="sk-custom-secret",
    )
    done = run("doctor", environ=environ, cwd=tmp_path)
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert "user name or password" in done.stdout
    environ["NEXUS_CUSTOM_API_BASE_URL"] = "http://localhost:4000/v1"
    done = run("doctor", environ=environ, cwd=tmp_path)
    assert done.returncode == 1
    assert "localhost" in done.stdout
    assert "NEXUS_CUSTOM_API_ALLOW_PRIVATE=1" in done.stdout


def test_nothing_configured_leaves_with_a_code_of_its_own(tmp_path: Path) -> None:
    done = run("doctor", environ=environment(tmp_path), cwd=tmp_path)
    assert done.returncode == 3
    assert "OPENROUTER_API_KEY" in done.stdout


def test_half_a_configuration_is_broken_even_beside_one_that_works(tmp_path: Path) -> None:
    with Gateway(lambda asked: said("OK"), listing(free("a/b:free"))).listening() as gateway:
        environ = openrouter(tmp_path, gateway, NEXUS_CUSTOM_API_BASE_URL="https://example.com/v1")
        done = run("doctor", environ=environ, cwd=tmp_path)
    assert done.returncode == 1
    assert "NEXUS_CUSTOM_API_KEY" in done.stdout


def test_json_says_the_same(tmp_path: Path) -> None:
    with Gateway(lambda asked: said("OK"), listing("m-1")).listening() as gateway:
        done = run("doctor", "--json", environ=custom(tmp_path, gateway), cwd=tmp_path)
    shown = msgspec.json.decode(done.stdout)
    assert shown["ready"] is True
    assert [(each["title"], each["state"]) for each in shown["adapters"]] == [("Custom OpenAI", "usable")]
    assert {check["name"] for check in shown["checks"]} >= {"OpenCode", "Gateway", "Data", "Keys", "Python"}


def test_live_calls_a_model_and_tells_a_failure(tmp_path: Path) -> None:
    with Gateway(lambda asked: said("OK"), listing("m-1")).listening() as gateway:
        environ = custom(tmp_path, gateway)
        good = run("doctor", "--live", environ=environ, cwd=tmp_path)
        assert good.returncode == 0, good.stdout
        assert len(gateway.chats) == 1
        assert (
            gateway.chats[0].json.get("max_tokens", gateway.chats[0].json.get("max_completion_tokens")) == 16
        )
        gateway.script = refusing
        bad = run("doctor", "--live", environ=environ, cwd=tmp_path)
    assert bad.returncode == 1
    assert "custom-openai: failed" in bad.stdout
    assert "sk-custom-secret" not in bad.stdout


async def test_opencode_tells_its_version_and_the_variables_it_lacks(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    (tmp_path / "opencode.json").write_text(
        '{"provider": {"c": {"options": {"apiKey": "{env:CUSTOM_API_KEY}"}}}}'
    )
    environ = {**environment(tmp_path), "PATH": fake.path}
    found = await report(environ, tmp_path)
    states = told(found, "OpenCode")
    assert ("ok", "version 1.2.15") in states
    assert any(state == "warning" and "CUSTOM_API_KEY" in detail for state, detail in states)
    assert told(await report({**environ, "CUSTOM_API_KEY": "k"}, tmp_path), "OpenCode") == [
        ("ok", "version 1.2.15")
    ]


async def test_a_broken_opencode_file_is_told_with_its_place(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    fake.plan(played("thinking"))
    (tmp_path / "opencode.json").write_text("{\n  oops\n}")
    found = await report({**environment(tmp_path), "PATH": fake.path}, tmp_path)
    assert any(
        state == "failed" and "line 2, column 3" in detail for state, detail in told(found, "OpenCode")
    )
    assert not found.ready


class Nexus(Gateway):
    """A gateway with a health page and no tools."""

    date = ""

    def answer(self, asked: Asked) -> Told:
        if asked.path == "/health":
            return Told(body=b'{"status":"healthy"}')
        return super().answer(asked)


async def test_the_gateway_is_checked(tmp_path: Path) -> None:
    with Nexus(lambda asked: said("OK"), listing("m-1", "m-2")).listening() as gateway:
        environ = environment(
            tmp_path,
            NEXUS_GATEWAY_URL=f"http://127.0.0.1:{gateway.port}",
            NEXUS_GATEWAY_KEY="sk-gateway-secret",
        )
        found = await report(environ, tmp_path)
        assert told(found, "Gateway health") == [("ok", "answers, and its clock is right")]
        assert told(found, "Gateway models") == [("ok", "2 models")]
        assert told(found, "Gateway tools")[0][0] == "warning"
        late = await report(environ, tmp_path, clock=lambda: 0.0)
        assert told(late, "Gateway health")[0][0] == "warning"
        assert "clock" in told(late, "Gateway health")[0][1]
        gateway.models = failed(401, "who are you? sk-gateway-secret")
        refused = await report(environ, tmp_path)
    assert told(refused, "Gateway models")[0][0] == "failed"
    assert not refused.ready
    assert b"sk-gateway-secret" not in msgspec.json.encode(refused)


async def test_clients_are_told_to_be_connected_or_not(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    (tmp_path / ".cursor").mkdir()
    assert told(await report(environ, tmp_path), "Client cursor") == [
        ("off", "not connected to these agents")
    ]
    apply(plan("cursor", environ, tmp_path))
    assert told(await report(environ, tmp_path), "Client cursor")[0][0] == "ok"
    (tmp_path / ".cursor/mcp.json").write_text("{")
    assert told(await report(environ, tmp_path), "Client cursor")[0][0] == "warning"


async def test_a_misspelt_setting_is_told(tmp_path: Path) -> None:
    found = await report(environment(tmp_path, NEXUS_CUSTOM_API_BASE_URI="x"), tmp_path)
    assert any("NEXUS_CUSTOM_API_BASE_URL" in detail for _, detail in told(found, "Settings"))


async def test_a_data_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = await report(
        environment(tmp_path) | {"NEXUS_DATA_DIR": str(tmp_path / "file" / "data")}, tmp_path
    )
    assert told(found, "Data")[0][0] == "failed"
    assert not found.ready


def test_setup_from_the_command_line(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    path = tmp_path / ".config/opencode/opencode.json"
    nobody = run("setup", environ=environ, cwd=tmp_path)
    assert nobody.returncode == 2
    preview = run("setup", "--client", "opencode", "--dry-run", environ=environ, cwd=tmp_path)
    assert preview.returncode == 0
    assert '+    "nexus-agents": {' in preview.stdout
    assert not path.exists()
    assert run("setup", "--client", "opencode", environ=environ, cwd=tmp_path).returncode == 0
    written = path.read_bytes()
    again = run("setup", environ=environ, cwd=tmp_path)
    assert again.returncode == 0
    assert "already connected" in again.stdout
    assert path.read_bytes() == written
    path.write_text("{\n  broken")
    broken = run("setup", "--client", "opencode", environ=environ, cwd=tmp_path)
    assert broken.returncode == 1
    assert "line 2, column 3" in broken.stderr
    assert path.read_text() == "{\n  broken"


def test_the_command_setup_writes_starts_the_server(tmp_path: Path) -> None:
    made = plan("opencode", environment(tmp_path), tmp_path)
    command = msgspec.json.decode(made.after)["mcp"]["nexus-agents"]["command"]
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    done = subprocess.run(
        command,
        input=msgspec.json.encode(hello) + b"\n",
        capture_output=True,
        env=environment(tmp_path),
        timeout=60,
        check=True,
    )
    assert msgspec.json.decode(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "nexus-agents"
