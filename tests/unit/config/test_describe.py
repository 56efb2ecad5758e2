"""The schema and the reference tell of every key, and the committed reference is the current one."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from nexus.config import Config, describe, reference, schema

ROOT = Path(__file__).parents[3]


def nodes(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in cast("list[Any]", node) for found in nodes(item)]
    if not isinstance(node, dict):
        return []
    table = cast("dict[str, Any]", node)
    return [table, *(found for item in table.values() for found in nodes(item))]


def test_the_schema_is_of_the_draft_editors_know() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema()["additionalProperties"] is False


def test_every_key_in_the_schema_is_described() -> None:
    for node in nodes(schema()):
        properties = node.get("properties", {})
        for name, described in properties.items():
            if isinstance(described, dict):
                assert "description" in described, name


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    made: dict[str, Any] = schema()
    targets = {f"#/$defs/{name}" for name in made["$defs"]}
    used = {node["$ref"] for node in nodes(made) if "$ref" in node}
    assert used <= targets
    assert len(used) > 40


def test_the_schema_has_no_null_and_durations_as_text() -> None:
    made: dict[str, Any] = schema()
    assert not [node for node in nodes(made) if node.get("type") == "null" or "x-duration" in node]
    llm = made["$defs"]["LlmConfig"]["properties"]
    assert llm["keep_alive"]["default"] == "15s"
    assert llm["keep_alive"]["type"] == ["string", "integer"]
    assert llm["providers"]["additionalProperties"]["anyOf"]
    assert "global" in made["$defs"]["RateLimits"]["properties"]


def test_every_field_has_a_docstring_of_one_sentence() -> None:
    for model in describe.all_models():
        found = describe.descriptions(model)
        assert set(found) == set(model.model_fields), model
        for text in found.values():
            assert text.endswith((".", ".)"))
            assert "\n" not in text


def test_the_reference_names_every_key() -> None:
    text = reference.render()
    for model in describe.all_models():
        if model is Config:
            continue
        for name, info in model.model_fields.items():
            assert f"| `{info.alias or name}` |" in text


def test_the_committed_reference_is_current() -> None:
    file = ROOT / "docs" / "reference" / "configuration.md"
    assert file.read_text(encoding="utf-8") == reference.render(), (
        "run: python -m nexus.config.reference docs/reference/configuration.md"
    )


def test_the_reference_can_be_written_by_its_module() -> None:
    command = [sys.executable, "-m", "nexus.config.reference"]
    assert subprocess.run(command, capture_output=True, check=True).stdout.decode() == reference.render()
