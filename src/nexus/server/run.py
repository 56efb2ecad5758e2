"""The life of one serving process: bind, serve, become ready, reload, drain, end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop
import watchfiles

from nexus.config import Address, Config, Loaded
from nexus.config.telemetry import PrometheusConfig
from nexus.errors import ConfigError
from nexus.llm.catalog import DiscoveryFailed
from nexus.llm.providers.base import ProviderFailed
from nexus.ratelimit import StoreFailed
from nexus.server import descriptors
from nexus.server.app import Current, Gateway, scrapes, served
from nexus.server.health import Health
from nexus.server.listener import Listener, bind
from nexus.server.metrics import Exposition
from nexus.server.router import router
from nexus.server.workers import VARIABLE

log = logging.getLogger(__name__)

_SETTLING = 10.0
"""Seconds a reload waits for MCP servers that are coming up; who takes longer comes up while it is served."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve and how, decided by the command line."""

    loaded: Loaded
    address: Address
    reload: Callable[[], Loaded] | None = None
    """Reads the configuration again; absent when there is no file."""
    file: Path | None = None
    """Watched for changes."""
    share: bool = False
    """Several processes serve this port."""
    started: Callable[[str, Gateway], None] | None = None
    """Told the address and the gateway once everything is up; absent where another process speaks for this one."""


def run(plan: Plan) -> int:
    """Serve until told to stop; gives the exit status."""
    return uvloop.run(_serve(plan))


async def _serve(plan: Plan) -> int:
    config = plan.loaded.config
    try:
        tls = _tls(config)
        files = descriptors.claim()
        limits = config.server.max_header_size, config.server.max_connections or files // 2
        gateway = Gateway(config)
        current = Current(gateway)
        listeners = [Listener(_bound(plan.address, share=plan.share), current, tls, *limits)]
        if config.server.health.enabled and config.server.health.listen is not None:
            bound = _bound(config.server.health.listen, share=plan.share)
            app = router({config.server.health.path: Health()})
            listeners.append(Listener(bound, app, tls, *limits))
        if (scraped := scrapes(config)) is not None and (place := _scraped_at(scraped, plan)) is not None:
            app = router({scraped.path: Exposition(gateway.telemetry)})
            listeners.append(Listener(_bound(place, share=False), app, tls, *limits))
    except (OSError, ValueError) as error:
        log.error("Server failed to start: %s", error)
        return 1
    async with _signals() as told:
        return await _live(plan, current, listeners, told)


async def _live(plan: Plan, current: Current, listeners: list[Listener], told: "_Told") -> int:
    for listener in listeners:
        await listener.start()
    os.environ["NEXUS_GATEWAY_URL"] = listeners[0].address  # what we start finds its way back
    if plan.started is not None:
        _announce(listeners[0].address, current.gateway)
    start = asyncio.create_task(current.gateway.start(), name="start")
    stop = asyncio.create_task(told.stop.wait(), name="stop")
    await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
    status = 0
    if start.done() and (failure := start.exception()) is not None:
        status = 1
        _tell(failure)
    elif start.done():
        if plan.started is not None:
            plan.started(listeners[0].address, current.gateway)
        reloading = asyncio.create_task(_reload_when_told(plan, current, told), name="reload")
        await stop
        reloading.cancel()
        await asyncio.wait((reloading,))
    start.cancel()
    stop.cancel()
    server = current.gateway.config.server
    seconds, delay = server.shutdown_timeout, server.shutdown_delay
    main, *others = listeners
    if current.gateway.mcp is not None:
        current.gateway.mcp.leave()
    cut = await main.drain(seconds, told.hurry, delay if status == 0 else 0.0)
    for other in others:  # health and metrics can be read for as long as there are requests
        await other.drain(1.0, told.hurry)
    if cut:
        log.warning("%d requests were cut, they had not ended within %g seconds", cut, seconds)
    await current.close()
    if status == 0:
        log.info("Server shut down gracefully")
    return status


def _tell(failure: BaseException) -> None:
    match failure:
        case DiscoveryFailed():
            log.error(
                "Server failed to start: Failed to initialize LLM router: Failed to initialize LLM server: Internal"
                ' server error (%s). Set llm.discovery.on_start_error = "warn" to start all the same.',
                failure,
            )
        case ProviderFailed() | StoreFailed():
            log.error("Server failed to start: %s", failure)
        case _:
            log.error("Server failed to start", exc_info=failure)


def _announce(address: str, gateway: Gateway) -> None:
    for what, path in served(gateway):
        log.info("%s: %s%s", what, address, path)
    health = gateway.config.server.health
    if health.enabled and health.listen is not None:
        log.info("Health check endpoint exposed at %s%s", health.listen, health.path)
    if not gateway.providers and not gateway.passages and gateway.mcp is None:
        log.warning("No functional endpoint: neither MCP nor LLM is configured")


