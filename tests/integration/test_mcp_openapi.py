"""An HTTP API behind the endpoint."""

from pathlib import Path
from typing import Any

import msgspec

from integration.mcp_gateway import mounted
from integration.mcp_servers.web import WebServer, reply, running
from nexus.server.asgi import Receive, Scope, Send

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://elsewhere.example"}],
    "paths": {
        "/pets/{name}": {
            "get": {
                "operationId": "getPet",
                "summary": "Find a pet",
                "parameters": [
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
            }
        },
        "/pets": {
            "post": {
                "operationId": "addPet",
                "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
            }
        },
    },
}


class Pets(WebServer):
    """An API of two operations."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append((f"{scope['method']} {scope['path']}", headers, body))
        if scope["path"] == "/openapi.json":
            await reply(send, 200, b"application/json", msgspec.json.encode(DOCUMENT))
        elif scope["path"] == "/v1/pets/Rex":
            await reply(send, 200, b"application/json", b'{"name":"Rex"}')
        elif scope["path"] == "/v1/pets":
            await reply(send, 201, b"application/json", body)
        else:
            await reply(send, 404, b"text/plain", b"no such pet")


async def test_operations_are_found_and_called_like_any_tool(tmp_path: Path) -> None:
    async with running(Pets()) as api:
        file = tmp_path / "openapi.json"
        file.write_bytes(msgspec.json.encode(DOCUMENT))
        toml = "".join(
            f'[mcp.servers.{name}]\nopenapi = "{where}"\nbase_url = "{api.url}/v1"\nauth.token = "secret"\n'
            f'[[mcp.servers.{name}.headers]]\nrule = "insert"\nname = "x-key"\nvalue = "1"\n'
            for name, where in (("pets", file), ("remote", f"{api.url}/openapi.json"))
        )
        async with mounted(toml) as gateway:
            assert gateway.mcp.troubles == {}
            assert (await gateway.search("find", "pet"))[:2] == ["pets__getPet", "remote__getPet"]
            found = await gateway.execute("pets__getPet", {"name": "Rex"}, authorization="Bearer mine")
            assert found["structuredContent"] == {"name": "Rex"}
            missing = await gateway.execute("remote__getPet", {"name": "../../admin"})
            assert missing == {
                "content": [{"type": "text", "text": "HTTP 404: no such pet"}],
                "isError": True,
            }
            added = await gateway.execute("pets__addPet", {"body": {"name": "Kit"}})
            assert added["structuredContent"] == {"name": "Kit"}
        calls = [one for one in api.seen if "/v1/" in one[0]]
        assert {headers["authorization"] for _, headers, _ in calls} == {"Bearer secret"}
        assert {headers["x-key"] for _, headers, _ in calls} == {"1"}


async def test_a_document_from_elsewhere_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "swagger.json"
    file.write_text('{"swagger": "2.0"}')
    toml = f'[mcp.servers.old]\nopenapi = "{file}"\nbase_url = "http://localhost:1/"\n'
    yaml = tmp_path / "openapi.yaml"
    yaml.write_text("# an API\nopenapi: 3.1.0\ninfo: {title: x, version: '1'}\n")
    toml += f'[mcp.servers.yaml]\nopenapi = "{yaml}"\nbase_url = "http://localhost:1/"\n'
    toml += '[mcp.servers.other]\nopenapi = "http://other.example/a.json"\nbase_url = "http://localhost:1/"\n'
    toml += '[mcp.servers.none]\nopenapi = "/no/such/file"\nbase_url = "http://localhost:1/"\n'
    async with mounted(toml) as gateway:
        assert "OpenAPI 3" in gateway.mcp.troubles["old"]
        assert gateway.mcp.troubles["yaml"] == "its document is YAML, convert it to JSON"
        assert "another origin" in gateway.mcp.troubles["other"]
        assert "cannot be read" in gateway.mcp.troubles["none"]
