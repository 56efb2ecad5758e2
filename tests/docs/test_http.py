"""The description of the HTTP API is valid, says what the gateway answers to, and nothing else.

`openapi-3.1.json` is https://spec.openapis.org/oas/3.1/schema/2022-10-07.
"""

import re
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

import reference
from gateway import Answer, Running, gateway
from nexus import config
from nexus.llm.protocols.base import Body
from nexus.llm.surfaces import ANTHROPIC, OPENAI, openai_endpoints
from nexus.server import openapi

SCHEMA = msgspec.json.decode((Path(__file__).parent / "openapi-3.1.json").read_bytes())
ECHO = '[llm.providers.provider]\ntype = "echo"\n'
SERVER = '[mcp.servers.files]\nurl = "http://127.0.0.1:9/mcp"\n'
OPEN = "[server.openapi]\nenabled = true\n"
NOWHERE = 'base_url = "http://127.0.0.1:9"'
ALL = reference.EVERYTHING.replace('type = "openai"', f'type = "openai"\n{NOWHERE}').replace(
    "[llm.proxy.anthropic]", f"[llm.proxy.anthropic]\n{NOWHERE}"
)
KNOWN = {"x_client_id": "me", "mcp_session_id": "x"}
CONFIGURATIONS = {
    "everything": ALL.partition("[server.oauth]")[0] + "[llm.protocols" + ALL.partition("[llm.protocols")[2],
    "models": OPEN + ECHO,
    "moved": OPEN + ECHO + '[llm.protocols.openai]\npath = "/o"\n[server.health]\npath = "/alive"\n',
    "without health": OPEN + ECHO + "[server.health]\nenabled = false\n",
    "tools": OPEN + SERVER,
    "tools moved": OPEN + 'path = "/api.json"\n' + SERVER + '[mcp]\npath = "/tools"\n',
    "nothing of models": OPEN + SERVER + ECHO + "[llm]\nenabled = false\n",
}


def test_the_document_is_valid_openapi() -> None:
    document = openapi.document(config.loads(reference.EVERYTHING, {}).config)
    assert [one.message for one in Draft202012Validator(SCHEMA).iter_errors(document)] == []  # pyright: ignore[reportUnknownMemberType]  # no types


@pytest.mark.parametrize("surface", [OPENAI, ANTHROPIC], ids=lambda surface: surface.name)
def test_the_table_has_every_endpoint_and_no_other(surface: openapi.Any) -> None:
    named = surface.name
    there = {
        (method.lower(), endpoint.path, endpoint.body)
        for endpoint in (*surface.endpoints, *(one for _, one in openai_endpoints.ITEMS if named == "openai"))
        for method in endpoint.methods
    }
    bodies = {"": Body.NONE, "Upload": Body.NONE, "Form": Body.FORM}
    told = {
        (one.method, one.path.split("/v1", 1)[1], bodies.get(one.body, Body.JSON))
        for one in openapi.ROUTES
        if one.place == named and one.path and "/models" not in one.path
    }
    assert told == there


@pytest.mark.parametrize("toml", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
async def test_what_is_described_is_what_is_answered(toml: str) -> None:
    everywhere = openapi.document(config.loads(CONFIGURATIONS["everything"], {}).config)
    async with gateway(toml, wait=False) as nexus:
        at = nexus.gateway.config.server.openapi.path
        document = msgspec.json.decode((await nexus.ask("GET", at, x_client_id="me")).body)
        described = set(_operations(document))
        answered = {one for one in described | set(_operations(everywhere)) if await _answers(nexus, *one)}
        assert answered == described
        assert (await nexus.ask("POST", at, b"", **KNOWN)).status == 405


def _operations(document: openapi.Node) -> list[tuple[str, str]]:
    return [
        (name, path)
        for path, methods in document["paths"].items()
        for name in methods
        if name != "parameters"
    ]


async def _answers(nexus: Running, method: str, path: str) -> bool:
    """Tell whether there is anything at a path: something but the router's own 404, and not for other methods only."""
    body = b"{}" if method == "post" else b""
    answer: Answer = await nexus.ask(method.upper(), _some(path), body, **KNOWN)
    if answer.status == 404:
        return bool(answer.body) and b"No endpoint at" not in answer.body
    return answer.status != 405


def _some(path: str) -> str:
    """Give a path of a template."""
    return re.sub(r"\{(id|path)\}", "x", path.replace("{provider}", "provider"))


async def test_head_is_answered_where_the_page_says_so() -> None:
    async with gateway(CONFIGURATIONS["everything"], wait=False) as nexus:
        for path, methods in openapi.document(nexus.gateway.config)["paths"].items():
            if "get" in methods and "sessions" not in methods["get"]["tags"]:
                kept = path.startswith("/llm/openai/{provider}/")
                answer = await nexus.ask("HEAD", _some(path), b"", **KNOWN)
                assert (answer.status == 405) == kept, path


async def test_a_token_is_asked_for_where_the_document_says_so() -> None:
    async with gateway(ALL, wait=False) as nexus:
        document = openapi.document(nexus.gateway.config)
        for method, path in _operations(document):
            if method in ("get", "post"):
                wants = (
                    await nexus.ask(method.upper(), path.replace("{", "").replace("}", ""))
                ).status == 401
                assert wants == ("security" in document["paths"][path][method]), path


async def test_it_is_not_served_unless_asked_for() -> None:
    async with gateway(ECHO) as nexus:
        assert (await nexus.ask("GET", "/openapi.json")).status == 404
