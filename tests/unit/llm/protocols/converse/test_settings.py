from typing import Any

import pytest

from nexus.llm.canonical import (
    Effort,
    FunctionTool,
    Json,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from wires.converse import (
    CLAUDE,
    CLAUDE_37,
    CLAUDE_46,
    CLAUDE_47,
    GPT,
    HAIKU_3,
    LLAMA,
    MISTRAL,
    NOVA,
    NOVA_2,
    QWEN,
    turn,
    user,
    write,
)

TOOL = FunctionTool(name="f", schema={"type": "object"}, path="tools.0")
CALL = ToolCall("t1", "f", "{}")
RESULT = ToolResult("t1", [Text("ok")], path="r")
AUTO: Json = {"auto": {}}


def fields_of(model: str, **fields: Any) -> tuple[Any, list[str]]:
    body, losses = write(model, **fields)
    return body.get("additionalModelRequestFields"), losses


def test_settings_have_their_places() -> None:
    body, losses = write(
        NOVA, max_tokens=10, temperature=0.5, top_p=0.9, top_k=7, stop=["a"], service_tier="priority"
    )
    assert body["inferenceConfig"] == {
        "maxTokens": 10,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["a"],
    }
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 7}}
    assert body["serviceTier"] == {"type": "priority"}
    assert losses == []


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        (
            {"frequency_penalty": 0.1, "presence_penalty": 0.1, "seed": 1},
            ["frequency_penalty", "presence_penalty", "seed"],
        ),
        ({"logprobs": True, "top_logprobs": 3}, ["top_logprobs", "logprobs"]),
        ({"parallel_tools": False}, ["parallel_tool_calls"]),
        ({"parallel_tools": True}, []),
        ({"verbosity": "low", "cache_key": "k", "user": "u"}, ["verbosity", "prompt_cache_key", "user"]),
        ({"service_tier": "scale"}, ["service_tier"]),
        ({"service_tier": "auto"}, []),
        ({"extras": {"logit_bias": {}}}, ["logit_bias"]),
        ({"temperature": 1.7}, ["temperature"]),
    ],
)
def test_settings_without_words_are_declared(fields: dict[str, Any], lost: list[str]) -> None:
    assert write(NOVA, **fields)[1] == lost


def test_the_highest_temperature_is_1() -> None:
    assert write(NOVA, temperature=1.7)[0]["inferenceConfig"] == {"temperature": 1.0}


