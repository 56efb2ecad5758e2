"""A Nexus gateway: where its parts are, and whether one listens on this machine."""

import httpx2
import msgspec

from nexus_agents import guard

LOCAL = "http://127.0.0.1:8000"
"""Where a gateway listens when nobody says otherwise."""
_LOOK_TIMEOUT = 0.5


class _Health(msgspec.Struct):
    status: str


def here(url: str) -> str:
    """Write where a gateway listens as a client does: an address that means all of a machine's becomes loopback."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:", 1).replace("//[::]:", "//[::1]:", 1)


def llm_base(url: str) -> str:
    """Give the base of the OpenAI protocol; a URL that already is one stays as it is."""
    url = here(url).rstrip("/")
    return url if url.endswith("/v1") else f"{url}/llm/openai/v1"


def mcp_url(url: str) -> str:
    """Give the address of the tools."""
    return f"{llm_base(url).removesuffix('/v1').removesuffix('/llm/openai').removesuffix('/llm')}/mcp"


async def look(url: str) -> bool:
    """Tell whether a Nexus gateway answers there, on this machine: another program's health page does not count."""
    policy = guard.Policy(allow_private=True, lifted_by="")
    try:
        async with guard.client(policy, timeout=_LOOK_TIMEOUT) as client:
            health = await client.get(f"{url}/health")
            models = await client.get(f"{llm_base(url)}/models")
        healthy = msgspec.json.decode(health.content, type=_Health).status == "healthy"
    except (httpx2.HTTPError, msgspec.DecodeError, guard.Refused, UnicodeDecodeError):
        return False
    return healthy and models.status_code in (200, 401)
