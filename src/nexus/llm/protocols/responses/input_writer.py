"""Turns into input items."""

from collections.abc import Sequence

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyPart,
    ChatRequest,
    Extras,
    Json,
    Loss,
    Opaque,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from nexus.llm.protocols.responses import NAME
from nexus.llm.protocols.responses.content import write_content
from nexus.llm.protocols.responses.thoughts import write_thought

_NOTHING: Extras = {}


class InputWriter:
    """Writes the items of one request, in order."""

    def __init__(self, request: ChatRequest, losses: list[Loss], *, takes_unsigned: bool) -> None:
        self.items: list[Json] = []
        self._protocol = request.protocol
        self._own = request.protocol == NAME
        self._losses = losses
        self._takes_unsigned = takes_unsigned

    def write(self, turn: Turn) -> None:
        """Write the next turn.

        Raises:
            Unrepresentable: it holds something that has no form here.
        """
        said: list[AnyPart] = []
        for part in turn.parts:
            if isinstance(part, Text) and not part.text and turn.role == "assistant" and not self._own:
                continue  # it says nothing beside the calls it came with
            if _is_content(part):
                said.append(part)
                continue
            self._write_message(turn, said)
            said = []
            self._write_item(part)
        self._write_message(turn, said)

    def _write_message(self, turn: Turn, said: Sequence[AnyPart]) -> None:
        if not said:
            return
        more = turn.extras if self._own else _NOTHING
        content = write_content(said, self._protocol, answer=turn.role == "assistant")
        self.items.append({"type": "message", "role": turn.role, "content": content, **more})

    def _write_item(self, part: AnyPart) -> None:
        more = part.extras if self._own else _NOTHING
        match part:
            case Thinking():
                self._write_thought(part, more)
            case ToolCall():
                self._write_call(part, more)
            case ToolResult():
                self._write_result(part, more)
            case Opaque() if part.protocol == NAME:
                self.items.append(part.raw)
            case _:
                kind = part.kind if isinstance(part, Opaque) else "this part"
                raise Unrepresentable(part.path, f"the Responses protocol has no words for {kind}")

    def _write_thought(self, part: Thinking, more: Extras) -> None:
        if part.origin == NAME and part.signature:
            self.items.append({**write_thought(part), **more})
        elif self._own and not part.origin and part.id:
            self.items.append({**write_thought(part), **more})  # the provider kept it
        elif self._takes_unsigned and part.text:
            content: Json = [{"type": "reasoning_text", "text": part.text}]
            self.items.append({"type": "reasoning", "summary": [], "content": content})
        else:
            self._losses.append(Loss(part.path, "OpenAI takes back only thoughts that it encrypted"))

    def _write_call(self, part: ToolCall, more: Extras) -> None:
        if (
            part.signature and part.origin == NAME
        ):  # a thought without words, which its client had no other place for
            self.items.append(write_thought(Thinking("", part.signature)))
        called: dict[str, Json] = {"call_id": part.id, "name": part.name}
        if part.custom:
            self.items.append({"type": "custom_tool_call", **called, "input": part.arguments, **more})
        else:
            arguments = part.arguments or "{}"
            self.items.append({"type": "function_call", **called, "arguments": arguments, **more})

    def _write_result(self, part: ToolResult, more: Extras) -> None:
        if part.is_error:
            self._losses.append(
                Loss(f"{part.path}.is_error", "the Responses protocol has no mark for it; the text stays")
            )
        kind = "custom_tool_call_output" if part.custom else "function_call_output"
        output = write_content(part.content, self._protocol) if part.content else ""
        self.items.append({"type": kind, "call_id": part.call_id, "output": output, **more})


def _is_content(part: AnyPart) -> bool:
    """Tell what a message holds from what is an item of its own; of unknown parts only the path tells it."""
    if isinstance(part, Opaque):
        return ".content." in part.path
    return not isinstance(part, Thinking | ToolCall | ToolResult)
