"""Metrics as Prometheus reads them."""

from nexus.server.answer import show
from nexus.server.asgi import Receive, Scope, Send
from nexus.telemetry.prometheus import CONTENT_TYPE
from nexus.telemetry.setup import Telemetry


class Exposition:
    """Answers scrapes. What it shows is not secret to whoever may reach it, and names models, tools and clients."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD."""
        await show(scope, send, CONTENT_TYPE, await self._telemetry.exposition())
