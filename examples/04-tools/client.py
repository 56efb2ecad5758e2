"""Have a model call a function of ours, then answer by a schema."""

import sys
from typing import Any

from openai import OpenAI

city: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
report: Any = {"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]}
tool: Any = {"type": "function", "function": {"name": "weather", "parameters": city}}
model, messages = "anthropic/claude-sonnet-4-5", list[Any]()
messages.append({"role": "user", "content": "How warm is it in Paris?"})

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
with OpenAI(base_url=f"{url}/llm/openai/v1", api_key="not-used") as client:
    asked = client.chat.completions.create(model=model, messages=messages, tools=[tool]).choices[0].message
    messages.append(asked)
    for call in asked.tool_calls or []:
        if call.type == "function":
            print("called:", call.function.name, call.function.arguments)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees, sunny"})
    schema: Any = {"type": "json_schema", "json_schema": {"name": "report", "schema": report}}
    answer = client.chat.completions.create(
        model=model, messages=messages, tools=[tool], response_format=schema
    )
    print("answer:", answer.choices[0].message.content)
