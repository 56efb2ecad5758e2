"""Settings, thinking, tools and schemas of a request to Gemini."""

from typing import Any

import msgspec
import pytest

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    ChatRequest,
    Format,
    FunctionTool,
    HostedTool,
    Reasoning,
    Text,
    ToolChoice,
    Turn,
)
from nexus.llm.protocols.google import schemas
from nexus.llm.protocols.google.wire import GoogleCounter, GoogleWire

FLASH, PRO, LITE = "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"
NEW_FLASH, NEW_PRO, FIRST_PRO = "gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-3-pro-preview"
LOOK = FunctionTool(name="look", description="Looks.", schema={"type": "object"}, path="tools.0")
HEAR = FunctionTool(name="hear", path="tools.1")
SEARCH = HostedTool(protocol="openai", kind="web_search", raw={"type": "web_search"}, path="tools.2")


def ask(model: str = FLASH, protocol: str = "openai", **more: Any) -> ChatRequest:
    return ChatRequest(protocol=protocol, model=model, turns=[Turn("user", [Text("x")])], **more)


def write(model: str = FLASH, **more: Any) -> dict[str, Any]:
    return msgspec.json.decode(GoogleWire().write_request(ask(model, **more))[0])


def lost(model: str = FLASH, **more: Any) -> list[str]:
    return [loss.path for loss in GoogleWire().write_request(ask(model, **more))[1]]


