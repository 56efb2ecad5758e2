"""The local model: a real llama.cpp with the small model, where the extra `nexus[local]` and its weights are installed."""

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from gateway import Running, command, gateway, process
from nexus.llm.providers import local

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(
        not local.server_is_installed() or local.find_model() is None,
        reason=f"needs the local model: {local.INSTALL}",
    ),
]
# one thread: several spin while they wait for each other, and other tests compute too
TOML = '[llm.providers.here]\ntype = "local"\ncontext = 2048\nthreads = 1\n'
QUESTION = b'[{"role":"user","content":"What is the capital of France?"}]'
ASK = b'{"model":"here/smollm2-135m-instruct","max_tokens":20,"messages":' + QUESTION


async def children() -> list[int]:
    pids = [
        pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    return [int(pid) for pid in pids if "llama_server.py" in Path(f"/proc/{pid}/cmdline").read_text()]


async def capital(nexus: Running) -> str:
    answer = await nexus.ask("POST", "/llm/v1/chat/completions", ASK + b"}")
    assert answer.status == 200, answer.body
    return msgspec.json.decode(answer.body)["choices"][0]["message"]["content"]


async def test_it_answers_and_its_server_ends_with_the_gateway() -> None:
    async with gateway(TOML) as nexus:
        assert "Paris" in await capital(nexus)
        streamed = await nexus.ask("POST", "/llm/v1/chat/completions", ASK + b',"stream":true}')
        events = [
            msgspec.json.decode(line[6:])
            for line in streamed.body.split(b"\n")
            if line.startswith(b"data: {")
        ]
        assert {event["model"] for event in events} == {"here/smollm2-135m-instruct"}
        assert "Paris" in "".join(
            event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]
        )
        assert len(await children()) == 1
    assert await children() == []


async def test_it_speaks_responses() -> None:
    async with gateway(TOML) as nexus:
        body = b'{"model":"here/smollm2-135m-instruct","max_output_tokens":20,"input":"What is the capital of France?"}'
        answer = await nexus.ask("POST", "/llm/v1/responses", body)
        assert b"Paris" in answer.body


async def test_a_streamed_response_has_all_that_the_library_looks_for() -> None:
    sdk = pytest.importorskip("openai")
    async with (
        gateway(TOML) as nexus,
        sdk.AsyncOpenAI(base_url=f"{nexus.url}/llm/v1", api_key="k", max_retries=0) as client,
        client.responses.stream(
            model="here/smollm2-135m-instruct", input="What is the capital of France?"
        ) as events,
    ):
        answer = await events.get_final_response()
        assert "Paris" in answer.output_text
        assert answer.usage.output_tokens > 0


async def test_a_server_that_dies_is_replaced() -> None:
    async with gateway(TOML) as nexus:
        assert "Paris" in await capital(nexus)
        (first,) = await children()
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            while nexus.gateway.providers[0].trouble is None:
                await asyncio.sleep(0.01)
            assert "Paris" in await capital(nexus)  # waits for the next one
        assert await children() != [first]


async def test_the_child_sees_no_key_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-others")
    async with gateway(TOML) as nexus:
        await capital(nexus)
        (child,) = await children()
        environ = Path(f"/proc/{child}/environ").read_text()
        assert "sk-of-others" not in environ
        key = next(line for line in environ.split("\0") if line.startswith("LLAMA_API_KEY=")).partition("=")[
            2
        ]
        assert key not in Path(f"/proc/{child}/cmdline").read_text()


def test_a_killed_gateway_leaves_no_child(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text(TOML)
    with process("--config", str(file), ready="is up") as nexus:
        (child,) = Path(f"/proc/{nexus.popen.pid}/task/{nexus.popen.pid}/children").read_text().split()
        watched = os.pidfd_open(int(child))
        nexus.popen.kill()
        nexus.popen.wait()
    with os.fdopen(watched):
        assert _ended(watched)


def _ended(pidfd: int) -> bool:
    import select

    return bool(select.select([pidfd], [], [], 10)[0])


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text(TOML + f'model_path = "{tmp_path}/none.gguf"\n')
    ended = command("--config", str(file), "--listen-address", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "none.gguf" in ended.stderr


async def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nonsense")
    async with gateway(TOML + f'model_path = "{tmp_path}/bad.gguf"\n') as nexus:
        async with asyncio.timeout(30):
            while "did not start" not in (trouble := nexus.gateway.providers[0].trouble or ""):
                await asyncio.sleep(0.02)
        assert "next start in" in trouble
        assert (await nexus.ask("GET", "/ready")).status == 503
