"""What servers of the OpenAI chat protocol do differently."""

from typing import Literal

import msgspec

PROTOCOL = "openai"
"""Who signed a thought or wrote a part, where it came by this protocol."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one server wants its requests; the defaults are OpenAI's own API."""

    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """How the limit of the answer is called. Only OpenAI has left `max_tokens` behind."""
    developer_role: bool = True
    """Whether there is one; else its messages are the system's."""
    stream_usage: bool = True
    """Whether a stream can be asked for its usage."""
    reasoning_field: Literal["reasoning_content", "reasoning", "reasoning_details"] | None = None
    """Where thoughts of earlier turns go: DeepSeek, Kimi and llama.cpp read the first, Groq and vLLM the second,
    OpenRouter the third, which alone takes signatures; OpenAI reads none."""
    cache_control: bool = False
    """Whether content and tools may carry marks for a prompt cache, as OpenRouter has them for Anthropic's models."""
    top_k: bool = False
    most_stops: int | None = 4
    """How many sequences to stop at it takes; None for as many as there are."""
    custom_tools: bool = True
    """Whether there are tools of free text, and choices among some of the tools; else both are told in other words."""


COMPATIBLE = Options(
    max_tokens="max_tokens",
    developer_role=False,
    reasoning_field="reasoning_content",
    top_k=True,
    most_stops=None,
    custom_tools=False,
)
"""For a server of one's own: vLLM, llama.cpp, Ollama and LiteLLM take these, or pass over what they do not know."""
