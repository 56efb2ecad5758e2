"""Send headers, and see which arrive."""

import sys

import httpx2

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
body = {"model": "shown/mirror", "messages": [{"role": "user", "content": "What do you see?"}]}
headers = {
    "X-Tenant": "red",
    "X-Trace-Step": "1",
    "X-Private": "stays here",
    "Authorization": "Bearer secret",
}

answer = httpx2.post(f"{url}/llm/openai/v1/chat/completions", json=body, headers=headers)
print(answer.json()["choices"][0]["message"]["content"])
