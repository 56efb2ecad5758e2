"""A changed file takes over only when what it asks for is there, and leaves nothing behind where it never does."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import httpx2
import msgspec

from gateway import process
from integration.mcp_gateway import ACCEPT, NO_TLS, SERVERS
from nexus.server.run import watch

_PLAIN = SERVERS / "plain.py"


def _written(file: Path, interval: int, *options: str) -> None:
    cmd = [sys.executable, str(_PLAIN), *options]
    file.write_text(
        f'llm.discovery.interval = "{interval}s"\n[llm.providers.try]\ntype = "echo"\n'
        f"[mcp.servers.plain]\ncmd = {msgspec.json.encode(cmd).decode()}\n"
    )


def _found(url: str) -> str:
    params = {"name": "search", "arguments": {"keywords": ["adds", "numbers"]}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    with httpx2.Client(timeout=30, verify=NO_TLS) as client:
        return client.post(f"{url}/mcp", json=message, headers=ACCEPT).text


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_no_tool_is_missing_while_a_changed_file_takes_over(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    _written(file, 300, "slow=0.4")
    with process("--config", str(file)) as nexus:
        _written(file, 301, "slow=0.4")
        nexus.popen.send_signal(signal.SIGHUP)
        nexus.read_until("The configuration was reloaded")
        found = _found(nexus.url)
        assert "plain__adder" in found
        assert "Still starting" not in found


async def test_a_file_is_read_again_once_it_is_watched_as_it_may_have_changed_before(tmp_path: Path) -> None:
    file, changed = tmp_path / "nexus.toml", asyncio.Event()
    _written(file, 300)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watching = group.create_task(watch(file, changed))
        await changed.wait()
        watching.cancel()


async def test_every_change_of_a_config_map_is_seen(tmp_path: Path) -> None:
    file, changed = tmp_path / "nexus.toml", asyncio.Event()

    def put(number: int) -> None:
        """Replace the folder all files are links into, as Kubernetes does."""
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        _written(folder / "nexus.toml", number)
        (tmp_path / "..new").symlink_to(folder.name)
        (tmp_path / "..new").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / f"..{number - 1}", ignore_errors=True)

    put(1)
    file.symlink_to("..data/nexus.toml")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        watching = group.create_task(watch(file, changed))
        for number in range(2, 5):
            await changed.wait()
            changed.clear()
            put(number)
        await changed.wait()
        watching.cancel()


def test_a_stop_in_the_middle_of_a_reload_leaves_no_process_behind(tmp_path: Path) -> None:
    file, pids = tmp_path / "nexus.toml", tmp_path / "pids"
    _written(file, 300)
    with process("--config", str(file)) as nexus:
        os.mkfifo(pids)
        _written(file, 301, "deaf", f"pid={pids}")
        nexus.popen.send_signal(signal.SIGHUP)
        started = int(pids.read_text())  # it has begun, and will never come up
        nexus.popen.send_signal(signal.SIGTERM)
        assert nexus.popen.wait(10) == 0
    assert not _lives(started)
