"""Every example does what its page says: its file, served; its client, run; vendors and other servers played on loopback."""

import asyncio
import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from gateway import Running, gateway
from upstreams.scripted import Asked, Told, upstream

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEYS: dict[str, str] = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k")
CONTENTION = 30.0
"""Seconds a start may take where everything runs at once."""


@pytest.fixture(autouse=True)
def _as_a_user(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]  # pytest calls it
    """Stand where the pages say, with our programs on the path."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@contextlib.asynccontextmanager
async def served(name: str, vendor: str = "", **instead: str) -> AsyncGenerator[Running]:
    """Serve the file of an example, its vendors and addresses being those of the test."""
    text = (EXAMPLES / name / "nexus.toml").read_text()
    if vendor:
        text = re.sub(r'(type = "(?:openai|anthropic|google)")', rf'\1\nbase_url = "{vendor}"', text)
    for port, other in instead.items():
        text = text.replace(f"http://127.0.0.1:{port[1:]}", other)
    async with gateway(text, KEYS) as nexus:
        if (mcp := nexus.gateway.mcp) is not None:
            async with asyncio.timeout(CONTENTION):
                await asyncio.gather(*(one.settled.wait() for one in mcp.pool.shared.values()))
        yield nexus


async def run(name: str, nexus: Running) -> list[str]:
    """Run the client of an example as a program of its own would, and give what it prints."""

    def client() -> str:
        script, said = str(EXAMPLES / name / "client.py"), io.StringIO()
        before, sys.argv = sys.argv, [script, nexus.url]
        try:
            with contextlib.redirect_stdout(said):
                runpy.run_path(script, run_name="__main__")
        finally:
            sys.argv = before
        return said.getvalue()

    return (await asyncio.to_thread(client)).splitlines()


@contextlib.contextmanager
def beside(script: str, handler: str) -> Generator[str]:
    """Serve what a script of an example would serve, on a free port."""
    made: type[BaseHTTPRequestHandler] = runpy.run_path(str(EXAMPLES / script))[handler]
    quiet = type(handler, (made,), {"log_message": lambda *_: None})  # pyright: ignore[reportUnknownLambdaType]  # takes anything
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def vendor(answers: dict[str, Callable[[dict[str, Any]], Any]]) -> Callable[[Asked], Told]:
    """Answer by path; text is a stream."""

    def script(asked: Asked) -> Told:
        answer = answers[asked.target.partition("?")[0]](msgspec.json.decode(asked.body))
        if isinstance(answer, str):
            return Told(content_type="text/event-stream", pieces=(answer.encode(),))
        return Told(pieces=(msgspec.json.encode(answer),))

    return script


def chat(asked: dict[str, Any]) -> Any:
    """Answer as OpenAI does, with the model that was asked for."""
    head = {"id": "c1", "created": 1, "model": asked["model"]}
    if asked.get("stream"):
        choices: list[Any] = [{"delta": {"content": "It is six."}}, {"delta": {}, "finish_reason": "stop"}]
        told: list[Any] = [
            {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, **one}]} for one in choices
        ]
        return "".join(f"data: {msgspec.json.encode(one).decode()}\n\n" for one in told) + "data: [DONE]\n\n"
    message = {"role": "assistant", "content": f"I am {asked['model']}."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def claude(content: list[dict[str, Any]], asked: dict[str, Any]) -> Any:
    """Answer as Anthropic does."""
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    usage = {"input_tokens": 9, "output_tokens": 4}
    head = {"id": "m1", "type": "message", "role": "assistant", "model": asked["model"]}
    return {**head, "content": content, "stop_reason": stop, "usage": usage}


async def test_quickstart() -> None:
    text = (EXAMPLES / "01-quickstart" / "echo.toml").read_text()
    async with gateway(text) as nexus:
        assert await run("01-quickstart", nexus) == ["What is 2+2?", "Write one sentence about the sea."]


async def test_an_anthropic_client_with_a_model_of_openai() -> None:
    async with (
        upstream(vendor({"/v1/chat/completions": chat})) as up,
        served("02-anthropic-client", up.url) as nexus,
    ):
        assert await run("02-anthropic-client", nexus) == ["I am gpt-4o.", "end_turn 12 5", "It is six."]


async def test_two_providers() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        assert "seed" not in asked
        return claude([{"type": "text", "text": f"I am {asked['model']}."}], asked)

    async with (
        upstream(vendor({"/v1/chat/completions": chat, "/v1/messages": answer})) as up,
        served("03-two-providers", up.url) as nexus,
    ):
        assert await run("03-two-providers", nexus) == [
            "openai/fast: I am gpt-4o-mini.",
            "  left out: nothing",
            "anthropic/careful: I am claude-sonnet-4-5.",
            "  left out: seed",
        ]


async def test_tools_and_structured_output() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        last = asked["messages"][-1]["content"]
        if isinstance(last, list) and last[0]["type"] == "tool_result":  # pyright: ignore[reportUnknownMemberType]  # JSON
            assert "21 degrees" in str(last)  # pyright: ignore[reportUnknownArgumentType]  # JSON
            return claude([{"type": "text", "text": '{"celsius": 21}'}], asked)
        use = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}}
        return claude([use], asked)

    async with (
        upstream(vendor({"/v1/messages": answer})) as up,
        served("04-tools", up.url) as nexus,
    ):
        assert await run("04-tools", nexus) == [
            'called: weather {"city":"Paris"}',
            'answer: {"celsius": 21}',
        ]


async def test_embeddings() -> None:
    vectors = ([1.0, 0.0], [0.8, 0.6], [0.0, 1.0])

    def openai(asked: dict[str, Any]) -> Any:
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return {"object": "list", "data": data, "model": asked["model"], "usage": usage}

    google: dict[str, Any] = {"embeddings": [{"values": vector} for vector in vectors]}
    target = "/v1/models/gemini-embedding-001:batchEmbedContents"
    async with (
        upstream(vendor({"/v1/embeddings": openai, target: lambda _: google})) as up,
        served("05-embeddings", up.url) as nexus,
    ):
        assert await run("05-embeddings", nexus) == [
            "openai/text-embedding-3-small: cat ~ kitten 0.80",
            "openai/text-embedding-3-small: cat ~ rocket 0.00",
            "google/gemini-embedding-001: cat ~ kitten 0.80",
            "google/gemini-embedding-001: cat ~ rocket 0.00",
        ]


async def test_limits() -> None:
    async with served("06-limits") as nexus:
        said = await run("06-limits", nexus)
    assert [line[:3] for line in said] == ["200", "429", "200", "429"]
    assert "rate_limit_error" in said[1] or '"message"' in said[1]
    assert said[3] == "429 left: 0 Rate limit exceeded"


async def test_oauth() -> None:
    with beside("07-oauth/issuer.py", "Issuer") as issuer:
        async with served("07-oauth", p8001=issuer) as nexus:
            said = await run("07-oauth", nexus)
    assert said[0].startswith('401 Bearer resource_metadata="http')
    assert said[1] == "Hello"
    assert re.fullmatch(r"echo: 99\d\d of 10000 input tokens left", said[2])


async def test_mcp() -> None:
    async with served("08-mcp") as nexus:
        said = await run("08-mcp", nexus)
    assert said[0] == "shown: search execute"
    assert said[1].endswith("sums__add_numbers")
    assert said[-1] == "5.0"


async def test_mcp_views() -> None:
    async with served("09-mcp-views") as nexus:
        assert await run("09-mcp-views", nexus) == [
            "/mcp notes__write_note notes__list_notes sums__add_numbers sums__multiply_numbers",
            "  Note 1 is kept.",
            "/mcp/sums add_numbers multiply_numbers",
            "  42.0",
        ]


async def test_an_api_as_tools() -> None:
    with beside("10-openapi-tools/pets.py", "Pets") as pets:
        async with served("10-openapi-tools", p8002=pets) as nexus:
            found, missing = await run("10-openapi-tools", nexus)
    assert found == 'pets__getPet False {"kind":"dog","age":4}'
    assert missing.startswith("pets__getPet True")


async def test_header_rules() -> None:
    with beside("11-headers/upstream.py", "Upstream") as shown:
        async with served("11-headers", p8003=shown) as nexus:
            said = [line.lower() for line in await run("11-headers", nexus)]
    assert said == ["x-application: nexus", "x-team: red", "x-trace-step: 1"]


async def test_prometheus() -> None:
    async with served("12-prometheus") as nexus:
        said = await run("12-prometheus", nexus)
    counted = [line for line in said if line.startswith("gen_ai_client_token_usage_count{")]
    assert len(counted) == 2
    assert all('gen_ai_provider_name="echo"' in line and line.endswith(" 3") for line in counted)


async def test_agents(tmp_path: Path) -> None:
    async with served("13-agents") as nexus:
        script = ["sh", str(EXAMPLES / "13-agents" / "client.sh"), nexus.url]
        home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NEXUS_DATA_DIR": str(tmp_path)}
        ran = await asyncio.to_thread(
            subprocess.run, script, cwd=tmp_path, env=home, capture_output=True, text=True, check=True
        )
    assert "nexus/echo/echo" in ran.stdout
    assert "Say hello to the gateway." in ran.stdout
    assert "orch-" in ran.stdout


def test_every_example_is_complete_listed_and_run_here() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    here = Path(__file__).read_text()
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert [name[:2] for name in folders] == [f"{number:02}" for number in range(1, len(folders) + 1)]
    for name in folders:
        assert {"nexus.toml", "README.md"} <= {path.name for path in (EXAMPLES / name).iterdir()}
        (client,) = (EXAMPLES / name).glob("client.*")
        assert len(client.read_text().splitlines()) <= 30
        assert f"]({name}/README.md)" in listed
        assert f'"{name}"' in here
