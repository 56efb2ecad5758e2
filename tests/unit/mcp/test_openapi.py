"""Operations of a document as tools."""

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from nexus.mcp.openapi import Operation, operations, result, target

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://elsewhere.example"}],
    "paths": {
        "/pets/{pet}": {
            "parameters": [{"$ref": "#/components/parameters/Pet"}],
            "get": {
                "operationId": "getPet",
                "summary": "Find a pet",
                "description": "By its name.",
                "parameters": [
                    {
                        "name": "fields",
                        "in": "query",
                        "schema": {"type": "array", "items": {"type": "string"}},
                    },
                    {"name": "x-trace", "in": "header", "schema": {"type": "string"}},
                ],
            },
            "put": {
                "operationId": "put pet!",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json; charset=utf-8": {"schema": {"$ref": "#/components/schemas/Pet"}}
                    },
                },
            },
        },
        "/pets": {"get": {}, "post": {"operationId": "getPet"}},
    },
    "components": {
        "parameters": {"Pet": {"name": "pet", "in": "path", "required": True, "schema": {"type": "string"}}},
        "schemas": {
            "Pet": {
                "type": "object",
                "properties": {
                    "mother": {"$ref": "#/components/schemas/Pet"},
                    "kind": {"$ref": "#/components/schemas/Kind"},
                },
            },
            "Kind": {"type": "string"},
            "Other": {},
        },
    },
}


def _by_name() -> dict[str, Operation]:
    return {one.tool["name"]: one for one in operations(DOCUMENT)}


def test_every_operation_is_a_tool_with_a_name_of_its_own() -> None:
    assert list(_by_name()) == ["getPet", "put_pet", "get_pets", "getPet_2"]
    tool = _by_name()["getPet"].tool
    assert tool["description"] == "Find a pet\n\nBy its name."
    assert tool["annotations"]["readOnlyHint"] is True
    assert tool["inputSchema"]["properties"].keys() == {"pet", "fields"}
    assert tool["inputSchema"]["required"] == ["pet"]
    assert _by_name()["get_pets"].tool["description"] == "GET /pets"


def test_a_schema_takes_along_what_it_refers_to() -> None:
    schema = _by_name()["put_pet"].tool["inputSchema"]
    assert schema["properties"]["body"] == {"$ref": "#/$defs/Pet"}
    assert schema["$defs"].keys() == {"Pet", "Kind"}
    assert schema["$defs"]["Pet"]["properties"]["mother"] == {"$ref": "#/$defs/Pet"}
    assert schema["required"] == ["pet", "body"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"pet": "Rex"}, "/pets/Rex"),
        ({"pet": "a/../b?c#d"}, "/pets/a%2F..%2Fb%3Fc%23d"),
        ({"pet": "ü", "fields": ["a", "b&c"]}, "/pets/%C3%BC?fields=a&fields=b%26c"),
        ({"pet": 7, "fields": "a", "x-trace": "no"}, "/pets/7?fields=a"),
    ],
)
def test_arguments_stay_in_their_places(arguments: dict[str, Any], expected: str) -> None:
    assert target(_by_name()["getPet"], arguments) == expected


@pytest.mark.parametrize("pet", [None, "", ".", ".."])
def test_what_would_change_the_path_is_refused(pet: str | None) -> None:
    with pytest.raises(MCPError):
        target(_by_name()["getPet"], {"pet": pet})


def test_results_are_text_and_where_possible_structured() -> None:
    assert result(200, b'{"a": 1}') == {
        "content": [{"type": "text", "text": '{"a": 1}'}],
        "structuredContent": {"a": 1},
    }
    assert result(200, b"[1]") == {"content": [{"type": "text", "text": "[1]"}]}
    assert result(404, b"gone") == {"content": [{"type": "text", "text": "HTTP 404: gone"}], "isError": True}
