"""A client's chat request. https://platform.openai.com/docs/api-reference/chat/create."""

from typing import get_args

from nexus.llm.canonical import ChatRequest, Effort, Format, Json, Reasoning
from nexus.llm.protocols.node import Node
from nexus.llm.protocols.openai.message_reader import read_turns
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.tools import LEGACY, read_choice, read_tools

_EFFORTS: dict[str, Effort] = {effort: effort for effort in get_args(Effort)}
_MEANINGLESS: dict[str, Json] = {
    "n": 1,
    "store": False,
    "modalities": ["text"],
    "metadata": {},
    "logit_bias": {},
}
"""Fields that say what holds without them: nothing is lost where they are not passed on."""


def read_request(body: bytes) -> ChatRequest:
    """Read a request.

    Raises:
        InvalidRequest: it breaks a rule of the protocol; the text names the JSON path.
    """
    node = Node.of(body)
    for name, value in _MEANINGLESS.items():
        if node.peek(name) == value:
            node.take(name)
    limit = node.integer("max_tokens")
    newer = node.integer("max_completion_tokens")
    legacy = bool(node.peek(LEGACY))
    parallel = node.flag("parallel_tool_calls")
    request = ChatRequest(
        protocol=PROTOCOL,
        model=node.needed("model"),
        turns=read_turns(node),
        stream=node.flag("stream") or False,
        stream_usage=_stream_usage(node),
        max_tokens=limit if newer is None else newer,
        temperature=node.number("temperature"),
        top_p=node.number("top_p"),
        top_k=node.integer("top_k"),
        frequency_penalty=node.number("frequency_penalty"),
        presence_penalty=node.number("presence_penalty"),
        stop=node.texts("stop"),
        seed=_seed(node),
        logprobs=node.flag("logprobs") or False,
        top_logprobs=node.integer("top_logprobs"),
        tools=read_tools(node),
        tool_choice=read_choice(node),
        parallel_tools=False if legacy else parallel,  # an old client has room for one call
        format=_format(node),
        reasoning=_reasoning(node),
        verbosity=node.text("verbosity"),
        service_tier=node.text("service_tier"),
        user=node.text("user") or node.text("safety_identifier"),
        cache_key=node.text("prompt_cache_key"),
    )
    request.extras = node.rest()
    return request


def _stream_usage(node: Node) -> bool:
    """Tell whether the usage is wanted in a chunk of its own.

    What else the options say is about the stream between client and server, and a stream of ours is written anew.
    """
    options = node.node("stream_options")
    return options is not None and options.flag("include_usage") is True


def _seed(node: Node) -> int | None:
    seed = node.number("seed")
    if isinstance(seed, float):
        raise node.fail("seed", "must be a whole number")
    return seed


def _format(node: Node) -> Format | None:
    """Take the form of the answer; a form only some servers know stays in the request."""
    form = node.peek("response_format")
    if isinstance(form, dict) and form.get("type") not in ("text", "json_object", "json_schema", None):  # pyright: ignore[reportUnknownMemberType]  # any JSON
        return None
    outer = node.node("response_format")
    if outer is None:
        return None
    match outer.text("type"):
        case "text" | None:
            return Format("text", path=outer.path)
        case "json_object":
            return Format("json", path=outer.path)
        case _:
            return _schema(outer)


def _schema(outer: Node) -> Format:
    inner = outer.node("json_schema")
    if inner is None:
        raise outer.fail("json_schema", "is missing")
    return Format(
        "schema",
        schema=inner.take("schema"),
        name=inner.text("name") or "",
        description=inner.text("description") or "",
        strict=inner.flag("strict"),
        path=outer.path,
    )


def _reasoning(node: Node) -> Reasoning | None:
    """Take the effort; a word only some servers know stays in the request."""
    effort = node.peek("reasoning_effort")
    known = _EFFORTS.get(effort) if isinstance(effort, str) else None
    if known is None:
        return None
    node.take("reasoning_effort")
    return Reasoning("off" if known == "none" else "on", known, path="reasoning_effort")
