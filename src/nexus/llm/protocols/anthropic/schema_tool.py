"""Structured answers of models that cannot be bound to a schema: a tool they have to call, whose arguments are the answer."""

from nexus.llm.canonical import AnyPart, ChatRequest, Format, Json, Loss, Stop, Text, ToolCall
from nexus.llm.protocols.anthropic import generations
from nexus.llm.protocols.anthropic.settings import bound_form, is_to_think
from nexus.llm.protocols.node import array_of

NAME = "structured_answer"
_ANY_OBJECT: Json = {"type": "object"}


def is_needed(request: ChatRequest) -> bool:
    """Tell whether the form of the answer has to be had by a tool."""
    form = request.format
    if form is None or form.kind == "text" or request.protocol == "anthropic":
        return False
    return form.kind == "json" or bound_form(request) is None


def add(request: ChatRequest, body: dict[str, Json], losses: list[Loss]) -> None:
    """Add the tool to a written request."""
    form = request.format
    assert form is not None
    tools = [*array_of(body.get("tools")), _write(form)]
    body["tools"] = tools
    if request.tool_choice is not None and request.tool_choice.mode in ("required", "one") and len(tools) > 1:
        return  # a call of the client's own comes first; the form is for the answer after it
    if is_to_think(body) or not generations.forces_calls(request.model):
        # a model that thinks cannot be made to call
        body["tool_choice"] = {"type": "auto"}
        losses.append(Loss(form.path or "response_format", "it cannot be enforced while thinking"))
    elif len(tools) == 1 or (request.tool_choice is not None and request.tool_choice.mode == "none"):
        body["tool_choice"] = {"type": "tool", "name": NAME}
    else:
        body["tool_choice"] = {"type": "any"}


def _write(form: Format) -> Json:
    about = form.description or form.name
    return {
        "name": NAME,
        "description": f"Give the final answer to the user, as its arguments{f': {about}' if about else ''}.",
        "input_schema": form.schema if form.kind == "schema" else _ANY_OBJECT,
    }


def unwrapped(parts: list[AnyPart], stop: Stop) -> tuple[list[AnyPart], Stop]:
    """Give the arguments of the tool as the text they stand for."""
    if not any(map(is_call, parts)):
        return parts, stop
    given = [Text(part.arguments) if isinstance(part, ToolCall) and is_call(part) else part for part in parts]
    left = any(isinstance(part, ToolCall) for part in given)
    return given, stop if left or stop.reason != "tool" else Stop("end")


def is_call(part: AnyPart) -> bool:
    """Tell whether a part is a call of the tool."""
    return isinstance(part, ToolCall) and part.name == NAME
