"""AWS Bedrock: every model by the Converse API, Claude by the Messages API as well.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import msgspec

from nexus.config.llm import BedrockConfig, ProviderConfig
from nexus.errors import Headers, NexusError, UpstreamBroken, UpstreamError, UpstreamGarbage
from nexus.http.client import Failed, header_block
from nexus.http.connect import Origin
from nexus.llm.canonical import Loss, Model
from nexus.llm.protocols import losses
from nexus.llm.protocols.base import Counter, Wire
from nexus.llm.protocols.converse import embeddings, families
from nexus.llm.protocols.converse.models import Found, read_page
from nexus.llm.protocols.converse.wire import ConverseCounter, ConverseWire
from nexus.llm.providers import aws
from nexus.llm.providers.api import OUR_HEADERS, Api
from nexus.llm.providers.base import Answer, Call, Connections, ProviderFailed
from nexus.llm.providers.bedrock_invoke import Counted, adapt
from nexus.llm.providers.bedrock_stream import (
    EVENT_STREAM,
    Streamed,
    Told,
    Write,
    write_anthropic,
    write_converse,
)

log = logging.getLogger(__name__)

LABEL = "Bedrock"
_MAX_LIST = 16 * 1024 * 1024
_MAX_PAGES = 100
_LISTS = (
    ("/inference-profiles", b"maxResults=1000"),
    ("/inference-profiles", b"maxResults=1000&type=APPLICATION"),
    ("/foundation-models", b""),
)


class Bedrock:
    """A provider that speaks the Converse API and, for Claude, the Messages API, signed or with an API key."""

    kind = "bedrock"
    discovers = True
    trouble: str | None = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        assert isinstance(config, BedrockConfig)
        self.name = name
        self._config = config
        self._betas = _betas(config)
        self._bases: dict[str, str] = {}
        """The model behind each profile whose name does not tell it."""
        self._runtime: _Service | None = None
        self._control: _Service | None = None

    def speaks(self, model: str) -> Sequence[str]:
        """Name the Messages API for Claude."""
        return ("anthropic",) if families.is_claude(self._base(model)) else ()

    def wire(self, model: str) -> Wire:
        """Give the Converse API."""
        return ConverseWire(self._base(model))

    def counter(self, model: str) -> Counter | None:
        """Give the token count that Claude has."""
        base = self._base(model)
        return ConverseCounter(base) if families.is_claude(base) else None

    def embedder(self, model: str) -> embeddings.Embedder | None:
        """Give the words a model has for embeddings."""
        return embeddings.embedder(self._base(model))

    async def start(self) -> None:
        """Find out who and where we are.

        Raises:
            ProviderFailed: there is no way to get keys.
        """
        config, environ = self._config, os.environ
        identity, region = aws.identity(config, environ), aws.region(config, environ)
        session: aws.Session | None = None
        if identity is None or region is None:
            try:
                session = await asyncio.to_thread(aws.open_session, config.profile)
            except aws.Missing as missing:
                if identity is None:
                    raise ProviderFailed(f"llm.providers.{self.name}: {missing}") from None
        if region is None and session is not None:
            known = await asyncio.to_thread(session.get_config_variable, "region")
            region = known if isinstance(known, str) else None
        region = region or aws.DEFAULT_REGION
        keyring = _keyring(identity, session)
        signer = aws.Signer("bedrock", region)
        runtime = config.base_url or aws.endpoint("bedrock-runtime", region)
        self._runtime = _Service(self.name, runtime, config, keyring, signer)
        control = config.base_url or aws.endpoint("bedrock", region)
        self._control = self._runtime
        if control != runtime:
            self._control = _Service(self.name, control, config, keyring, signer)

    async def models(self) -> Sequence[Model]:
        """Ask for profiles and models; of two with one name the first counts, and some of the lists may fail."""
        found: dict[str, Found] = {}
        failures: list[NexusError] = []
        for path, query in _LISTS:
            try:
                for one in await self._list(path, query):
                    found.setdefault(one.id, one)
            except NexusError as failure:
                failures.append(failure)
        if failures and not found and not self._config.models:
            raise failures[0]
        for failure in failures:
            log.debug("provider '%s' did not give one of its lists: %s", self.name, failure)
        if not found:
            log.warning("provider '%s' gave no models; those of the file are served", self.name)
        self._bases = {name: one.base for one in found.values() for name in (one.id, one.arn) if name}
        return [Model(one.id, 0, one.vendor or self.name) for one in found.values()]

    async def send(self, call: Call) -> Answer:
        """Send a request below the runtime's base URL; those of the Messages API are changed into Bedrock's."""
        assert self._runtime is not None
        if call.protocol != "anthropic":
            return _told(await self._runtime.send(call), write_converse)
        adapted, dropped = adapt(call, self._base, self._betas)
        headers = losses.headers([Loss(name, "Bedrock refuses it") for name in dropped])
        answer = await self._runtime.send(adapted)
        if call.path.endswith("/count_tokens"):
            return Counted(answer, headers)
        return _told(answer, write_anthropic, headers)

    def failure(self, error: Failed) -> NexusError:
        """Say that the connection broke."""
        assert self._runtime is not None
        return self._runtime.api.failure(error)

    @property
    def connections(self) -> Connections:
        """Count the connections there are, to both of its addresses."""
        both = [one.api.connections for one in {self._runtime, self._control} if one is not None]
        return Connections(sum(one.active for one in both), sum(one.idle for one in both))

    async def close(self) -> None:
        """Close all connections, and leave no keys being fetched."""
        for service in (self._runtime, self._control):
            if service is not None:
                await service.close()

    def _base(self, model: str) -> str:
        return self._bases.get(model) or families.base_model(model)

    async def _list(self, path: str, query: bytes) -> list[Found]:
        """Read all pages of a list."""
        assert self._control is not None
        found: list[Found] = []
        parameters = query
        for _ in range(_MAX_PAGES):
            body = await self._control.get(path, parameters)
            try:
                page, token = read_page(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise UpstreamGarbage(f"{LABEL} answered GET {path} with something that is no list") from None
            found += page
            if not token:
                break
            following = f"nextToken={quote(token, safe='')}".encode()
            parameters = b"&".join(part for part in (query, following) if part)
        return found


class _Service:
    """One of the addresses of Bedrock, and what signs requests to it."""

    def __init__(
        self, name: str, base_url: str, config: BedrockConfig, keyring: aws.Keyring | str, signer: aws.Signer
    ) -> None:
        # parameters of a URL mean nothing to Bedrock, and would have to be signed
        self.api = Api(LABEL, base_url, config.model_copy(update={"query": {}}), name)
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._host = Origin.of(base_url).host_header
        self._keyring = keyring
        self._signer = signer
        self._headers = header_block(OUR_HEADERS)
        if isinstance(keyring, str):
            self._headers += header_block([("authorization", f"Bearer {keyring}")])

    async def send(self, call: Call) -> Answer:
        """Send a request, signed as it is.

        Raises:
            Unauthenticated: there are no keys to sign with.
        """
        headers = self._headers
        if not isinstance(self._keyring, str):
            keys = await self._keyring.keys()
            target = (self._prefix + call.path).encode() + (b"?" + call.query if call.query else b"")
            headers += self._signer.sign(
                keys, call.method, self._host, target, call.content_type, call.body, time.time()
            )
        return await self.api.send(call, headers)

    async def get(self, path: str, query: bytes) -> bytes:
        """Get a whole document.

        Raises:
            UpstreamError: it was refused.
        """
        answer = Told(await self.send(Call("bedrock", b"GET", path, query=query)))
        try:
            body = await answer.read(_MAX_LIST)
        except Failed as error:
            raise UpstreamBroken(LABEL, str(error)) from error
        if answer.status != 200:
            raise UpstreamError(answer.status, (), body, answer.header(b"content-type") or b"")
        return body

    async def close(self) -> None:
        """Close all connections."""
        self.api.close()
        if isinstance(self._keyring, aws.Chain):
            await self._keyring.close()


def _told(answer: Answer, write: Write, headers: Headers = ()) -> Answer:
    content_type = answer.header(b"content-type") or b""
    if answer.status == 200 and content_type.startswith(EVENT_STREAM):
        return Streamed(answer, write, headers)
    return Told(answer, headers) if headers or answer.status != 200 else answer


def _keyring(identity: str | aws.Keys | None, session: aws.Session | None) -> aws.Keyring | str:
    """Give what signs, or the API key that needs no signature."""
    if isinstance(identity, str):
        return identity
    if identity is not None:
        return aws.Fixed(identity)
    assert session is not None
    return aws.Chain(session)


def _betas(config: BedrockConfig) -> frozenset[str] | None:
    """Read which betas of the Messages API go on to Bedrock; None for those it is known to take."""
    return None if config.betas is None else frozenset(config.betas)
