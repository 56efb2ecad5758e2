"""Ask three times, then read what was counted."""

import sys

import httpx2

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
body = {"model": "echo/echo", "messages": [{"role": "user", "content": "one two three"}]}

with httpx2.Client(base_url=url) as client:
    for _ in range(3):
        client.post("/llm/openai/v1/chat/completions", json=body).raise_for_status()
    for line in client.get("/metrics").text.splitlines():
        if line.startswith("gen_ai_client") and ("_count{" in line or "_sum{" in line) and "token" in line:
            print(line)
