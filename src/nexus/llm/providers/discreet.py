"""Failures of an upstream, without the key they may repeat: their text goes on to clients, whose key it is not."""

from nexus.errors import Headers
from nexus.http.client import Response
from nexus.http.headers import CREDENTIALS

_SHORT = 6
"""Characters below which a value is no secret, and would be taken out of every text."""


class Discreet:
    """The answer to a request, its body without what the request had been signed with where it is read as a whole."""

    def __init__(self, answer: Response, sent: bytes) -> None:
        self.heartbeat = 0.0
        self._answer = answer
        self._secrets = secrets(sent)

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Headers:
        return self._answer.headers

    def header(self, name: bytes) -> bytes | None:
        return self._answer.header(name)

    async def next(self) -> bytes | None:
        return await self._answer.next()

    async def read(self, limit: int) -> bytes:
        body = await self._answer.read(limit)
        for secret in self._secrets:
            body = body.replace(secret, b"[redacted]")
        return body

    def close(self) -> None:
        self._answer.close()


def secrets(lines: bytes) -> list[bytes]:
    """Find the credentials in header lines; of `Bearer x`, x."""
    pairs = (line.partition(b":") for line in lines.splitlines())
    values = (value.split()[-1:] for name, _, value in pairs if name.lower() in CREDENTIALS)
    return [value for found in values for value in found if len(value) >= _SHORT]
