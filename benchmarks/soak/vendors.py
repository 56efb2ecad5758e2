"""What the mock provider says, in the words of three vendors. A reader can tell from the text alone whose answer it is."""

from collections.abc import Callable, Mapping

import msgspec

Json = dict[str, object]
_INPUT = 7
"""Tokens every request is said to have had."""


def pieces(number: int, words: int) -> list[str]:
    """Give the text of one answer, word by word."""
    return [f"{number}.{at} " for at in range(words)]


def text(number: int, words: int) -> str:
    """Give the whole text of one answer."""
    return "".join(pieces(number, words))


def vector(number: int, words: int) -> list[float]:
    """Give the embedding of one text."""
    return [float(number), float(words)]


def counted(number: int) -> int:
    """Give the count of tokens of one request."""
    return number % 1000 + 1


def openai(number: int, words: int) -> Json:
    """Answer a chat of OpenAI's as a whole."""
    message = {"role": "assistant", "content": text(number, words)}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": _INPUT, "completion_tokens": words, "total_tokens": _INPUT + words},
    }


def openai_events(number: int, words: int) -> list[bytes]:
    """Stream one."""
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}

    def event(delta: Json, finish: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    said = [event({"content": one}) for one in pieces(number, words)]
    return [event({"role": "assistant", "content": ""}), *said, event({}, "stop"), b"data: [DONE]\n\n"]


def anthropic(number: int, words: int) -> Json:
    """Answer a message of Anthropic's as a whole."""
    return {
        **_message(number),
        "content": [{"type": "text", "text": text(number, words)}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": _INPUT, "output_tokens": words},
    }


def anthropic_events(number: int, words: int) -> list[bytes]:
    """Stream one."""

    def event(kind: str, **more: object) -> bytes:
        return b"event: %s\n" % kind.encode() + _data({"type": kind, **more})

    def delta(one: str) -> bytes:
        return event("content_block_delta", index=0, delta={"type": "text_delta", "text": one})

    end: Json = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        event("message_start", message={**_message(number), "content": [], "stop_reason": None}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *map(delta, pieces(number, words)),
        event("content_block_stop", index=0),
        event("message_delta", delta=end, usage={"output_tokens": words}),
        event("message_stop"),
    ]


def google(number: int, words: int) -> Json:
    """Answer a request of Gemini's as a whole."""
    return _candidate(number, text(number, words), "STOP", words)


def google_events(number: int, words: int) -> list[bytes]:
    """Stream one."""
    *most, last = pieces(number, words)
    said = [_data(_candidate(number, one, None, 0)) for one in most]
    return [*said, _data(_candidate(number, last, "STOP", words))]


def embedding(number: int, words: int) -> Json:
    """Embed a text, as OpenAI does."""
    data = [{"object": "embedding", "index": 0, "embedding": vector(number, words)}]
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": "embedder", "usage": usage}


def count(number: int, _words: int) -> Json:
    """Count tokens, as Anthropic does."""
    return {"input_tokens": counted(number)}


WHOLE: Mapping[str, Callable[[int, int], Json]] = {
    "/openai/chat/completions": openai,
    "/openai/embeddings": embedding,
    "/anthropic/messages": anthropic,
    "/anthropic/messages/count_tokens": count,
    "/google/models/gemini:generateContent": google,
}
EVENTS: Mapping[str, Callable[[int, int], list[bytes]]] = {
    "/openai/chat/completions": openai_events,
    "/anthropic/messages": anthropic_events,
    "/google/models/gemini:streamGenerateContent": google_events,
}
MODELS: Mapping[str, Json] = {
    "/openai/models": {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1, "owned_by": "soak"}
            for name in ("gpt-4o", "small", "embedder")
        ],
    },
    "/anthropic/models": {
        "data": [
            {"type": "model", "id": "claude", "display_name": "C", "created_at": "2026-01-01T00:00:00Z"}
        ],
        "has_more": False,
        "first_id": "claude",
        "last_id": "claude",
    },
    "/google/models": {
        "models": [
            {
                "name": "models/gemini",
                "displayName": "G",
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
        ]
    },
}


def _data(body: Json) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _message(number: int) -> Json:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "stop_sequence": None,
        "usage": {"input_tokens": _INPUT, "output_tokens": 1},
    }


def _candidate(number: int, said: str, finish: str | None, words: int) -> Json:
    one: Json = {"index": 0, "content": {"role": "model", "parts": [{"text": said}]}}
    if finish is not None:
        one["finishReason"] = finish
    usage = {"promptTokenCount": _INPUT, "candidatesTokenCount": words, "totalTokenCount": _INPUT + words}
    return {
        "candidates": [one],
        "usageMetadata": usage,
        "modelVersion": "gemini",
        "responseId": str(number),
    }