def test_claude_is_asked_which_stop_sequence_it_came_upon() -> None:
    assert write(CLAUDE, stop=["a"])[0]["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in write(NOVA, stop=["a"])[0]


@pytest.mark.parametrize(
    ("model", "kept", "lost"),
    [
        (CLAUDE_37, {"temperature": 0.5, "topP": 0.9}, []),
        (CLAUDE, {"temperature": 0.5}, ["top_p"]),
        (CLAUDE_47, None, ["temperature", "top_p", "top_k"]),
        (MISTRAL, {"temperature": 0.5, "topP": 0.9}, ["top_k"]),
    ],
)
def test_sampling_is_told_as_far_as_the_model_takes_it(model: str, kept: object, lost: list[str]) -> None:
    body, losses = write(model, temperature=0.5, top_p=0.9, top_k=5)
    assert body.get("inferenceConfig") == kept
    assert losses == lost
    assert (body.get("additionalModelRequestFields") == {"top_k": 5}) == (model in (CLAUDE, CLAUDE_37))


def on(effort: Effort | None = None, budget: int | None = None, summary: str | None = None) -> Reasoning:
    return Reasoning("on", effort, budget, summary, "reasoning")


@pytest.mark.parametrize(
    ("model", "reasoning", "told"),
    [
        (CLAUDE, on("low"), {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (CLAUDE, on(budget=5000), {"thinking": {"type": "enabled", "budget_tokens": 5000}}),
        (CLAUDE, on(budget=100), {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (CLAUDE, Reasoning("adaptive"), {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        (CLAUDE_46, on("minimal"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CLAUDE_46, on("xhigh"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (CLAUDE_46, on(budget=5000), {"thinking": {"type": "enabled", "budget_tokens": 5000}}),
        (CLAUDE_46, Reasoning("unset", "low"), {"output_config": {"effort": "low"}}),
        (
            CLAUDE_47,
            on(budget=20000),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        ),
        (CLAUDE_47, on(summary="auto"), {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (CLAUDE_47, on(summary="omitted"), {"thinking": {"type": "adaptive", "display": "omitted"}}),
        (NOVA_2, on("minimal"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (GPT, on("xhigh"), {"reasoning_effort": "high"}),
        (GPT, on(), {"reasoning_effort": "medium"}),
        (QWEN, on("medium"), {"reasoning_config": "high"}),
        (CLAUDE, Reasoning("off"), None),
        (NOVA, Reasoning("off"), None),
        (GPT, on("none"), None),
    ],
)
def test_thinking_is_asked_for_in_the_words_of_each_family(
    model: str, reasoning: Reasoning, told: object
) -> None:
    assert fields_of(model, reasoning=reasoning) == (told, [])


@pytest.mark.parametrize(
    ("model", "reasoning"),
    [
        (HAIKU_3, on("low")),
        (NOVA, on("low")),
        (LLAMA, on()),
        (CLAUDE, Reasoning("unset", "low", path="reasoning")),
    ],
)
def test_thinking_is_declared_lost_where_it_cannot_be_asked_for(model: str, reasoning: Reasoning) -> None:
    assert fields_of(model, reasoning=reasoning) == (None, ["reasoning"])


def test_a_budget_leaves_room_for_the_answer() -> None:
    thinking, losses = fields_of(CLAUDE, reasoning=on(budget=9000), max_tokens=5000)
    assert thinking == {"thinking": {"type": "enabled", "budget_tokens": 4000}}
    assert losses == []
    assert fields_of(CLAUDE, reasoning=on(budget=9000), max_tokens=1024) == (None, ["reasoning"])


def test_a_model_that_thinks_is_told_nothing_that_forbids_it() -> None:
    body, losses = write(CLAUDE, tools=[TOOL], reasoning=on("low"), temperature=0.1, top_k=3)
    assert "inferenceConfig" not in body
    assert losses == ["temperature", "top_k"]


@pytest.mark.parametrize("choice", [ToolChoice("one", "f"), ToolChoice("required")])
@pytest.mark.parametrize(
    ("model", "left"), [(CLAUDE, None), (CLAUDE_46, {"output_config": {"effort": "low"}})]
)
def test_a_call_that_is_wanted_comes_before_thoughts(
    choice: ToolChoice, model: str, left: dict[str, Any] | None
) -> None:
    body, losses = write(model, tools=[TOOL], tool_choice=choice, reasoning=on("low"), temperature=0.1)
    assert body["toolConfig"]["toolChoice"] == (
        {"any": {}} if choice.mode == "required" else {"tool": {"name": "f"}}
    )
    assert body.get("additionalModelRequestFields") == left
    assert losses == ["reasoning"]


def test_claude_does_not_think_on_from_calls_whose_thoughts_are_gone() -> None:
    lost = [user("a"), turn("assistant", CALL), user(RESULT)]
    body, losses = write(CLAUDE, *lost, tools=[TOOL], reasoning=on("low"))
    assert "additionalModelRequestFields" not in body
    assert losses == ["reasoning"]
    kept = [user("a"), turn("assistant", Thinking("hm", "c2ln", origin="converse"), CALL), user(RESULT)]
    body, losses = write(CLAUDE, *kept, tools=[TOOL], reasoning=on("low"))
    assert "thinking" in body["additionalModelRequestFields"]
    assert losses == []
    assert write(CLAUDE_46, *lost, tools=[TOOL], reasoning=on("low"))[1] == []


def test_nova_takes_no_settings_with_its_highest_effort() -> None:
    body, losses = write(NOVA_2, reasoning=on("max"), max_tokens=10, temperature=0.1, stop=["a"])
    assert body["inferenceConfig"] == {"stopSequences": ["a"]}
    assert losses == ["max_tokens", "temperature"]


def test_claude_is_told_not_to_think_by_generation() -> None:
    off = Reasoning("off", "none")
    fields = "additionalModelRequestFields"
    assert fields not in write(CLAUDE, reasoning=off)[0]
    assert write("anthropic.claude-opus-5", reasoning=off)[0][fields] == {"thinking": {"type": "disabled"}}
    assert write("anthropic.claude-sonnet-5-5", reasoning=off)[0][fields] == {
        "thinking": {"type": "between_tools"}
    }
    body, losses = write("anthropic.claude-opus-5-5", reasoning=off)
    assert (body[fields], losses) == ({"output_config": {"effort": "low"}}, ["reasoning"])


def test_sequences_of_nothing_are_not_stopped_at() -> None:
    body, losses = write(CLAUDE, stop=["\n", "END"])
    assert (body["inferenceConfig"]["stopSequences"], losses) == (["END"], ["stop"])
    body, losses = write(NOVA, stop=["\n", ""])
    assert (body["inferenceConfig"]["stopSequences"], losses) == (["\n"], ["stop"])


def test_no_more_tokens_are_asked_for_than_a_model_gives() -> None:
    for model, most in ((NOVA, 10000), (HAIKU_3, 4096), (CLAUDE, 64000), (QWEN, 100000)):
        assert write(model, max_tokens=100000)[0]["inferenceConfig"]["maxTokens"] == most
