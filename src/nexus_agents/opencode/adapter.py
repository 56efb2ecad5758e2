"""The OpenCode command line tool as an adapter: its models, credentials and gateway are its own affair."""

import asyncio
import difflib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nexus_agents.adapters.base import Completion, Finish, Listed, Prompt
from nexus_agents.errors import AdapterError, Kind
from nexus_agents.opencode import config, environment, events, inventory, process
from nexus_agents.opencode.inventory import Inventory
from nexus_agents.redact import redact, secrets
from nexus_agents.settings import MAX_DEPTH, data_dir

VARIANTS = frozenset({"high", "max", "minimal"})
_LIST_SECONDS = 30.0
_VERSION_SECONDS = 15.0
_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "content-filter": "filtered"}
_BY_WORDS = (
    (("model not found", "modelnotfound", "unknown model"), Kind.NOT_FOUND),
    (("rate limit", "too many requests", "quota"), Kind.RATE_LIMITED),
    (("unauthorized", "authentication", "api key", "providerauth"), Kind.AUTHENTICATION),
    (("econnrefused", "enotfound", "econnreset", "unable to connect", "cannot connect", "fetch failed"), Kind.CONNECTION),
    (("timed out", "timeout"), Kind.TIMEOUT),
)  # fmt: skip


class OpenCode:
    """One installation of OpenCode, run once for each prompt."""

    name = "opencode"
    title = "OpenCode"
    host = ""
    pinned = ""
    has_tools = False

    def __init__(
        self, environ: Mapping[str, str], cwd: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._environ = environ
        self._root = cwd.resolve()
        self._secrets = secrets(environ)
        self._inventory = Inventory(data_dir(environ) / "cache" / "opencode-models.json", clock)
        self._listing = asyncio.Lock()

    async def models(self) -> Sequence[Listed]:
        """List what `opencode models` lists; believed for ten minutes."""
        return [Listed(id=name) for name in await self._models(self._root)]

    async def version(self) -> str:
        """Ask the program for its version."""
        finished = await self._run(["--version"], self._root, _VERSION_SECONDS)
        if finished.code != 0:
            raise self._failed(finished, None)
        return finished.stdout.decode(errors="replace").strip()

    async def complete(self, prompt: Prompt) -> Completion:
        """Run the prompt; it comes to the program on stdin, never as an argument."""
        directory = self._directory(prompt.work_dir)
        warnings = await self._checked(prompt, directory)
        finished = await self._run(
            _arguments(prompt, directory),
            directory,
            prompt.timeout,
            stdin=_words(prompt).encode(),
            allow_edits=prompt.allow_edits,
        )
        outcome = events.read(finished.stdout)
        if finished.too_much:
            raise AdapterError(Kind.GARBAGE, "OpenCode printed more than 10 MiB.")
        return self._completion(prompt, directory, finished, outcome, warnings)

    async def close(self) -> None:
        """Nothing is kept open."""

    def _completion(
        self,
        prompt: Prompt,
        directory: Path,
        finished: process.Finished,
        outcome: events.Outcome,
        warnings: list[str],
    ) -> Completion:
        finish = _FINISHES.get(outcome.finish)
        if finished.code != 0 or outcome.failure is not None or finish is None:
            raise self._failed(finished, outcome)
        if not outcome.text:
            raise AdapterError(Kind.GARBAGE, _wordless(outcome))
        if outcome.skipped:
            warnings.append(f"{outcome.skipped} lines of OpenCode's output were no events.")
        return Completion(
            text=outcome.text,
            model=prompt.model or config.read(self._environ, directory).model or "default",
            finish=finish,
            usage=outcome.usage,
            cost_usd=outcome.cost_usd or None,  # it says 0 where it knows no price
            thinking=outcome.thinking,
            warnings=tuple(warnings),
        )

    def _directory(self, work_dir: str | None) -> Path:
        if not work_dir:
            return self._root
        directory = (self._root / work_dir).resolve()
        if not directory.is_relative_to(self._root):
            raise AdapterError(
                Kind.INVALID,
                "The working directory is outside the one this was started in.",
                "Start it there.",
            )
        if not directory.is_dir():
            raise AdapterError(Kind.INVALID, "The working directory is not a directory.")
        return directory

    async def _checked(self, prompt: Prompt, directory: Path) -> list[str]:
        """Tell what of the prompt will not be done, and refuse a model that OpenCode would replace by another."""
        if environment.depth(self._environ) >= MAX_DEPTH:
            raise AdapterError(
                Kind.INVALID, "Agents that run agents that run agents: OpenCode is not started."
            )
        warnings = list[str]()
        if prompt.variant is not None and prompt.variant not in VARIANTS:
            warnings.append("The variant is not one of high, max, minimal and was left out.")
        if not prompt.model:
            return warnings
        # the program would take it for an option, whether its models can be listed or not
        if prompt.model.startswith("-"):
            raise _unlisted(prompt.model, ())
        try:
            listed = await self._models(directory)
            if prompt.model not in listed:
                listed = await self._models(directory, believed=False)
        except AdapterError as error:
            return [*warnings, f"OpenCode did not list its models ({error.kind}); the model was not checked."]
        if prompt.model not in listed:
            raise _unlisted(prompt.model, listed)
        return warnings

    async def _models(self, directory: Path, *, believed: bool = True) -> Sequence[str]:
        async with self._listing:
            program = self._program()
            read = config.read(self._environ, directory)
            environ = environment.child(self._environ, read.variables, directory, allow_edits=False)
            key = inventory.key(program, directory, read, environ)
            if believed and (known := self._inventory.read(key)) is not None:
                return known
            finished = await self._run(["models"], directory, _LIST_SECONDS)
            if finished.code != 0:
                raise self._failed(finished, None)
            lines = (line.strip() for line in finished.stdout.decode(errors="replace").splitlines())
            listed = [line for line in lines if "/" in line and " " not in line]
            self._inventory.write(key, listed)
            return listed

    def _program(self) -> str:
        program = shutil.which("opencode", path=self._environ.get("PATH", ""))
        if program is None:
            raise AdapterError(
                Kind.NOT_FOUND,
                "No model adapter configured: opencode is not on the PATH.",
                "Install OpenCode.",
            )
        return program

    async def _run(
        self,
        arguments: Sequence[str],
        directory: Path,
        timeout: float,
        *,
        stdin: bytes = b"",
        allow_edits: bool = False,
    ) -> process.Finished:
        program = self._program()
        named = config.read(self._environ, directory).variables
        environ = environment.child(self._environ, named, directory, allow_edits=allow_edits)
        try:
            return await process.run(
                [program, *arguments], environ=environ, directory=directory, timeout=timeout, stdin=stdin
            )
        except TimeoutError:
            raise AdapterError(Kind.TIMEOUT, f"OpenCode took longer than {timeout:g} seconds.") from None
        except OSError as error:
            raise AdapterError(Kind.NOT_FOUND, f"opencode cannot be started: {error.strerror}.") from error

    def _failed(self, finished: process.Finished, outcome: events.Outcome | None) -> AdapterError:
        failure = outcome.failure if outcome else None
        status = failure.status if failure else None
        if failure is not None:
            message = failure.message
            kind = _kind(status, f"{failure.name} {failure.message}")
        elif finished.code in (-15, -9, 143, 137):
            message, kind = "OpenCode was ended from outside.", Kind.SERVER
        elif finished.code != 0:
            message = _first_line(finished.stderr) or f"OpenCode ended with code {finished.code}."
            kind = _kind(None, message)
        else:
            reason = outcome.finish if outcome else ""
            message = f'OpenCode ended without an answer (its last step said "{reason or "nothing"}").'
            kind = Kind.GARBAGE
        return AdapterError(kind, redact(message, self._secrets)[:1000], status=status)


def _arguments(prompt: Prompt, directory: Path) -> list[str]:
    # a title of ours saves the call to a model that would find one
    arguments = ["run", "--format", "json", "--dir", str(directory), "--title", "nexus-agents"]
    if prompt.model:
        arguments += ["--model", prompt.model]
    if prompt.variant in VARIANTS:
        arguments += ["--variant", prompt.variant]
    if prompt.thinking is True:
        arguments.append("--thinking")
    return arguments


def _words(prompt: Prompt) -> str:
    return f"{prompt.system}\n---\n{prompt.text}" if prompt.system else prompt.text


def _wordless(outcome: events.Outcome) -> str:
    if outcome.tools:
        names = ", ".join(dict.fromkeys(name for name, _ in outcome.tools))
        return f"OpenCode used tools ({names}) and said nothing after them."
    return "OpenCode said nothing."


def _unlisted(model: str, listed: Sequence[str]) -> AdapterError:
    near = difflib.get_close_matches(model, listed, 3, 0.4) or [
        each for each in listed if each.startswith(model.partition("/")[0] + "/")
    ]
    cure = f"It has {', '.join(near[:3])}." if near else "`opencode models` lists what it has."
    return AdapterError(
        Kind.NOT_FOUND, f'OpenCode has no model "{model}", and no other is taken for it.', cure
    )


def _kind(status: int | None, words: str) -> Kind:
    if status is not None:
        return Kind.of(status)
    lowered = words.lower()
    return next((kind for parts, kind in _BY_WORDS if any(part in lowered for part in parts)), Kind.GARBAGE)


def _first_line(stderr: bytes) -> str:
    lines = (line.strip() for line in stderr.decode(errors="replace").splitlines())
    return next((line for line in lines if line), "")
