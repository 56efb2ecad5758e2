"""A run whose process is killed is shown by the next start and goes on; nothing is half-written."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from agents.fakes import Asked, Gateway, Told, custom, said
from nexus_agents.services import Services

RUN = [sys.executable, "-m", "nexus_agents", "orchestrate", "--plan", "always", "a task of several steps"]


def planned() -> Told:
    steps = [
        {
            "id": f"s{n}",
            "title": f"Title {n}",
            "task": f"TASK-s{n}",
            "expert": "code",
            "depends_on": [f"s{n - 1}"] if n > 1 else [],
        }
        for n in range(1, 5)
    ]
    return said(msgspec.json.encode({"steps": steps}).decode())


def script(stop_at: str, reached: threading.Event, hold: threading.Event):
    def answer(asked: Asked) -> Told:
        if asked.system.startswith("You plan"):
            if stop_at == "plan" and not hold.is_set():
                reached.set()
                hold.wait(30)
            return planned()
        if asked.system.startswith("You review"):
            return said('{"ok": true}')
        step = asked.text.partition("TASK-")[2][:2] if asked.text.startswith("TASK-") else "end"
        if step == stop_at and not hold.is_set():
            reached.set()
            hold.wait(30)
        return said(f"RESULT-{step}")

    return answer


def _kill_when(reached: threading.Event, environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        RUN, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert reached.wait(30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@pytest.mark.parametrize(("stop_at", "kept"), [("plan", 0), ("s1", 0), ("s3", 2), ("end", 4)])
async def test_a_killed_run_is_shown_and_goes_on(tmp_path: Path, stop_at: str, kept: int):
    reached, hold = threading.Event(), threading.Event()
    with Gateway(script(stop_at, reached, hold)).listening() as gateway:
        environ = custom(tmp_path, gateway)
        _kill_when(reached, environ)
        hold.set()
        database = sqlite3.connect(tmp_path / "data" / "agents.db")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        asked_before = len(gateway.chats)
        async with Services(environ) as services:
            (run,) = await services.runs()
            assert (run.status, run.steps_done) == ("interrupted", kept)
            done = await services.resume(run.run_id)
            assert [one.status for one in await services.runs()] == ["done"]
    assert (done.success, done.text) == (True, "RESULT-end")
    again = [asked.text[:7] for asked in gateway.chats[asked_before:] if asked.text.startswith("TASK-")]
    assert again == [f"TASK-s{n}" for n in range(kept + 1, 5)]


def _heed_interrupts() -> None:
    """Undo what a shell does to the programs it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_command_leaves_with_130_and_can_be_resumed(tmp_path: Path):
    reached, hold = threading.Event(), threading.Event()
    with Gateway(script("s2", reached, hold)).listening() as gateway:
        environ = {**os.environ, **custom(tmp_path, gateway)}
        process = subprocess.Popen(
            RUN, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts
        )
        assert reached.wait(30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        hold.set()
        assert process.returncode == 130
        assert b"Traceback" not in err
        listed = subprocess.run(
            [*RUN[:3], "trace", "list"], env=environ, capture_output=True, text=True, check=True
        )
        run_id, status = listed.stdout.splitlines()[1].split("\t")[:2]
        assert status == "interrupted"
        resumed = subprocess.run(
            [*RUN[:4], "--resume", run_id], env=environ, capture_output=True, text=True, check=False
        )
    assert resumed.returncode == 0, resumed.stderr
    assert "RESULT-end" in resumed.stdout
