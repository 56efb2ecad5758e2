"""The signing keys of one issuer: fetched when they are needed, kept, and asked for again when a token names an unknown one.

https://www.rfc-editor.org/rfc/rfc7517
"""

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import JWKRegistry, Key

log = logging.getLogger(__name__)

MIN_INTERVAL = 5.0
"""Seconds between two requests for keys that no clock asked for: a token with an unknown key, or a failure."""
_TIMEOUT = 5.0
_PATIENCE = 0.5
"""Seconds a fetch keeps anybody waiting who could go on with the keys there are."""
_MAX_DOCUMENT = 1024 * 1024


class KeysUnavailable(Exception):
    """No keys could be had, now or ever before."""


class _Document(msgspec.Struct):
    keys: list[dict[str, object]]


_decode = msgspec.json.Decoder(_Document).decode


class Keys:
    """What one document holds. Immutable: as long as it is the same object, what it has verified stays verified."""

    __slots__ = ("_all", "_by_kid", "document")

    def __init__(self, document: bytes) -> None:
        self.document = document
        self._all = tuple(_read(_decode(document).keys))
        self._by_kid: dict[str, list[Key]] = {}
        for key in self._all:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)

    def named(self, kid: str | None) -> Sequence[Key]:
        """Give the keys a token may be signed with: those it names, or all where it names none."""
        return self._all if kid is None else self._by_kid.get(kid, ())


def _read(entries: Iterable[dict[str, object]]) -> Iterable[Key]:
    """Read the keys we understand: one of a kind still unknown must not take the others with it."""
    for entry in entries:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SecurityWarning)  # too weak to believe
                yield JWKRegistry.import_key(entry)  # type: ignore[arg-type]  # it checks the values itself
        except (JoseError, SecurityWarning, ValueError, TypeError, KeyError) as error:
            log.warning("a key of the key set was left out: %s", type(error).__name__)


class Source(Protocol):
    """What keys come from."""

    async def fetch(self) -> bytes:
        """Get the document.

        Raises:
            OSError: there is none to be had.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class Jwks:
    """One issuer's keys, shared by everybody who verifies its tokens.

    Keys live for `ttl` seconds, for ever without. Whatever makes a fetch needed, there is one at a time, and everybody waits
    for it; when it fails, or takes long, the old keys stay in use.
    """

    def __init__(
        self,
        source: Source,
        ttl: float | None,
        clock: Callable[[], float],
        min_interval: float = MIN_INTERVAL,
    ) -> None:
        self._source = source
        self._ttl = ttl
        self._clock = clock
        self._min_interval = min_interval
        self._keys: Keys | None = None
        self._fresh_until = 0.0
        self._asked_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None
        self._began = 0.0
        self._trouble = ""

    @property
    def fresh(self) -> Keys | None:
        """The keys in force; None when they have to be asked for."""
        return self._keys if self._clock() <= self._fresh_until else None

    async def keys(self) -> Keys:
        """Give the keys in force.

        Raises:
            KeysUnavailable: there have never been any.
        """
        if (fresh := self.fresh) is not None:
            return fresh
        failed_just_now = self._trouble and self._clock() - self._asked_at < self._min_interval
        if not failed_just_now:
            await self._fetch_once(None if self._keys is None else _PATIENCE)
        if self._keys is None:
            raise KeysUnavailable(self._trouble)
        return self._keys

    async def newer(self, than: Keys) -> Keys:
        """Give keys fetched after those, unless it is too early to ask again; then those in force."""
        if self._keys is than and self._clock() - self._asked_at >= self._min_interval:
            await self._fetch_once()
        return self._keys or than

    async def close(self) -> None:
        """Stop asking."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))
        await self._source.close()

    async def _fetch_once(self, patience: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name="jwks")
            self._fetching.add_done_callback(self._fetched)
            self._began = loop.time()
        left = None if patience is None else max(0.0, self._began + patience - loop.time())
        # one who stops waiting does not stop it for the others
        await asyncio.wait((self._fetching,), timeout=left)

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                document = await self._source.fetch()
            keys = (
                self._keys if self._keys is not None and self._keys.document == document else Keys(document)
            )
        except TimeoutError:
            self._failed(f"no answer within {_TIMEOUT:g} seconds")
        except OSError as error:
            self._failed(str(error) or type(error).__name__)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._failed("the answer is not a set of keys")
        else:
            if self._trouble:
                log.info("the signing keys can be had again")
            self._trouble = ""
            self._keys = keys
            self._fresh_until = self._clock() + (float("inf") if self._ttl is None else self._ttl)
        finally:
            self._asked_at = self._clock()

    def _failed(self, why: str) -> None:
        if not self._trouble:  # one line per outage
            still = "the known ones stay in use" if self._keys is not None else "no token can be verified"
            log.warning("the signing keys could not be fetched, %s: %s", still, why)
        self._trouble = why


class Http:
    """Keys at a URL."""

    def __init__(self, url: str) -> None:
        import httpx2  # only a gateway that asks for tokens pays for it

        self._url = url
        self._errors = httpx2.HTTPError
        self._client = httpx2.AsyncClient(timeout=_TIMEOUT, follow_redirects=True, max_redirects=3)

    async def fetch(self) -> bytes:
        """Get the document.

        Raises:
            OSError: there is none to be had.
        """
        try:
            async with self._client.stream(
                "GET", self._url, headers={"accept": "application/json"}
            ) as answer:
                ways = {one.url.scheme for one in (*answer.history, answer)}
                if self._url.startswith("https:") and ways != {"https"}:
                    raise OSError("redirected to where anybody on the way could put keys of their own")
                if answer.status_code != 200:
                    raise OSError(f"status {answer.status_code}")
                document = b""
                async for piece in answer.aiter_bytes():
                    document += piece
                    if len(document) > _MAX_DOCUMENT:
                        raise OSError("the key set is too large")
                return document
        except self._errors as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()
