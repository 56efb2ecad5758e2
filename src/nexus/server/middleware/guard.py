"""Everything that stands between a request and a route that is not for everybody, in order."""

from typing import TYPE_CHECKING

from nexus.auth import metadata
from nexus.auth.client import identifier
from nexus.config.server import ServerConfig
from nexus.ratelimit.limiter import Limiter
from nexus.server.asgi import App
from nexus.server.middleware.client_ip import client_ip
from nexus.server.middleware.identify import identify
from nexus.server.middleware.limit import limit
from nexus.server.middleware.standing import tell

if TYPE_CHECKING:
    from nexus.auth.jwt import Verifier


def guard(
    app: App, config: ServerConfig, verifier: "Verifier | None", limiter: Limiter, *, native: bool = False
) -> App:
    """Put around a route what the configuration asks for, and nothing it does not: address, token, identity, limits.

    On a `native` route clients may have a vendor's own credentials in `Authorization`.
    """
    if not (limiter.limits_requests or config.client_identification.enabled or config.oauth is not None):
        return app
    if limiter.limits_requests:
        app = limit(app, limiter)
    if config.rate_limits.headers:
        app = tell(app)
    if config.client_identification.enabled:
        app = identify(app, identifier(config.client_identification))
    if config.oauth is not None and verifier is not None:
        from nexus.server.middleware.auth import auth  # only who asks for tokens pays for it

        address = metadata.address(config.oauth.protected_resource)
        app = auth(app, verifier, address, limiter, native=native)
    return client_ip(app, config.client_ip, config.client_ip.trusted_proxies)
