"""An adapter for any service that speaks the OpenAI chat completions API, through the openai SDK."""

import asyncio
import email.utils
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import httpx2
import openai

from nexus_agents import guard
from nexus_agents.adapters import wire
from nexus_agents.adapters.base import Completion, Listed, Prompt
from nexus_agents.errors import AdapterError, Kind, Refused
from nexus_agents.redact import redact

LARGEST_LIST = 8 * 1024 * 1024
LIST_TIMEOUT = 10.0
LIST_FRESH = 300.0
"""Seconds a model list is believed."""
_OWN_HEADERS = (
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
)
"""What the SDK may send besides what this module says: it would add what variables meant for OpenAI name to any service."""


class Compatible:
    """One service: where it is, what its key is, what the user chose there."""

    has_tools = True

    def __init__(
        self,
        *,
        name: str,
        title: str,
        base_url: str,
        key: str,
        policy: guard.Policy,
        pinned: str = "",
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.title = title
        self.pinned = pinned
        self.base_url = base_url
        self._key = key
        self.policy = policy
        self._headers = dict(headers or {})
        self._secrets = tuple(dict.fromkeys([key, *secrets])) if key else tuple(secrets)
        self._clock = clock
        self._client: openai.AsyncOpenAI | None = None
        self._listed: tuple[float, tuple[Listed, ...]] | None = None
        self._listing = asyncio.Lock()
        self._without_schema = set[str]()

    @property
    def host(self) -> str:
        try:
            return httpx2.URL(self.base_url).host
        except httpx2.InvalidURL:
            return ""

    async def models(self) -> Sequence[Listed]:
        """List the models; believed for five minutes."""
        async with self._listing:
            if self._listed is None or self._clock() - self._listed[0] > LIST_FRESH:
                self._listed = (self._clock(), await self._list())
            return self._listed[1]

    async def complete(self, prompt: Prompt) -> Completion:
        """Call the model once; a service that knows no structured output is asked again without."""
        schema = prompt.schema is not None and prompt.model not in self._without_schema
        try:
            return await self._complete(prompt, schema=schema)
        except AdapterError as error:
            if not schema or error.kind is not Kind.INVALID or error.status not in (400, 422):
                raise
            answer = await self._complete(prompt, schema=False)
            self._without_schema.add(prompt.model)
            return answer

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _complete(self, prompt: Prompt, *, schema: bool) -> Completion:
        body = wire.write(prompt, schema=schema)
        try:
            async with asyncio.timeout(prompt.timeout):
                # the answer's bytes and not the SDK's model of them: what is told beside the protocol counts too
                answer = await self._open().post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=body,
                    options={"timeout": prompt.timeout},
                )
                return wire.read(answer.content, prompt.model)
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError) as error:
            raise self._failure(error) from error
        except AdapterError as error:
            raise self._clean(error) from error

    async def _list(self) -> tuple[Listed, ...]:
        received = bytearray()
        try:
            async with (
                asyncio.timeout(LIST_TIMEOUT),
                self._open().models.with_streaming_response.list(timeout=LIST_TIMEOUT) as response,
            ):
                async for piece in response.iter_bytes():
                    received += piece
                    if len(received) > LARGEST_LIST:
                        raise AdapterError(Kind.GARBAGE, "The service's model list is larger than 8 MB.")
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError) as error:
            raise self._failure(error) from error
        return wire.read_models(bytes(received))

    def _open(self) -> openai.AsyncOpenAI:
        """Make the client on first use: the guard speaks before a socket is opened.

        Raises:
            Refused: the base URL may not be called.
        """
        if self._client is None:
            guard.check(self.base_url, self.policy)
            http = guard.client(self.policy, timeout=httpx2.Timeout(60.0, connect=10.0, pool=30.0))
            if self.name != "openai":
                http.event_hooks = {"request": [self._without_foreign_headers], "response": []}
            self._client = openai.AsyncOpenAI(
                base_url=self.base_url,
                api_key=self._key or "none",
                max_retries=0,
                http_client=http,
                default_headers=self._headers,
            )
        return self._client

    async def _without_foreign_headers(self, request: httpx2.Request) -> None:
        own = {*_OWN_HEADERS, *(name.lower() for name in self._headers)}
        for name in [name for name in request.headers if name.lower() not in own and not _of_sdk(name)]:
            del request.headers[name]
        request.headers["authorization"] = f"Bearer {self._key or 'none'}"

    def _failure(self, error: Exception) -> AdapterError | Refused:
        """Say what went wrong; a refusal of the guard comes through as it is."""
        for cause in _causes(error):
            if isinstance(cause, Refused):
                return cause
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        if isinstance(error, (openai.APITimeoutError, TimeoutError)):
            return AdapterError(Kind.TIMEOUT, f"{self.title} ({self.host}) did not answer in time.")
        if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError)):
            why = next((str(c) for c in _causes(error) if isinstance(c, httpx2.HTTPError) and str(c)), "")
            return self._clean(
                AdapterError(
                    Kind.CONNECTION,
                    f"{self.title} ({self.host}) cannot be reached{f': {why}' if why else ''}.",
                )
            )
        return self._clean(AdapterError(Kind.GARBAGE, f"{self.title} ({self.host}): {error}"))

    def _status(self, error: openai.APIStatusError) -> AdapterError:
        status = error.status_code
        exhausted = (error.code or error.type) == "insufficient_quota"
        kind = Kind.PAYMENT if exhausted else Kind.of(status)
        words = _message(error)
        return self._clean(
            AdapterError(
                kind,
                f"{self.title} ({self.host}) answered {status}{f': {words}' if words else ''}.",
                _CURES.get(kind, ""),
                status=status,
                retry_after=_retry_after(error.response.headers),
            )
        )

    def _clean(self, error: AdapterError) -> AdapterError:
        return AdapterError(
            error.kind,
            redact(error.message, self._secrets),
            error.cure,
            retry_after=error.retry_after,
            status=error.status,
        )


_CURES = {
    Kind.AUTHENTICATION: "Check the key.",
    Kind.PAYMENT: "Add credit or choose a free model.",
}


def _of_sdk(name: str) -> bool:
    """Tell whether a header is one the SDK describes itself with; it reads one of them again with the answer."""
    return name.lower().startswith("x-stainless-")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _message(error: openai.APIStatusError) -> str:
    """Take the provider's words: the first line of them, at most 300 characters."""
    body = error.body
    words = body.get("message") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any JSON
    if not isinstance(words, str):
        return ""
    return next(iter(words.strip().splitlines()), "")[:300].rstrip(".")


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Read Retry-After as seconds, in any of its spellings."""
    if (millis := headers.get("retry-after-ms", "")).isdigit():
        return int(millis) / 1000
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
