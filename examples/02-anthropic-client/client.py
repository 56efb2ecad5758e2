"""Ask a model of OpenAI through the official Anthropic client: whole, then streamed."""

import sys

from anthropic import Anthropic

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
with Anthropic(base_url=f"{url}/llm/anthropic", api_key="not-used") as client:
    answer = client.messages.create(
        model="openai/gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "What is 2+2?"}]
    )
    for block in answer.content:
        print(block.text if block.type == "text" else block.type)
    print(answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens)

    with client.messages.stream(
        model="openai/gpt-4o", max_tokens=100, messages=[{"role": "user", "content": "And 3+3?"}]
    ) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
    print()
