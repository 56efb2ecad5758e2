"""Who we are to AWS: keys from wherever AWS keeps them, and the signature of a request made with them.

Signing is ours, about fifty lines; keys that have to be fetched or renewed (profiles, single sign-on, roles, containers,
instances) are botocore's matter, imported when the first of them is needed.
"""

import asyncio
import hashlib
import hmac
import importlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import quote

from nexus.config.llm import BedrockConfig
from nexus.errors import Unauthenticated

log = logging.getLogger(__name__)

INSTALL = "pip install 'nexus-ai-gateway[bedrock]'"
DEFAULT_REGION = "us-east-1"
_SOON = 15 * 60
"""Seconds before their end at which keys are renewed, while they still sign."""
_LATE = 60
"""Seconds before their end at which they are not used any more."""


class Missing(Exception):
    """Botocore is not installed, or knows no such profile."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


class Keyring(Protocol):
    """Where keys come from."""

    async def keys(self) -> Keys:
        """Give keys that are good for some time.

        Raises:
            Unauthenticated: there are none.
        """
        ...


class Fixed:
    """Keys that never change."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def keys(self) -> Keys:
        """Give the keys."""
        return self._keys


class _Frozen(Protocol):
    access_key: str
    secret_key: str
    token: str | None


class _Credentials(Protocol):
    def get_frozen_credentials(self) -> _Frozen: ...


class Session(Protocol):
    """What we need of a botocore session."""

    def get_credentials(self) -> _Credentials | None: ...

    def get_config_variable(self, logical_name: str) -> object: ...


class Chain:
    """Keys as every AWS program finds them, fetched and renewed by botocore beside the loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._credentials: _Credentials | None = None
        self._keys: Keys | None = None
        self._renewing: asyncio.Task[Keys] | None = None

    async def keys(self) -> Keys:
        """Give the keys; those that end soon are renewed while they are still used."""
        if self._keys is None or self._ends_within(_LATE):
            return await asyncio.shield(self._renew())
        if self._ends_within(_SOON):
            self._renew()
        return self._keys

    def _ends_within(self, seconds: int) -> bool:
        refresh_needed = getattr(self._credentials, "refresh_needed", None)  # keys without an end have none
        return refresh_needed is not None and bool(refresh_needed(seconds))

    def _renew(self) -> "asyncio.Task[Keys]":
        """Ask once, however many need them."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._fetch(), name="AWS keys")
            self._renewing.add_done_callback(_noticed)
        return self._renewing

    async def _fetch(self) -> Keys:
        try:
            frozen = await asyncio.to_thread(self._ask)
        except Exception as error:  # botocore's own and those of whatever it asks: an STS, a file, a program
            log.warning("AWS credentials cannot be had: %s", error)
            reason = type(error).__name__
            raise Unauthenticated(f"Authentication failed: no AWS credentials ({reason})") from error
        if frozen is None:
            raise Unauthenticated("Authentication failed: no AWS credentials were found")
        self._keys = Keys(frozen.access_key, frozen.secret_key, frozen.token or "")
        return self._keys

    def _ask(self) -> _Frozen | None:
        if self._credentials is None:
            self._credentials = self._session.get_credentials()
        return None if self._credentials is None else self._credentials.get_frozen_credentials()

    async def close(self) -> None:
        """End what is under way."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait((self._renewing,))


def _noticed(task: "asyncio.Task[Keys]") -> None:
    """Look at how a renewal ended: nobody may be waiting for it."""
    if not task.cancelled():
        task.exception()


def open_session(profile: str | None) -> Session:
    """Make a botocore session; the import of it takes a moment.

    Raises:
        Missing: botocore is not installed, or knows no such profile.
    """
    try:
        module = importlib.import_module("botocore.session")
        exceptions = importlib.import_module("botocore.exceptions")
    except ImportError:
        raise Missing(f"AWS profiles and roles need botocore; {INSTALL}") from None
    session = cast("Session", module.Session(profile=profile))
    try:
        session.get_config_variable("region")
    except exceptions.ProfileNotFound:
        raise Missing(f"there is no AWS profile '{profile}'") from None
    return session


def identity(config: BedrockConfig, environ: Mapping[str, str]) -> str | Keys | None:
    """Find who we are without asking anybody: a Bedrock API key, or keys to sign with. None: botocore has to look.

    What the file says comes before what the environment has.
    https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html
    """
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    if config.access_key_id is not None and config.secret_access_key is not None:
        token = config.session_token.get_secret_value() if config.session_token is not None else ""
        access, secret = config.access_key_id, config.secret_access_key
        return Keys(access.get_secret_value(), secret.get_secret_value(), token)
    if config.profile is not None:
        return None
    if bearer := environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        return bearer
    access, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    return Keys(access, secret, environ.get("AWS_SESSION_TOKEN") or "") if access and secret else None


def region(config: BedrockConfig, environ: Mapping[str, str]) -> str | None:
    """Find the region in the file or the environment; a profile may know one where these do not."""
    return config.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


def endpoint(service: str, region: str) -> str:
    """Give the address of a service.

    https://docs.aws.amazon.com/general/latest/gr/bedrock.html
    """
    suffixes = {
        "cn-": "amazonaws.com.cn",
        "eusc-": "amazonaws.eu",
        "us-iso-": "c2s.ic.gov",
        "us-isob-": "sc2s.sgov.gov",
    }
    suffix = next((end for start, end in suffixes.items() if region.startswith(start)), "amazonaws.com")
    return f"https://{service}.{region}.{suffix}"


class Signer:
    """Signs requests to one service in one region.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(self, service: str, region: str) -> None:
        self._service = service
        self._region = region
        self._derived = ("", "", b"")
        """Day, secret, and the key made of them: the same for all requests of a day."""

    def sign(
        self,
        keys: Keys,
        method: bytes,
        host: bytes,
        target: bytes,
        content_type: bytes,
        body: bytes,
        now: float,
    ) -> bytes:
        """Give the header lines that sign a request of exactly this method, target, host, type and body.

        `target` is path and query as they are sent, `now` seconds since 1970.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        lines = [f"content-type:{content_type.decode()}"] if content_type else []
        lines += [f"host:{host.decode()}", f"x-amz-date:{moment}"]
        if keys.token:
            lines.append(f"x-amz-security-token:{keys.token}")
        names = ";".join(line.partition(":")[0] for line in lines)
        path, _, query = target.decode().partition("?")
        request = "\n".join(
            (
                method.decode(),
                quote(path, safe="/~"),
                "&".join(sorted(query.split("&"))),
                *lines,
                "",
                names,
                hashlib.sha256(body).hexdigest(),
            )
        )
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        signature = hmac.digest(self._key(keys.secret, moment[:8]), text.encode(), "sha256").hex()
        token = f"x-amz-security-token: {keys.token}\r\n" if keys.token else ""
        return (
            f"x-amz-date: {moment}\r\n{token}authorization: AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        ).encode()

    def _key(self, secret: str, day: str) -> bytes:
        if self._derived[:2] != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived = (day, secret, key)
        return self._derived[2]
