"""Ask a model through Nexus with the official OpenAI client: whole, then streamed."""

import sys

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
client = OpenAI(base_url=f"{url}/llm/openai/v1", api_key="not-used")
model = next(model.id for model in client.models.list() if model.owned_by in ("local", "nexus"))

answer = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "What is 2+2?"}], max_tokens=40
)
print(answer.choices[0].message.content)

question = "Write one sentence about the sea."
with client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": question}], max_tokens=60, stream=True
) as stream:
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