def test_a_plain_question_is_sent_plainly() -> None:
    assert write() == {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def test_every_setting_gemini_has_is_sent() -> None:
    settings: dict[str, Any] = {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_tokens": 100, "presence_penalty": 0.1,
        "frequency_penalty": 0.2, "stop": ["a", "b"], "seed": 7, "logprobs": True, "top_logprobs": 3,
    }  # fmt: skip
    assert write(**settings)["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 100, "presencePenalty": 0.1,
        "frequencyPenalty": 0.2, "stopSequences": ["a", "b"], "seed": 7, "responseLogprobs": True, "logprobs": 3,
    }  # fmt: skip
    assert lost(**settings) == []


def test_every_setting_gemini_lacks_is_declared() -> None:
    assert lost(
        verbosity="low", user="u", cache_key="k", parallel_tools=False, seed=2**40, extras={"logit_bias": {}}
    ) == ["seed", "verbosity", "user", "cache_key", "parallel_tool_calls", "logit_bias"]
    assert lost(parallel_tools=True) == []


@pytest.mark.parametrize(
    ("tier", "written", "losses"),
    [
        ("auto", None, []),
        ("default", "standard", []),
        ("flex", "flex", []),
        ("priority", "priority", []),
        ("scale", None, ["service_tier"]),
    ],
)
def test_the_tier_is_sent_in_googles_words(tier: str, written: str | None, losses: list[str]) -> None:
    assert write(service_tier=tier).get("serviceTier") == written
    assert lost(service_tier=tier) == losses


def test_what_only_google_knows_is_merged_into_what_all_know() -> None:
    extras = {"generationConfig": {"mediaResolution": "LOW"}, "cachedContent": "cachedContents/1"}
    body = write(protocol="google", temperature=1, extras=extras)
    assert body["generationConfig"] == {"temperature": 1, "mediaResolution": "LOW"}
    assert body["cachedContent"] == "cachedContents/1"


def test_answers_can_be_bound_to_json_and_to_a_schema() -> None:
    assert "generationConfig" not in write(format=Format("text"))
    assert write(format=Format("json"))["generationConfig"] == {"responseMimeType": "application/json"}
    schema = {"type": "object", "additionalProperties": False}
    form = Format("schema", schema, name="n", description="d", path="response_format.json_schema")
    assert write(format=form)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert lost(format=form) == ["response_format.json_schema.description"]


@pytest.mark.parametrize(("model", "bound"), [(FLASH, False), ("gemini-3-pro-preview", True)])
def test_older_models_take_tools_or_a_form(model: str, bound: bool) -> None:
    form = Format("json", path="response_format")
    assert (
        "responseMimeType" in write(model, format=form, tools=[LOOK]).get("generationConfig", {})
    ) == bound
    assert lost(model, format=form, tools=[LOOK]) == ([] if bound else ["response_format"])
    hosted = HostedTool(protocol="openai", kind="web_search", raw={}, path="tools.0")
    assert lost(model, format=form, tools=[hosted]) == ["tools.0"]


class TestThinking:
    """How much to think, by generation."""

    def written(self, model: str, reasoning: Reasoning) -> Any:
        return write(model, reasoning=reasoning).get("generationConfig", {}).get("thinkingConfig")

    @pytest.mark.parametrize(
        ("model", "reasoning", "written"),
        [
            (FLASH, Reasoning("unset", effort="low"), {"thinkingBudget": 2048}),
            (FLASH, Reasoning("unset", effort="max"), {"thinkingBudget": 24576}),
            (PRO, Reasoning("on", budget=100), {"thinkingBudget": 128, "includeThoughts": True}),
            (PRO, Reasoning("on", budget=63999), {"thinkingBudget": 32768, "includeThoughts": True}),
            (LITE, Reasoning("on", budget=100), {"thinkingBudget": 512, "includeThoughts": True}),
            (FLASH, Reasoning("adaptive"), {"thinkingBudget": -1, "includeThoughts": True}),
            (FLASH, Reasoning("on", budget=1024, summary="omitted"), {"thinkingBudget": 1024}),
            (FLASH, Reasoning("off"), {"thinkingBudget": 0}),
            (FLASH, Reasoning("off", summary="auto"), {"thinkingBudget": 0}),
            (LITE, Reasoning("unset", effort="none"), {"thinkingBudget": 0}),
            (
                NEW_FLASH,
                Reasoning("unset", effort="minimal", summary="auto"),
                {"thinkingLevel": "minimal", "includeThoughts": True},
            ),
            (NEW_PRO, Reasoning("unset", effort="minimal"), {"thinkingLevel": "low"}),
            (NEW_PRO, Reasoning("unset", effort="medium"), {"thinkingLevel": "medium"}),
            (NEW_PRO, Reasoning("unset", effort="max"), {"thinkingLevel": "high"}),
            (FIRST_PRO, Reasoning("unset", effort="medium"), {"thinkingLevel": "high"}),
            (NEW_PRO, Reasoning("on", budget=2000), {"thinkingLevel": "low", "includeThoughts": True}),
            (NEW_PRO, Reasoning("adaptive"), {"includeThoughts": True}),
            ("gemini-flash-latest", Reasoning("unset", effort="minimal"), {"thinkingLevel": "low"}),
            ("gemini-3.8-flash", Reasoning("unset", effort="minimal"), {"thinkingLevel": "low"}),
            ("gemini-3.6-flash", Reasoning("unset", effort="minimal"), {"thinkingLevel": "minimal"}),
            ("gemini-flash-lite-latest", Reasoning("unset", effort="minimal"), {"thinkingLevel": "minimal"}),
            ("models/gemini-4-pro", Reasoning("unset", effort="low"), {"thinkingLevel": "low"}),
        ],
    )
    def test_is_said_in_the_words_of_the_generation(
        self, model: str, reasoning: Reasoning, written: object
    ) -> None:
        assert self.written(model, reasoning) == written
        assert lost(model, reasoning=reasoning) == []

    @pytest.mark.parametrize(
        ("model", "written"),
        [
            (PRO, {"thinkingBudget": 128}),
            (NEW_PRO, {"thinkingLevel": "low"}),
            (NEW_FLASH, {"thinkingLevel": "minimal"}),
        ],
    )
    def test_is_as_little_as_can_be_where_it_cannot_be_none(self, model: str, written: object) -> None:
        off = Reasoning("off", path="thinking")
        assert self.written(model, off) == written
        assert lost(model, reasoning=off) == ["thinking"]

    @pytest.mark.parametrize(
        "model",
        ["gemini-2.0-flash", "gemma-3-27b-it", "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts"],
    )
    def test_is_not_mentioned_to_models_that_refuse_the_word(self, model: str) -> None:
        assert self.written(model, Reasoning("on", budget=2000)) is None
        assert lost(model, reasoning=Reasoning("on", budget=2000)) == ["reasoning"]
        assert lost(model, reasoning=Reasoning("off")) == []


class TestTools:
    """What may be called, and what has to be."""

    def test_functions_share_an_entry_and_keep_their_order(self) -> None:
        assert write(tools=[LOOK, HEAR])["tools"] == [
            {
                "functionDeclarations": [
                    {"name": "look", "description": "Looks.", "parametersJsonSchema": {"type": "object"}},
                    {"name": "hear"},
                ]
            }
        ]

    def test_a_schema_that_says_nothing_is_not_sent(self) -> None:
        (entry,) = write(tools=[FunctionTool(name="look", schema={})])["tools"]
        assert entry == {"functionDeclarations": [{"name": "look"}]}

    def test_a_tool_of_another_vendor_is_left_out_and_declared(self) -> None:
        assert lost(tools=[LOOK, SEARCH]) == ["tools.2"]
        assert len(write(tools=[LOOK, SEARCH])["tools"]) == 1

    def test_a_tool_of_googles_own_is_sent_as_it_is(self) -> None:
        own = HostedTool(protocol="google", kind="googleSearch", raw={"googleSearch": {}})
        assert write(tools=[own, LOOK], protocol="google")["tools"][0] == {"googleSearch": {}}

    @pytest.mark.parametrize(
        ("choice", "config"),
        [
            (None, None),
            (ToolChoice("auto"), {"mode": "AUTO"}),
            (ToolChoice("none"), {"mode": "NONE"}),
            (ToolChoice("required"), {"mode": "ANY"}),
            (ToolChoice("one", "hear"), {"mode": "ANY", "allowedFunctionNames": ["hear"]}),
            (ToolChoice("required", allowed=["look"]), {"mode": "ANY", "allowedFunctionNames": ["look"]}),
            (
                ToolChoice("auto", allowed=["look", "web_search"]),
                {"mode": "VALIDATED", "allowedFunctionNames": ["look"]},
            ),
        ],
    )
    def test_a_choice_is_a_mode(self, choice: ToolChoice | None, config: object) -> None:
        body = write(tools=[LOOK, HEAR], tool_choice=choice)
        assert body.get("toolConfig") == (config and {"functionCallingConfig": config})

    def test_strict_tools_are_validated(self) -> None:
        strict = FunctionTool(name="look", schema={"type": "object"}, strict=True)
        assert write(tools=[strict])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
        assert "toolConfig" not in write(tools=[strict, HEAR])

    def test_a_choice_among_no_tools_is_none(self) -> None:
        assert "toolConfig" not in write(tool_choice=ToolChoice("auto"))
        assert "toolConfig" not in write(tools=[SEARCH], tool_choice=ToolChoice("none"))

    @pytest.mark.parametrize("choice", [ToolChoice("one", "web_search"), ToolChoice("required")])
    def test_a_tool_of_another_vendor_cannot_be_forced(self, choice: ToolChoice) -> None:
        with pytest.raises(Unrepresentable, match="tool_choice"):
            write(tools=[SEARCH], tool_choice=choice)


class TestSchemas:
    """JSON schemas stay as they are, but for what is refused."""

    def test_nothing_gemini_takes_or_ignores_is_touched(self) -> None:
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
            "type": "object",
            "properties": {
                "const": {"type": ["string", "null"], "minLength": 1, "const": "a"},
                "$ref": {"$ref": "#/$defs/Node", "description": "first", "default": None},
                "any": True,
                "many": {"type": "array", "items": [{"enum": [{"$ref": 1, "type": 2}]}]},
            },
            "additionalProperties": False,
        }
        assert schemas.of_arguments(schema) == schema
        assert list(schemas.of_arguments(schema)) == list(schema)  # pyright: ignore[reportArgumentType]

    def test_a_reference_in_company_moves_into_a_choice_of_one(self) -> None:
        crowded = {"items": {"$ref": "#/$defs/A", "type": "object", "$comment": "c"}}
        assert schemas.of_arguments(crowded) == {
            "items": {"type": "object", "$comment": "c", "anyOf": [{"$ref": "#/$defs/A"}]}
        }
        choosing = {"$ref": "#/$defs/A", "anyOf": [{"type": "string"}]}
        assert schemas.of_arguments(choosing) == choosing

    @pytest.mark.parametrize(
        ("node", "written"),
        [
            ({"const": "a"}, {"type": "string", "enum": ["a"]}),
            ({"const": 1, "title": "t"}, {"type": "integer", "title": "t", "enum": [1]}),
            ({"const": 1.5, "type": "number"}, {"type": "number", "enum": [1.5]}),
            ({"const": True}, {"type": "boolean", "enum": [True]}),
            ({"const": None}, {"type": "null"}),
            ({"const": [1]}, {"const": [1]}),
        ],
    )
    def test_a_constant_of_an_answer_becomes_a_choice_of_one(self, node: object, written: object) -> None:
        assert schemas.of_answer({"anyOf": [node]}) == {"anyOf": [written]}
        assert schemas.of_arguments({"anyOf": [node]}) == {"anyOf": [node]}

    def test_the_schema_of_a_tool_is_not_changed_in_the_clients_hands(self) -> None:
        schema = {"properties": {"a": {"$ref": "#/$defs/A", "type": "object"}}}
        copy = msgspec.json.decode(msgspec.json.encode(schema))
        schemas.of_answer(schema)
        assert schema == copy


