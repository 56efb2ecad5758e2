"""Ask without a token, then with one."""

import sys

import httpx2

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
body = {"model": "echo/echo", "messages": [{"role": "user", "content": "Hello"}]}

with httpx2.Client(base_url=url) as client:
    refused = client.post("/llm/openai/v1/chat/completions", json=body)
    print(refused.status_code, refused.headers["www-authenticate"])

    issuer = client.get("/.well-known/oauth-protected-resource").json()["authorization_servers"][0]
    token = httpx2.get(f"{issuer}token").text
    client.headers["authorization"] = f"Bearer {token}"
    answer = client.post("/llm/openai/v1/chat/completions", json=body).json()
    print(answer["choices"][0]["message"]["content"])
    for limit in client.get("/v1/limits").json()["limits"]:
        print(f"{limit['model']}: {limit['remaining']} of {limit['limit']} {limit['tokens']} tokens left")
