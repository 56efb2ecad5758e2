"""Input items into turns.

An item is one thing that was said, thought, called or found; a turn is all that one side did before the other. A turn holds at
most one message, so the fields of the message are the turn's.
"""

from nexus.errors import InvalidRequest
from nexus.llm.canonical import AnyPart, Extras, Inline, Media, Opaque, Role, Text, ToolCall, ToolResult, Turn
from nexus.llm.protocols.node import Node
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.content import read_content
from nexus.llm.protocols.responses.thoughts import CallSignature, read_thought
from nexus.llm.protocols.responses.tools import Names, flat_name

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}
_OF_THE_CLIENT = frozenset(("mcp_approval_response", "additional_tools", "compaction_trigger"))
"""Items that clients make, besides those whose name ends in `_output`."""
CURE = (
    "send the whole history in `input`, as libraries do with `store: false`, or use a provider that speaks the "
    "Responses API"
)


class _Draft:
    """A turn still being gathered."""

    __slots__ = ("extras", "has_message", "parts", "path", "role")

    def __init__(self, role: Role, path: str) -> None:
        self.role: Role = role
        self.path = path
        self.parts: list[AnyPart] = []
        self.extras: Extras = {}
        self.has_message = False

    def calls(self, id: str) -> bool:
        """Tell whether a call of this id is in it."""
        return any(isinstance(part, ToolCall) and part.id == id for part in self.parts)


class InputReader:
    """Reads the items of one request, in order."""

    def __init__(self, names: Names, *, stateful: bool) -> None:
        self._names = names
        self._stateful = stateful
        self._drafts: list[_Draft] = []
        self._early: dict[str, CallSignature] = {}
        """Signatures that came before their calls."""
        self._readers = {
            "message": self._read_message,
            "function_call": self._read_call,
            "custom_tool_call": self._read_call,
            "function_call_output": self._read_output,
            "custom_tool_call_output": self._read_output,
            "reasoning": self._read_thought,
            "item_reference": self._read_reference,
            "image_generation_call": self._read_image,
        }

    def read(self, item: Node) -> None:
        """Read the next item."""
        kind = item.peek("type")
        if kind is None:
            kind = "item_reference" if item.peek("role") is None else "message"
        if type(kind) is not str:
            raise item.fail("type", "must be a string")
        reader = self._readers.get(kind)
        if reader is not None:
            reader(item)
        elif kind != "additional_tools" or self._stateful:  # else they were read with the other tools
            self._keep(item, kind)

    def turns(self) -> list[Turn]:
        """Give what was read."""
        return [Turn(draft.role, draft.parts, draft.path, draft.extras) for draft in self._drafts]

    def _read_message(self, item: Node) -> None:
        item.take("type")
        role = _ROLES.get(item.needed("role"))
        if role is None:
            raise item.fail("role", f"must be one of {', '.join(_ROLES)}")
        parts = read_content(item, "content")
        if role == "assistant" and not self._stateful:
            parts = [part for part in parts if not (isinstance(part, Text) and not part.text)]
        draft = self._last(role) if role == "assistant" else None
        if draft is None or draft.has_message:
            draft = self._open(role, item)
        draft.has_message = True
        draft.parts += parts
        draft.extras = self._rest(item)

    def _read_call(self, item: Node) -> None:
        custom = item.take("type") == "custom_tool_call"
        name, namespace = item.needed("name"), item.text("namespace")
        flat = name
        if namespace:
            flat = self._names.get((namespace, name)) or flat_name(namespace, name)
        id, arguments = item.needed("call_id"), item.needed("input" if custom else "arguments")
        extras = self._rest(item)
        if namespace and self._stateful:
            extras = {**extras, "namespace": namespace, "name": name}
        call = ToolCall(id, flat, arguments, custom=custom, path=item.path, extras=extras)
        early = self._early.pop(id, None)
        self._join("assistant", item).parts.append(early.on(call) if early else call)

    def _read_output(self, item: Node) -> None:
        custom = item.take("type") == "custom_tool_call_output"
        if not self._stateful:  # its call tells them
            item.take("name")
            item.take("namespace")
        id, content = item.needed("call_id"), read_content(item, "output")
        result = ToolResult(id, content, custom=custom, path=item.path, extras=self._rest(item))
        (self._answering(id, item) or self._join("user", item)).parts.append(result)

    def _answering(self, id: str, item: Node) -> _Draft | None:
        """Give the turn right after a call that is not the last: other vendors want its result nowhere else."""
        calls = range(len(self._drafts) - 2, -1, -1)
        at = next((at for at in calls if self._drafts[at].calls(id)), None)
        if self._stateful or at is None or self._drafts[-1].calls(id):
            return None
        after = self._drafts[at + 1]
        if after.role != "user" or after.has_message:
            after = _Draft("user", item.path)
            self._drafts.insert(at + 1, after)
        return after

    def _read_thought(self, item: Node) -> None:
        thought = read_thought(item, stateful=self._stateful)
        if isinstance(thought, CallSignature):
            self._sign(thought)
        elif self._stateful or thought.text or thought.signature or thought.redacted:
            self._join("assistant", item).parts.append(thought)

    def _sign(self, found: CallSignature) -> None:
        """Put a signature on its call: the last of that id, as providers may count anew in each answer."""
        for draft in reversed(self._drafts):
            for number in range(len(draft.parts) - 1, -1, -1):
                part = draft.parts[number]
                if isinstance(part, ToolCall) and part.id == found.call_id:
                    draft.parts[number] = found.on(part)
                    return
        self._early[found.call_id] = found

    def _read_image(self, item: Node) -> None:
        data = item.peek("result")
        if self._stateful or not isinstance(data, str):
            self._keep(item, "image_generation_call")
            return
        media_type = f"image/{item.text('output_format') or 'png'}"
        image = Media("image", Inline(media_type, data), path=item.path)
        self._join("assistant", item).parts.append(image)

    def _keep(self, item: Node, kind: str) -> None:
        side: Role = "user" if kind in _OF_THE_CLIENT or kind.endswith("_output") else "assistant"
        self._join(side, item).parts.append(Opaque(NAME, kind, item.everything(), path=item.path))

    def _read_reference(self, item: Node) -> None:
        if not self._stateful:
            raise InvalidRequest(f"{item.path}: an item cannot be referred to here; {CURE}")
        self._keep(item, "item_reference")

    def _rest(self, item: Node) -> Extras:
        """Give what is left of an item; what it is called is of no use to another provider."""
        if not self._stateful:
            item.take("id")
            item.take("status")
        return item.rest()

    def _join(self, role: Role, item: Node) -> _Draft:
        """Give the turn an item that is no message belongs to."""
        draft = self._last(role)
        if draft is None or (role == "user" and draft.has_message):
            draft = self._open(role, item)
        return draft

    def _last(self, role: Role) -> _Draft | None:
        return self._drafts[-1] if self._drafts and self._drafts[-1].role == role else None

    def _open(self, role: Role, item: Node) -> _Draft:
        self._drafts.append(_Draft(role, item.path))
        return self._drafts[-1]
