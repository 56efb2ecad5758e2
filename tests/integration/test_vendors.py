"""SDKs nobody here wrote, in every language of clients, before every vendor's API: tool loops, thoughts, schemas, errors."""

import re
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from vendors import CLIENTS, MODELS, Vendors, javascript, node, vendors

QUESTION = "What is the weather in Paris, Rome and Bern?"
DEGREES = {"Paris": 21, "Rome": 28, "Bern": 14}
ANSWER = "Paris 21, Rome 28, Bern 14."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Tell the weather", "parameters": SCHEMA}
every_vendor = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


class City(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Vendors]:
    with vendors(CLIENTS / "sdks.json", tmp_path_factory.mktemp("vendors")) as running:
        yield running


def weather(arguments: dict[str, Any]) -> str:
    return f"{DEGREES[arguments['city']]} in {arguments['city']}"


def decoded(arguments: str) -> dict[str, Any]:
    return msgspec.json.decode(arguments)


def assert_everything_arrived(served: Vendors) -> None:
    """Look at what the vendor was told last: all calls, and the result of each after it."""
    said = served.told()[-1]["messages"]
    calls = [call["id"] for one in said for call in one.get("tool_calls") or ()]
    results = {one["tool_call_id"]: str(one["content"]) for one in said if one["role"] == "tool"}
    assert sorted(results) == sorted(calls)
    assert ["21" in results[calls[0]], "28" in results[calls[1]], "14" in results[calls[2]]] == [True] * 3


