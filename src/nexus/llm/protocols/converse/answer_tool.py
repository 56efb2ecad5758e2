"""Structured answers of models that cannot be bound to a schema: a tool they have to call, whose arguments are the answer."""

from nexus.llm.canonical import AnyPart, ChatRequest, Format, Json, Stop, Text, ToolCall
from nexus.llm.protocols import bound_schemas
from nexus.llm.protocols.bound_schemas import Bound
from nexus.llm.protocols.converse import families
from nexus.llm.protocols.converse.draft import Block

NAME = "structured_answer"
_ANY_OBJECT: Json = {"type": "object"}


def bound_form(form: Format, base: str) -> Bound | None:
    """Give the schema of the answer as the model itself can be bound to it; None where it cannot."""
    if form.kind != "schema" or not families.writes_schemas(base):
        return None
    bound = bound_schemas.bind(form.schema, open_objects=not families.is_claude(base))
    return bound if bound is not None and bound.fits else None


def is_needed(request: ChatRequest, base: str) -> bool:
    """Tell whether the form of the answer has to be had by a tool, and can be."""
    form = request.format
    return (
        form is not None
        and form.kind != "text"
        and bound_form(form, base) is None
        and (families.forces_one(base) or families.is_claude(base))
    )


def write_tool(form: Format) -> Block:
    """Write the tool."""
    about = form.description or form.name
    schema = form.schema if form.kind == "schema" else _ANY_OBJECT
    return {
        "toolSpec": {
            "name": NAME,
            "description": f"Give the final answer to the user, as its arguments{f': {about}' if about else ''}.",
            "inputSchema": {"json": schema},
        }
    }


def unwrapped(parts: list[AnyPart], stop: Stop) -> tuple[list[AnyPart], Stop]:
    """Give the arguments of the tool as the text they stand for."""
    given = [Text(part.arguments) if is_call(part) and isinstance(part, ToolCall) else part for part in parts]
    left = any(isinstance(part, ToolCall) for part in given)
    return given, stop if left or stop.reason != "tool" else Stop("end")


def is_call(part: AnyPart) -> bool:
    """Tell whether a part is a call of the tool."""
    return isinstance(part, ToolCall) and part.name == NAME
