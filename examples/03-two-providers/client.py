"""Ask two vendors by one client, and see what the second has no words for."""

import sys

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
with OpenAI(base_url=f"{url}/llm/openai/v1", api_key="not-used") as client:
    for model in ("openai/fast", "anthropic/careful"):
        raw = client.chat.completions.with_raw_response.create(
            model=model, seed=7, messages=[{"role": "user", "content": "Who are you?"}]
        )
        answer = raw.parse()
        print(f"{answer.model}: {answer.choices[0].message.content}")
        print(f"  left out: {raw.headers.get('x-nexus-dropped', 'nothing')}")