@every_vendor
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_tool_loop_of_the_openai_chat_client(served: Vendors, model: str, stream: bool) -> None:
    sdk = pytest.importorskip("openai")
    tools = [{"type": "function", "function": FUNCTION}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    counts: list[int] = []
    with sdk.OpenAI(base_url=f"{served.nexus}/llm/openai/v1", api_key="k", max_retries=0) as client:
        while True:
            if stream:
                with client.chat.completions.stream(model=model, messages=messages, tools=tools) as events:
                    answer = events.get_final_completion()
            else:
                answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
            assert answer.model == model
            message = answer.choices[0].message
            if not message.tool_calls:
                break
            counts.append(len(message.tool_calls))
            messages.append(message.to_dict())
            for call in message.tool_calls:
                told = weather(decoded(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
    assert (counts, message.content, answer.choices[0].finish_reason) == ([2, 1], ANSWER, "stop")
    assert_everything_arrived(served)


@every_vendor
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_tool_loop_of_the_responses_client(served: Vendors, model: str, stream: bool) -> None:
    sdk = pytest.importorskip("openai")
    tools = [{"type": "function", "strict": False, **FUNCTION}]
    items: list[Any] = [{"role": "user", "content": QUESTION}]
    asked = {"model": model, "input": items, "tools": tools, "store": False, "reasoning": {"effort": "low"}}
    counts: list[int] = []
    with sdk.OpenAI(base_url=f"{served.nexus}/llm/openai/v1", api_key="k", max_retries=0) as client:
        while True:
            if stream:
                with client.responses.stream(**asked) as events:
                    answer = events.get_final_response()
            else:
                answer = client.responses.create(**asked)
            calls = [item for item in answer.output if item.type == "function_call"]
            items.extend(item.to_dict() for item in answer.output)
            if not calls:
                break
            counts.append(len(calls))
            for call in calls:
                told = weather(decoded(call.arguments))
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": told})
    assert (counts, answer.output_text, answer.status) == ([2, 1], ANSWER, "completed")
    assert_everything_arrived(served)


@every_vendor
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_tool_loop_of_the_anthropic_client(served: Vendors, model: str, stream: bool) -> None:
    sdk = pytest.importorskip("anthropic")
    tools = [{"name": "get_weather", "description": "Tell the weather", "input_schema": SCHEMA}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    asked: dict[str, Any] = {"model": model, "max_tokens": 4096, "messages": messages, "tools": tools}
    asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    kinds: list[list[str]] = []
    with sdk.Anthropic(base_url=f"{served.nexus}/llm/anthropic", api_key="k", max_retries=0) as client:
        while True:
            if stream:
                with client.messages.stream(**asked) as events:
                    answer = events.get_final_message()
            else:
                answer = client.messages.create(**asked)
            assert answer.model == model
            kinds.append([block.type for block in answer.content])
            messages.append({"role": "assistant", "content": [block.to_dict() for block in answer.content]})
            calls = [block for block in answer.content if block.type == "tool_use"]
            if not calls:
                break
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": weather(call.input)}
                for call in calls
            ]
            messages.append({"role": "user", "content": results})
    assert kinds[0] == ["thinking", "tool_use", "tool_use"]
    assert kinds[1][-2:] == ["text", "tool_use"]
    assert (answer.content[-1].text, answer.stop_reason) == (ANSWER, "end_turn")
    assert_everything_arrived(served)


@pytest.mark.parametrize("model", [model for way, model in MODELS.items() if way != "anthropic"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_tools_run_by_the_anthropic_client_itself(served: Vendors, model: str, stream: bool) -> None:
    """It asks for a thread, is told that there is none, and sends everything; aimock pretends to keep one for Anthropic."""
    sdk = pytest.importorskip("anthropic")

    @sdk.beta_tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        return weather({"city": city})

    question = [{"role": "user", "content": QUESTION}]
    with sdk.Anthropic(base_url=f"{served.nexus}/llm/anthropic", api_key="k", max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            model=model, max_tokens=999, messages=question, tools=[get_weather], stream=stream
        )
        assert runner.until_done().content[-1].text == ANSWER
    assert_everything_arrived(served)


@every_vendor
def test_an_answer_by_a_schema(served: Vendors, model: str) -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    question = [{"role": "user", "content": "Name a city"}]
    with openai.OpenAI(base_url=f"{served.nexus}/llm/openai/v1", api_key="k", max_retries=0) as client:
        chat = client.chat.completions.parse(model=model, messages=question, response_format=City)
        assert chat.choices[0].message.parsed == City(city="Paris", degrees=21)
        response = client.responses.parse(model=model, input=question, text_format=City)
        assert response.output_parsed == City(city="Paris", degrees=21)
    with anthropic.Anthropic(base_url=f"{served.nexus}/llm/anthropic", api_key="k", max_retries=0) as client:
        message = client.messages.parse(model=model, max_tokens=99, messages=question, output_format=City)
        assert message.parsed_output == City(city="Paris", degrees=21)


@every_vendor
def test_a_refusal_arrives_as_the_clients_own_error(served: Vendors, model: str) -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    question: list[Any] = [{"role": "user", "content": "slow"}]
    with openai.OpenAI(base_url=f"{served.nexus}/llm/openai/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="slow down") as refused:
            client.chat.completions.create(model=model, messages=question)
        assert refused.value.response.headers["retry-after"] == "1"
        with pytest.raises(openai.RateLimitError, match="slow down"):
            client.responses.create(model=model, input=question, stream=True)
    with anthropic.Anthropic(base_url=f"{served.nexus}/llm/anthropic", api_key="k", max_retries=0) as client:
        with pytest.raises(anthropic.RateLimitError, match="slow down"):
            client.messages.create(model=model, max_tokens=99, messages=question)


@every_vendor
@pytest.mark.parametrize("way", ["chat", "responses", "anthropic"])
def test_langchain(served: Vendors, model: str, way: str) -> None:
    messages = pytest.importorskip("langchain_core.messages")
    chat = _langchain(served, model, way)
    bound = chat.bind_tools([FUNCTION])
    said: list[Any] = [messages.HumanMessage(QUESTION)]
    counts: list[int] = []
    while (answer := _gathered(bound.stream(said))).tool_calls:
        counts.append(len(answer.tool_calls))
        said.append(answer)
        said += [
            messages.ToolMessage(weather(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls
        ]
    assert (counts, answer.text) == ([2, 1], ANSWER)
    assert_everything_arrived(served)
    found = chat.with_structured_output(City, method="json_schema").invoke("Name a city")
    assert found == City(city="Paris", degrees=21)


def _langchain(served: Vendors, model: str, way: str) -> Any:
    if way == "anthropic":
        module = pytest.importorskip("langchain_anthropic")
        return module.ChatAnthropic(
            model=model, base_url=f"{served.nexus}/llm/anthropic", api_key="k", max_retries=0, max_tokens=999
        )
    module = pytest.importorskip("langchain_openai")
    return module.ChatOpenAI(
        model=model,
        base_url=f"{served.nexus}/llm/openai/v1",
        api_key="k",
        max_retries=0,
        use_responses_api=way == "responses",
    )


def _gathered(chunks: Any) -> Any:
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole


@pytest.mark.parametrize("page", ["openai-sdk", "anthropic-sdk", "langchain"])
def test_what_the_pages_show_runs(served: Vendors, page: str) -> None:
    text = (CLIENTS.parents[1] / "docs" / "how-to" / "clients" / f"{page}.md").read_text()
    shown = re.findall(r"^```(python|js)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert shown
    for language, code in shown:
        ended = subprocess.run(
            [sys.executable, "-"] if language == "python" else [node(), "--input-type=module", "-"],
            input=code.replace("http://127.0.0.1:8000", served.nexus),
            cwd=CLIENTS,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "Hello from the other side." in ended.stdout


def test_the_javascript_clients_run_tools_by_themselves(served: Vendors) -> None:
    told = javascript("tools.mjs", served.nexus, *MODELS.values())
    every = {"chat": ANSWER, "messages": ANSWER, "responses": '{"city":"Paris","degrees":21}'}
    assert told == dict.fromkeys(MODELS.values(), every)
