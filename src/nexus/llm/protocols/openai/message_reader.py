"""The messages of a client, each as a turn of its own."""

from msgspec import structs

from nexus.llm.canonical import AnyPart, Opaque, Refusal, Thinking, ToolCall, ToolResult, Turn
from nexus.llm.protocols import signature
from nexus.llm.protocols.node import Node
from nexus.llm.protocols.openai import loose
from nexus.llm.protocols.openai.options import PROTOCOL
from nexus.llm.protocols.openai.part_reader import read_content
from nexus.llm.protocols.openai.thoughts import DETAILS, read_thoughts

AUDIO = "audio"
"""The answer a model spoke, which a client names by its id."""


def read_turns(request: Node) -> list[Turn]:
    """Take the messages of a request."""
    if request.peek("messages") is None:
        raise request.fail("messages", "is missing")
    reader = _Reader()
    return [reader.read(message) for message in request.nodes("messages")]


class _Reader:
    """Remembers the calls of earlier messages. A machine for one request."""

    __slots__ = ("_custom", "_ids")

    def __init__(self) -> None:
        self._custom: set[str] = set()
        self._ids: dict[str, str] = {}
        """Of calls in the old form, which have no id: the last of each function."""

    def read(self, message: Node) -> Turn:
        match message.needed("role"):
            case "user":
                return Turn("user", read_content(message), message.path, message.rest())
            case "assistant":
                parts = self._answer(message)
                return Turn("assistant", parts, message.path, message.rest())
            case "tool":
                return self._result(message, message.needed("tool_call_id"))
            case "function":
                name = message.needed("name")
                return self._result(message, self._ids.get(name) or f"call_{name}")
            case "system":
                return Turn("system", read_content(message), message.path, message.rest())
            case "developer":
                return Turn("developer", read_content(message), message.path, message.rest())
            case _:
                raise message.fail("role", "must be system, developer, user, assistant, tool or function")

    def _result(self, message: Node, call_id: str) -> Turn:
        content = read_content(message)
        custom = call_id in self._custom
        result = ToolResult(call_id=call_id, content=content, custom=custom, path=message.path)
        return Turn("user", [result], message.path, message.rest())

    def _answer(self, message: Node) -> list[AnyPart]:
        plain = message.text("reasoning_content")
        plain = message.text("reasoning") or plain or ""
        thoughts = read_thoughts(plain, message.items(DETAILS), message.path)
        parts = [_unsealed(part) for part in thoughts]
        parts += read_content(message)
        if refusal := message.text("refusal"):
            parts.append(Refusal(text=refusal, path=message.at("refusal")))
        if (audio := message.take(AUDIO)) is not None:
            parts.append(Opaque(protocol=PROTOCOL, kind=AUDIO, raw=audio, path=message.at(AUDIO)))
        if message.peek("annotations") == []:
            message.take("annotations")
        parts += [self._call(node) for node in message.nodes("tool_calls")]
        if (function := message.node("function_call")) is not None:
            parts.append(self._old_call(function))
        return parts

    def _call(self, node: Node) -> ToolCall:
        id, kind = node.needed("id"), node.text("type")
        node.take("index")  # of a stream; servers with one whole answer to give write it too
        proof, origin = _take_signature(node)
        inner = node.node("custom" if kind == "custom" else "function")
        if inner is None:
            raise node.fail(kind or "function", "is missing")
        if kind == "custom":
            self._custom.add(id)
            text = inner.text("input") or ""
        else:
            text = loose.arguments(inner.take("arguments")) or "{}"
        return ToolCall(
            id=id,
            name=inner.needed("name"),
            arguments=text,
            custom=kind == "custom",
            signature=proof,
            origin=origin,
            path=node.path,
            extras=node.rest(),
        )

    def _old_call(self, node: Node) -> ToolCall:
        name = node.needed("name")
        id = f"call_{node.path.replace('.', '_')}"
        self._ids[name] = id
        return ToolCall(id=id, name=name, arguments=node.text("arguments") or "{}", path=node.path)


def _unsealed(part: AnyPart) -> AnyPart:
    """Tell whose a thought is: what another vendor signed came to the client under a seal."""
    if not isinstance(part, Thinking):
        return part
    data, origin = signature.unseal(part.redacted, PROTOCOL)
    proof, signer = signature.unseal(part.signature, PROTOCOL)
    return structs.replace(part, redacted=data, signature=proof, origin=origin or signer or PROTOCOL)


def _take_signature(node: Node) -> tuple[str, str]:
    """Take Google's signature of a call. https://ai.google.dev/gemini-api/docs/thought-signatures."""
    extra = loose.fields(node.peek("extra_content"))
    google = loose.fields(extra.get("google"))
    proof = loose.text(google.pop("thought_signature", None))
    if not google:
        extra.pop("google", None)
    if not extra:
        node.take("extra_content")
    return signature.unseal(proof, PROTOCOL)
