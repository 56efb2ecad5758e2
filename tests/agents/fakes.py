"""A gateway that answers what a test tells it to, over a real socket, on a thread of its own."""

import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from nexus_agents.adapters import AMBIENT
from nexus_agents.adapters.base import Completion, Listed, Prompt, Usage
from nexus_agents.offers import Offer
from nexus_agents.registry import Profile


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    @property
    def model(self) -> str:
        return self.json["model"]

    @property
    def system(self) -> str:
        return next((m["content"] for m in self.json["messages"] if m["role"] == "system"), "")

    @property
    def text(self) -> str:
        return self.json["messages"][-1]["content"]


@dataclass(frozen=True)
class Told:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])


def said(
    text: str,
    *,
    model: str = "told-model",
    tokens: tuple[int, int] = (10, 5),
    finish: str = "stop",
    cost: float | None = None,
    tool_calls: list[dict[str, Any]] | None = None,
) -> Told:
    """Answer with a chat completion."""
    usage: dict[str, Any] = {
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": sum(tokens),
    }
    if cost is not None:
        usage["cost"] = cost
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = tool_calls
    choice = {"index": 0, "message": message, "finish_reason": finish}
    answer = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }
    return Told(body=msgspec.json.encode(answer))


def failed(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Told:
    """Answer with an error."""
    error = {"error": {"message": message, "type": "error", "code": code}}
    return Told(
        status, msgspec.json.encode(error), {name.replace("_", "-"): value for name, value in headers.items()}
    )


def listing(*models: str | dict[str, Any]) -> Told:
    """Answer with a model list."""
    rows = [{"id": one, "object": "model"} if isinstance(one, str) else one for one in models]
    return Told(body=msgspec.json.encode({"object": "list", "data": rows}))


def free(model: str, **more: Any) -> dict[str, Any]:
    """Write a catalogue row of a model that costs nothing."""
    return {"id": model, "context_length": 131072, "pricing": {"prompt": "0", "completion": "0"}, **more}


def paid(model: str, prompt: float, completion: float, **more: Any) -> dict[str, Any]:
    """Write a catalogue row with dollars for a million tokens."""
    pricing = {"prompt": str(prompt / 1e6), "completion": str(completion / 1e6)}
    return {"id": model, "context_length": 131072, "pricing": pricing, **more}


Script = Callable[[Asked], Told]


@contextmanager
def listening(server: ThreadingHTTPServer) -> Generator[None]:
    """Serve on a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Gateway:
    """Listens on a free port; `script` answers chat completions, `models` the list."""

    def __init__(self, script: Script, models: Told | None = None) -> None:
        self.script = script
        self.models = models or listing("told-model")
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                told = gateway.answer(Asked(self.command, self.path, headers, body))
                self.send_response(told.status)
                for name, value in {"content-type": "application/json", **told.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            do_GET = do_POST = _serve

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Asked]:
        return [one for one in self.asked if one.path.endswith("/chat/completions")]

    def answer(self, asked: Asked) -> Told:
        with self._lock:
            self.asked.append(asked)
        if asked.path.endswith("/chat/completions"):
            return self.script(asked)
        if re.search(r"/models$", asked.path):
            return self.models
        return failed(404, "no such path")

    @contextmanager
    def listening(self) -> "Generator[Gateway]":
        with listening(self._server):
            yield self


def environment(home: Any, **more: str) -> dict[str, str]:
    """Make an environment with nothing in it but what a test says: a gateway that happens to run here is not found."""
    return {
        "HOME": str(home),
        "PATH": "/nonexistent",
        "NEXUS_DATA_DIR": f"{home}/data",
        "NEXUS_LISTEN_ADDRESS": "127.0.0.1:1",
        **more,
    }


def custom(home: Any, gateway: Gateway, **more: str) -> dict[str, str]:
    """Make the environment of path B."""
    return environment(
        home,
        NEXUS_CUSTOM_API_BASE_URL=gateway.url,
        NEXUS_CUSTOM_API_KEY="sk-custom-secret",
        NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
        **more,
    )


def openrouter(home: Any, gateway: Gateway, **more: str) -> dict[str, str]:
    """Make the environment of path A."""
    return environment(
        home,
        OPENROUTER_API_KEY="sk-or-v1-secret",
        OPENROUTER_BASE_URL=gateway.url,
        NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
        **more,
    )


class FakeAdapter:
    """An adapter without a network: answers what it is told, in turn; an exception is raised."""

    has_tools = True
    host = "fake.test"

    def __init__(
        self,
        name: str = "fake",
        *answers: Completion | Exception | str,
        listed: Sequence[Listed] = (Listed(id="fake-model"),),
        pinned: str = "",
        then: Completion | str | Exception = "fine",
    ) -> None:
        self.name = name
        self.title = name.title()
        self.pinned = pinned
        self.prompts: list[Prompt] = []
        self._answers = list(answers)
        self._then = then
        self._listed = listed

    async def models(self) -> Sequence[Listed]:
        return self._listed

    async def complete(self, prompt: Prompt) -> Completion:
        self.prompts.append(prompt)
        answer = self._answers.pop(0) if self._answers else self._then
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            used = Usage(input_tokens=10, output_tokens=5)
            return Completion(text=answer, model=prompt.model, usage=used)
        return answer

    async def close(self) -> None: ...


def offer(adapter: FakeAdapter, model: str = "fake-model", **profile: Any) -> Offer:
    """Offer a model of a fake adapter."""
    known = Profile(id=f"{adapter.name}/{model}", adapter=adapter.name, model=model, **profile)
    return Offer(adapter, known, AMBIENT)
