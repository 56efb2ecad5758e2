"""Which path is whose."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from nexus.server.asgi import App, Receive, Scope, Send
from nexus.telemetry import observation


class Place(Protocol):
    """What is at many paths."""

    def claims(self, path: str) -> int:
        """Tell how much of a path says that it belongs here; 0 where nothing does."""
        ...

    def template(self, path: str) -> str | None:
        """Give what all paths like this one have in common, ids left out; None where there is nothing at it."""
        ...

    @property
    def paths(self) -> Iterable[str]:
        """Those with nothing to leave out, where they are known beforehand."""
        ...


def router(exact: Mapping[str, App], places: Sequence[tuple[Place, App]] = ()) -> App:
    """Bring a request to what is at its path; 404 where nothing is.

    Of two places that claim a path it belongs to the one that claims more, as one may be below the other.
    """

    def owner(path: str) -> tuple[Place, App] | None:
        claim, found = 0, None
        for place, app in places:
            if (claimed := place.claims(path)) > claim:
                claim, found = claimed, (place, app)
        return found

    known = {path: found[1] for place, _ in places for path in place.paths if (found := owner(path))}
    known.update(exact)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        seen = observation.current()
        if (app := known.get(path)) is not None:
            if seen is not None:
                seen.route = path
            await app(scope, receive, send)
        elif (found := owner(path)) is not None:
            place, app = found
            if seen is not None:
                seen.route = place.template(path)
            await app(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    return route
