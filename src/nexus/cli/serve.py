"""`nexus`: from options to a running server."""

import gc
import logging
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from nexus import __version__
from nexus.cli.source import find
from nexus.config import Address, Loaded
from nexus.errors import ConfigError, Problem
from nexus.server import workers
from nexus.server.app import Gateway, served
from nexus.server.run import Plan, run
from nexus.telemetry import logs

log = logging.getLogger("nexus")

DEFAULT_ADDRESS = Address("127.0.0.1", 8000)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of serving."""

    config: Path | None
    listen_address: str | None
    level: logs.Level
    style: logs.Style | None
    workers: int | None


def serve(options: Options, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Load, check and serve; gives the exit status."""
    worker = environ.get(workers.VARIABLE)
    try:
        loaded, file = find(options.config, environ)
        address = _address(options.listen_address) or loaded.config.server.listen_address or DEFAULT_ADDRESS
        count = options.workers or loaded.config.server.workers
        if count > 1 and (why := workers.refusal(loaded.config)):
            raise ConfigError([Problem("server.workers", why)])
    except ConfigError as error:
        logs.complain(str(error))
        return 1
    logs.setup(options.level, options.style)
    if worker is None:
        _greet(loaded)
        if count > 1:
            return workers.supervise(count, arguments, address)
    plan = Plan(
        loaded,
        address,
        reload=(lambda: find(file, environ)[0]) if file else None,
        file=file,
        share=count > 1,
        started=_banner if worker in (None, "1") else None,
    )
    gc.freeze()  # nor is it looked through later
    gc.enable()
    return run(plan)


def _greet(loaded: Loaded) -> None:
    log.info("Nexus %s", __version__)
    log.info("Configuration: %s", loaded.origin)
    for warning in loaded.warnings:
        log.warning("%s", warning)


def _banner(address: str, gateway: Gateway) -> None:
    """Say what a user needs next."""
    models = gateway.catalog.snapshot.models
    parts = list[str]()
    if gateway.providers:
        parts.append(f"{_count(models, 'model')} from {_count(gateway.providers, 'provider')}")
    if gateway.mcp is not None:
        parts.append(_count(gateway.config.mcp.servers, "MCP server"))
    log.info("Ready: %s", ", ".join(parts) or "nothing to serve")
    if not models or not any(True for _ in served(gateway)):
        return
    base = f"{address}{gateway.config.llm.protocols.openai.path}/v1"
    first = next((name for name in models if "/" in name), next(iter(models)))
    log.info(
        'Try: curl %s/chat/completions -H "content-type: application/json"'
        """ -d '{"model": "%s", "messages": [{"role": "user", "content": "Hello!"}]}'""",
        base,
        first,
    )
    log.info('Or:  OpenAI(base_url="%s", api_key="not-used")', base)


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _address(text: str | None) -> Address | None:
    try:
        return None if text is None else Address.read(text)
    except ValueError:
        problem = Problem(
            "--listen-address", f"expected IP:port, got {text!r}", "for example 127.0.0.1:8000 or [::1]:8000"
        )
        raise ConfigError([problem]) from None
