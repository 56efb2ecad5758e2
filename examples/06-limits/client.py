"""Use up a limit on tokens, then one on requests."""

import sys

import httpx2

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
words = "These are many more words than the few tokens that are left to us, whoever counts them."

with httpx2.Client(base_url=url, headers={"X-Client-ID": "alice"}) as client:
    for text in ("Hello", words, "Hello", "Hello"):
        body = {"model": "echo/echo", "messages": [{"role": "user", "content": text}]}
        answer = client.post("/llm/openai/v1/chat/completions", json=body)
        left = answer.headers.get("x-ratelimit-remaining")
        print(answer.status_code, f"left: {left}", answer.text[:60])
