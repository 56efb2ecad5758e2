"""Servers that people use, run from their packages, and the clients that people use."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from integration.mcp_gateway import SERVERS, mounted, node, node_package, program, stdio, until
from nexus.mcp.access import Access
from nexus.mcp.caller import NOBODY
from nexus.mcp.evaluate import evaluate, read
from nexus.mcp.view import View, shapes

pytestmark = pytest.mark.timeout(120)


def _npm(name: str) -> str:
    package = node_package(f"@modelcontextprotocol/{name}")
    if package is None:
        pytest.skip(f"@modelcontextprotocol/{name} is not installed: make clients")
    return str(package / "dist" / "index.js")


def _python(name: str) -> str:
    found = program(name)
    if found is None:
        pytest.skip(f"{name} is not installed: make clients")
    return found


def _stdio(name: str, *command: str) -> str:
    return f"[mcp.servers.{name}]\ncmd = {msgspec.json.encode(command).decode()}\n"


async def test_everything_over_all_three_transports(tmp_path: Path) -> None:
    script = _npm("server-everything")
    toml = _stdio("one", node(), script, "stdio")
    processes: list[asyncio.subprocess.Process] = []
    try:
        for name, how, path in (("two", "streamableHttp", "mcp"), ("three", "sse", "sse")):
            port = _free()
            environ = {"PORT": str(port), "PATH": "/usr/bin:/bin"}
            silent = asyncio.subprocess.DEVNULL
            processes.append(
                await asyncio.create_subprocess_exec(
                    node(), script, how, env=environ, stdout=silent, stderr=silent
                )
            )
            toml += f'[mcp.servers.{name}]\nurl = "http://127.0.0.1:{port}/{path}"\nstartup_timeout = 5\n'
        async with mounted(toml, settle=False) as gateway:
            await until(lambda: not gateway.mcp.troubles, 60)
            for name in ("one", "two", "three"):
                said = await gateway.execute(f"{name}__echo", {"message": name})
                assert said["content"] == [{"type": "text", "text": f"Echo: {name}"}]
            listings = [one.listing for one in gateway.mcp.pool.shared.values()]
            assert (
                len({tuple(tool["name"] for tool in one.tools) for one in listings if one is not None}) == 1
            )
            prompts = (await gateway.post("prompts/list"))["result"]["prompts"]
            assert len(prompts) % 3 == 0
            assert prompts
    finally:
        for process in processes:
            process.kill()
            await process.wait()


def _free() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


async def test_files_memory_and_thoughts(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    toml = (
        _stdio("files", node(), _npm("server-filesystem"), str(tmp_path))
        + _stdio("memory", node(), _npm("server-memory"))
        + _stdio("thinking", node(), _npm("server-sequential-thinking"))
    ).replace(
        "[mcp.servers.thinking]",
        f'env = {{ MEMORY_FILE_PATH = "{tmp_path}/memory.json" }}\n[mcp.servers.thinking]',
    )
    async with mounted(toml) as gateway:
        assert gateway.mcp.troubles == {}
        assert (await gateway.search("read", "text", "file"))[0] == "files__read_text_file"
        read = await gateway.execute("files__read_text_file", {"path": str(tmp_path / "note.txt")})
        assert read["content"][0]["text"] == "hello"
        outside = await gateway.execute("files__read_text_file", {"path": "/etc/hostname"})
        assert outside["isError"] is True
        entity = {"name": "Ada", "entityType": "person", "observations": ["likes engines"]}
        await gateway.execute("memory__create_entities", {"entities": [entity]})
        graph = await gateway.execute("memory__read_graph")
        assert "likes engines" in graph["content"][0]["text"]
        assert "thinking__sequentialthinking" in await gateway.search("sequential", "thinking")


async def test_time_git_and_fetch(tmp_path: Path) -> None:
    assert await (await asyncio.create_subprocess_exec("git", "init", "-q", tmp_path)).wait() == 0
    toml = (
        _stdio("time", _python("mcp-server-time"))
        + _stdio("git", _python("mcp-server-git"), "--repository", str(tmp_path))
        + _stdio("fetch", _python("mcp-server-fetch"))
    )
    async with mounted(toml) as gateway:
        assert gateway.mcp.troubles == {}
        now = await gateway.execute("time__get_current_time", {"timezone": "Europe/Helsinki"})
        assert "Europe/Helsinki" in now["content"][0]["text"]
        status = await gateway.execute("git__git_status", {"repo_path": str(tmp_path)})
        assert "No commits yet" in status["content"][0]["text"]
        assert "fetch__fetch" in await gateway.search("fetch", "url")


_TYPESCRIPT = """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const client = new Client({ name: "t", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const found = await client.callTool({ name: "search", arguments: { keywords: ["adder"] } });
const name = found.structuredContent.results[0].name;
const result = await client.callTool({ name: "execute", arguments: { name, arguments: { a: 1, b: 2 } } });
console.log(JSON.stringify({ tools: (await client.listTools()).tools.map((t) => t.name), result }));
await client.close();
"""


async def test_the_official_typescript_client(tmp_path: Path) -> None:
    sdk = node_package("@modelcontextprotocol/sdk")
    if sdk is None:
        pytest.skip("@modelcontextprotocol/sdk is not installed: make clients")
    (tmp_path / "node_modules").symlink_to(sdk.parent.parent)
    (tmp_path / "client.mjs").write_text(_TYPESCRIPT)
    said = await _against_plain(tmp_path, [node(), "client.mjs", "URL"])
    assert said["tools"] == ["search", "execute"]
    assert said["result"]["structuredContent"] == {"sum": 3}


async def test_the_inspector(tmp_path: Path) -> None:
    inspector = node_package("@modelcontextprotocol/inspector")
    if inspector is None:
        pytest.skip("@modelcontextprotocol/inspector is not installed: make clients")
    command = [node(), str(inspector / "cli" / "build" / "cli.js"), "--cli", "URL", "--transport", "http"]
    said = await _against_plain(tmp_path, [*command, "--method", "tools/list"])
    assert [one["name"] for one in said["tools"]] == ["search", "execute"]


async def _against_plain(folder: Path, command: list[str]) -> dict[str, Any]:
    async with mounted(stdio("math", "plain")) as gateway:
        url = f"{gateway.url}/mcp"
        process = await asyncio.create_subprocess_exec(
            *(one.replace("URL", url) for one in command),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return msgspec.json.decode(out)


_TOKENS = (
    "GITHUB_PERSONAL_ACCESS_TOKEN",
    "GITLAB_PERSONAL_ACCESS_TOKEN",
    "GOOGLE_MAPS_API_KEY",
    "NOTION_TOKEN",
    "SLACK_BOT_TOKEN",
    "SLACK_TEAM_ID",
)


async def test_the_search_finds_what_agents_ask_for_among_real_tools() -> None:
    """Recall at three, over more than a hundred queries and tools; docs/mcp.md has the numbers."""
    environ = "".join(f'env.{name} = "x"\n' for name in _TOKENS)
    scripts = {
        "everything": "@modelcontextprotocol/server-everything/dist/index.js",
        "files": "@modelcontextprotocol/server-filesystem/dist/index.js",
        "memory": "@modelcontextprotocol/server-memory/dist/index.js",
        "thinking": "@modelcontextprotocol/server-sequential-thinking/dist/index.js",
        "github": "@modelcontextprotocol/server-github/dist/index.js",
        "gitlab": "@modelcontextprotocol/server-gitlab/dist/index.js",
        "slack": "@modelcontextprotocol/server-slack/dist/index.js",
        "maps": "@modelcontextprotocol/server-google-maps/dist/index.js",
        "playwright": "@playwright/mcp/cli.js",
        "notion": "@notionhq/notion-mcp-server/bin/cli.mjs",
    }
    toml = "".join(_stdio(name, _python(f"mcp-server-{name}")) for name in ("time", "git", "fetch"))
    for name, script in scripts.items():
        if (path := node_package(script)) is None:
            pytest.skip(f"{script} is not installed: make clients")
        toml += _stdio(name, node(), str(path), *(["/tmp"] if name == "files" else [])) + environ
    async with mounted(toml) as gateway:
        assert gateway.mcp.troubles == {}
        view = View(
            shapes(gateway.mcp.config.mcp)["/mcp"], gateway.mcp.pool, Access(gateway.mcp.config.mcp.servers)
        )
        documents = (await view.toolbox(NOBODY)).documents()
    assert len(documents) > 100
    quality = evaluate(read((SERVERS / "queries.jsonl").read_bytes()), documents)
    assert quality.queries > 100
    assert quality.recall[3] >= 0.90
    assert quality.found < quality.listed / 10
