"""`orchestrate` with OpenCode as its transport: options, the chain of fallbacks, and what the trace tells of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from agents.fake_opencode import FakeOpenCode, played
from agents.fakes import environment

FAILED: dict[str, Any] = {
    "stdout": '{"type":"error","error":{"name":"APIError","data":{"message":"no credit","statusCode":402}}}\n',
    "code": 1,
}
MODELS = ("custom/claude-opus-4-5", "custom/claude-sonnet-4-5", "anthropic/claude-sonnet-4-6")


def orchestrate(home: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "nexus_agents", "orchestrate", "--format", "json", *arguments],
        env={**environment(home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, msgspec.json.decode(done.stdout)


def asked(fake: FakeOpenCode) -> list[str | None]:
    """Give the models the runs were for."""
    return [
        call["argv"][call["argv"].index("--model") + 1] if "--model" in call["argv"] else None
        for call in fake.runs
    ]


def test_an_explicit_model_is_asked_with_its_options(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    done, answer = orchestrate(
        tmp_path, "--model", "opencode-custom-opus", "--variant", "high", "--thinking", "Do it"
    )
    assert done.returncode == 0, done.stderr
    assert answer["text"] == "Hello from the mock."
    assert asked(fake) == ["custom/claude-opus-4-5"]
    assert fake.runs[0]["argv"][-3:] == ["--variant", "high", "--thinking"]


def test_an_explicit_model_that_fails_is_not_replaced(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    fake.plan(FAILED, models=MODELS)
    done, answer = orchestrate(tmp_path, "--model", "opencode-custom-opus", "Do it")
    assert done.returncode == 1
    assert "no credit" in answer["error"]
    assert asked(fake) == ["custom/claude-opus-4-5"]


def test_the_chain_is_walked_when_others_may_stand_in(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    fake.plan(FAILED, FAILED, played("thinking"), models=MODELS)
    done, answer = orchestrate(tmp_path, "--model", "opencode-custom-opus", "--fallback", "Do it")
    assert done.returncode == 0, done.stderr
    assert asked(fake)[:2] == ["custom/claude-opus-4-5", "custom/claude-sonnet-4-5"]
    assert len(asked(fake)) == 3
    assert [attempt["status"] for attempt in answer["trace"]] == ["payment", "payment", "ok"]
    assert {attempt["adapter"] for attempt in answer["trace"]} == {"opencode"}


def test_a_variant_that_is_no_variant_is_left_out_and_told(tmp_path: Path) -> None:
    fake = FakeOpenCode(tmp_path / "bin")
    done, answer = orchestrate(
        tmp_path, "--model", "opencode-custom-opus", "--variant", "; rm -rf /", "Do it"
    )
    assert done.returncode == 0
    assert "--variant" not in fake.runs[0]["argv"]
    assert any("variant" in warning for warning in answer["warnings"])
