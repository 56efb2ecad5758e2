"""A request of a client into the canonical model.

https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import get_args

from nexus.errors import InvalidRequest
from nexus.llm.canonical import ChatRequest, Effort, Format, Json, Reasoning, Text, Turn
from nexus.llm.protocols.node import Node, array_of, object_of
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.input_reader import CURE, InputReader
from nexus.llm.protocols.responses.tools import Names, read_choice, read_tools

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
"""What a client asks to be included. Signatures of thoughts are always given."""
_STATE = ("previous_response_id", "conversation", "prompt")
_IDLE: dict[str, tuple[Json, ...]] = {
    "background": (False,),
    "store": (False,),
    "truncation": ("disabled",),
    "service_tier": ("auto",),
}
"""Settings and those values of them that ask for nothing."""
_FOR_THE_VENDOR = ("client_metadata", "stream_options")
"""What concerns the vendor's own books and wires, and no answer."""
_EFFORTS: dict[str, Effort] = {effort: effort for effort in get_args(Effort)}


def read_request(body: bytes, *, stateful: bool) -> ChatRequest:
    """Read a request; `stateful` if the provider keeps this protocol's state, so that nothing is refused or left out.

    Raises:
        InvalidRequest: it breaks a rule of the protocol, or needs state where there is none.
    """
    root = Node.of(body)
    model = root.needed("model")
    if not stateful:
        _refuse_state(root)
    tools, names = read_tools(_tool_nodes(root, stateful=stateful))
    nested: dict[str, Json] = {}
    """Fields within others that nobody takes, by path."""
    verbosity, form = _read_text(root, nested)
    return ChatRequest(
        protocol=NAME,
        model=model,
        turns=_read_turns(root, names, stateful=stateful),
        stream=root.flag("stream") or False,
        max_tokens=root.integer("max_output_tokens"),
        temperature=root.number("temperature"),
        top_p=root.number("top_p"),
        logprobs=_read_include(root, stateful=stateful),
        top_logprobs=root.integer("top_logprobs"),
        tools=tools,
        tool_choice=read_choice(root, tools, names, stateful=stateful),
        parallel_tools=root.flag("parallel_tool_calls"),
        reasoning=_read_reasoning(root, nested),
        verbosity=verbosity,
        format=form,
        service_tier=root.text("service_tier"),
        user=_read_user(root, stateful=stateful),
        cache_key=root.text("prompt_cache_key"),
        extras={**root.rest(), **nested},
    )


def _refuse_state(root: Node) -> None:
    for name in _STATE:
        if root.peek(name) is not None:
            raise InvalidRequest(f"{name}: nothing is kept between requests here; {CURE}")
    if root.peek("background") is True:
        raise InvalidRequest(
            "background: answers are not kept here; use a provider that speaks the Responses API"
        )
    for name, values in _IDLE.items():
        if root.peek(name) in values:
            root.take(name)
    for name in _FOR_THE_VENDOR:
        root.take(name)


def _tool_nodes(root: Node, *, stateful: bool) -> list[Node]:
    """Take the tools, for providers without state also those that are told in the course of the conversation."""
    nodes = root.nodes("tools")
    if stateful:
        return nodes
    known = {_named(node) for node in nodes}
    for number, value in enumerate(array_of(root.peek("input"))):
        item = object_of(value) or {}
        if item.get("type") == "additional_tools":
            told = Node(item, f"input.{number}").nodes("tools")
            nodes += [node for node in told if _named(node) not in known]
            known |= {_named(node) for node in told}
    return nodes


def _named(tool: Node) -> tuple[str, str]:
    return str(tool.peek("type")), str(tool.peek("name"))


def _read_turns(root: Node, names: Names, *, stateful: bool) -> list[Turn]:
    turns: list[Turn] = []
    if instructions := root.text("instructions"):
        turns.append(Turn("system", [Text(instructions, path="instructions")], "instructions"))
    given = root.peek("input")
    if type(given) is str:
        root.take("input")
        return [*turns, Turn("user", [Text(given, path="input")], "input")]
    if not given and not stateful:
        raise InvalidRequest("input: must be a string or an array of items, and not empty")
    reader = InputReader(names, stateful=stateful)
    for item in root.nodes("input"):
        reader.read(item)
    return turns + reader.turns()


def _read_include(root: Node, *, stateful: bool) -> bool:
    """Tell whether probabilities are asked for; what else is asked for stays, as far as it is not given anyway."""
    include = array_of(root.peek("include"))
    if not stateful and not [one for one in include if one not in (LOGPROBS, ENCRYPTED)]:
        root.take("include")
    return LOGPROBS in include


def _read_user(root: Node, *, stateful: bool) -> str | None:
    """Take who the client's user is; `user` is the old name of it."""
    user = root.text("safety_identifier")
    return user if user is not None or stateful else root.text("user")


def _read_reasoning(root: Node, nested: dict[str, Json]) -> Reasoning | None:
    node = root.node("reasoning")
    if node is None:
        return None
    named = node.text("effort")
    effort = None if named is None else _EFFORTS.get(named)
    summary = node.text("summary") or node.text("generate_summary")
    nested |= {node.at(name): value for name, value in node.rest().items()}
    if effort is None and named is not None:
        raise node.fail("effort", f"must be one of {', '.join(_EFFORTS)}")
    if effort is None and summary is None:
        return None
    mode = "adaptive" if effort is None else "off" if effort == "none" else "on"
    return Reasoning(mode, effort, summary=summary, path="reasoning")


def _read_text(root: Node, nested: dict[str, Json]) -> tuple[str | None, Format | None]:
    """Take how wordy the answer should be, and its form."""
    text = root.node("text")
    if text is None:
        return None, None
    verbosity, form = text.text("verbosity"), text.node("format")
    nested |= {text.at(name): value for name, value in text.rest().items()}
    return verbosity, None if form is None else _read_format(form, nested)


def _read_format(node: Node, nested: dict[str, Json]) -> Format:
    match node.needed("type"):
        case "text":
            found = Format("text", path=node.path)
        case "json_object":
            found = Format("json", path=node.path)
        case "json_schema":
            name, description = node.text("name") or "", node.text("description") or ""
            schema, strict = node.take("schema"), node.flag("strict")
            found = Format("schema", schema, name, description, strict, node.path)
        case _:
            raise node.fail("type", "must be text, json_object or json_schema")
    nested |= {node.at(name): value for name, value in node.rest().items()}
    return found