async def _reload_when_told(plan: Plan, current: Current, told: "_Told") -> None:
    changes = (
        asyncio.create_task(watch(plan.file, told.reload), name="watch") if plan.file is not None else None
    )
    try:
        while True:
            await told.reload.wait()
            told.reload.clear()
            await _reload(plan, current)
    finally:
        if changes is not None:
            changes.cancel()


async def watch(file: Path, changed: asyncio.Event) -> None:
    """Set `changed` with every change of a file, and once at first: it may have changed since it was read."""
    watched = watchfiles.awatch(  # pyright: ignore[reportUnknownMemberType]  # its stop event may be trio's
        *_folders(file), recursive=False, yield_on_timeout=True, rust_timeout=1_000
    )
    unsure = True
    async for found in watched:
        if unsure or any(Path(path).name in (file.name, "..data") for _, path in found):
            changed.set()
        unsure = False


def _folders(file: Path) -> set[Path]:
    """Name what to watch: not the file, as editors replace it; of a link, as config maps are, both ends."""
    return {file.absolute().parent, file.resolve().parent}


async def _reload(plan: Plan, current: Current) -> None:
    if plan.reload is None:
        log.warning("There is no configuration file to reload")
        return
    old = current.gateway.config
    try:
        loaded = plan.reload()
        if loaded.config == old:
            return
        gateway = Gateway(loaded.config, current.gateway.memory, current.gateway.telemetry)
    except (ConfigError, OSError, ValueError) as error:
        log.error("The configuration was not reloaded, the old one stays in force: %s", error)
        return
    try:
        await gateway.start()
        if gateway.mcp is not None:  # else tools would be gone for as long as their servers take to start
            await gateway.mcp.settle(_SETTLING)
    except (DiscoveryFailed, ProviderFailed, StoreFailed) as error:
        log.error("The configuration was not reloaded, the old one stays in force: %s", error)
        await gateway.close()
        return
    except asyncio.CancelledError:  # told to stop meanwhile
        await gateway.close()
        raise
    for warning in loaded.warnings:
        log.warning("%s", warning)
    _warn_of_fixed(old, loaded.config)
    current.replace(gateway)
    count = len(gateway.catalog.snapshot.models)
    log.info("The configuration was reloaded: %d model%s", count, "" if count == 1 else "s")


def _warn_of_fixed(old: Config, new: Config) -> None:
    fixed = ("listen_address", "tls", "workers", "max_header_size", "max_connections")
    changed = [name for name in fixed if getattr(old.server, name) != getattr(new.server, name)]
    if old.server.health.listen != new.server.health.listen:
        changed.append("health.listen")
    told = [f"server.{name}" for name in changed]
    if old.telemetry != new.telemetry:
        told.append("telemetry")
    for name in told:
        log.warning("%s has changed; it takes effect with the next start", name)


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.server.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.server.tls.certificate, config.server.tls.key)
    except (OSError, ssl.SSLError) as error:
        raise OSError(f"Failed to load TLS certificate and key: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _scraped_at(scraped: PrometheusConfig, plan: Plan) -> Address | None:
    """Find an address for scrapes alone: of several workers each has its own, as each knows only of itself.

    Raises:
        ValueError: there is none, and one for all would tell of any worker at random.
    """
    if scraped.listen is None:
        if plan.share:
            raise ValueError(
                "telemetry.prometheus: several workers cannot be told apart, set telemetry.prometheus.listen"
            )
        return None
    return Address(scraped.listen.host, scraped.listen.port + int(os.environ.get(VARIABLE, "1")) - 1)


def _bound(address: Address, *, share: bool) -> socket.socket:
    try:
        return bind(address.host, address.port, share=share)
    except OSError as error:
        raise OSError(f"Failed to bind to {address}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class _Told:
    stop: asyncio.Event
    hurry: asyncio.Event
    reload: asyncio.Event


@contextlib.asynccontextmanager
async def _signals() -> AsyncGenerator[_Told]:
    """Hear what the operator wants: INT and TERM stop, a second one at once; HUP reloads."""
    told = _Told(asyncio.Event(), asyncio.Event(), asyncio.Event())
    loop = asyncio.get_running_loop()

    def stop() -> None:
        (told.hurry if told.stop.is_set() else told.stop).set()

    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, told.reload.set)
    parent = (
        asyncio.create_task(_follow_parent(told.stop), name="parent") if os.environ.get(VARIABLE) else None
    )
    try:
        yield told
    finally:
        if parent is not None:
            parent.cancel()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _follow_parent(stop: asyncio.Event) -> None:
    """Stop a worker whose supervisor has died without a word."""
    supervisor = os.getppid()
    while os.getppid() == supervisor:
        await asyncio.sleep(1)
    stop.set()