@pytest.mark.parametrize(
    ("model", "stream", "target"),
    [
        ("gemini-2.5-pro", False, ("/models/gemini-2.5-pro:generateContent", b"")),
        ("gemini-2.5-pro", True, ("/models/gemini-2.5-pro:streamGenerateContent", b"alt=sse")),
        ("models/gemini-2.5-pro", False, ("/models/gemini-2.5-pro:generateContent", b"")),
        ("tunedModels/mine", False, ("/tunedModels/mine:generateContent", b"")),
        ("../x?key=1#", False, ("/models/..%2Fx%3Fkey%3D1%23:generateContent", b"")),
    ],
)
def test_a_model_is_part_of_the_path_and_never_more(
    model: str, stream: bool, target: tuple[str, bytes]
) -> None:
    assert GoogleWire().target(model, stream=stream) == target


def test_tokens_are_counted_of_the_whole_request() -> None:
    counter = GoogleCounter()
    asked = msgspec.json.decode(counter.write_request(ask(tools=[LOOK])))
    assert counter.target(FLASH) == "/models/gemini-2.5-flash:countTokens"
    assert asked["generateContentRequest"]["model"] == "models/gemini-2.5-flash"
    assert asked["generateContentRequest"]["tools"] == write(tools=[LOOK])["tools"]
    assert counter.read_response(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31


def test_no_more_sequences_than_gemini_takes_are_stopped_at() -> None:
    assert write(stop=list("abcdef"))["generationConfig"]["stopSequences"] == list("abcde")
    assert lost(stop=list("abcdef")) == ["stop"]
