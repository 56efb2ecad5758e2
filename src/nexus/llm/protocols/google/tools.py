"""Tools, and whether they have to be called.

https://ai.google.dev/api/caching#Tool · https://ai.google.dev/gemini-api/docs/function-calling
"""

from nexus.errors import Unrepresentable
from nexus.llm.canonical import ChatRequest, CustomTool, FunctionTool, HostedTool, Json, Loss, ToolChoice
from nexus.llm.protocols import custom_tools
from nexus.llm.protocols.google import schemas


def write_tools(request: ChatRequest, losses: list[Loss]) -> list[Json]:
    """Write the tools in the client's order: functions share one entry, each of Google's own tools has one."""
    entries: list[Json] = []
    declarations: list[Json] = []
    for tool in request.tools:
        if isinstance(tool, HostedTool):
            if tool.protocol == "google":
                entries.append(tool.raw)
            else:
                losses.append(Loss(tool.path, f"only {tool.protocol} runs {tool.kind}"))
            continue
        if not declarations:
            entries.append({"functionDeclarations": declarations})
        declarations.append(_declare(tool, own=request.protocol == "google"))
    return entries


def _declare(tool: FunctionTool | CustomTool, *, own: bool) -> Json:
    function = custom_tools.as_function(tool) if isinstance(tool, CustomTool) else tool
    declared: dict[str, Json] = {"name": function.name}
    if function.description:
        declared["description"] = function.description
    if function.schema:  # an empty one says nothing, and would be refused for not describing an object
        declared["parametersJsonSchema"] = function.schema if own else schemas.of_arguments(function.schema)
    return {**declared, **tool.extras} if own else declared


def write_choice(request: ChatRequest) -> Json:
    """Write whether and what has to be called; None where there is nothing to say.

    Raises:
        Unrepresentable: it has to be a tool that is not here.
    """
    choice = request.tool_choice or ToolChoice("auto")
    functions = [tool for tool in request.tools if not isinstance(tool, HostedTool)]
    names = [tool.name for tool in functions]
    if choice.mode == "one" and choice.name not in names:
        raise Unrepresentable("tool_choice", "Gemini can only be made to call functions of the client")
    if choice.mode == "required" and not names:
        raise Unrepresentable("tool_choice", "there is no function to call")
    if not names:
        return None
    allowed = [name for name in choice.allowed if name in names]
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "one":
            return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
        case "required":
            return _mode("ANY", allowed)
        case "auto" if allowed or _all_strict(functions):
            return _mode("VALIDATED", allowed)  # AUTO takes no names, and binds arguments to no schema
        case "auto":
            return {"mode": "AUTO"} if request.tool_choice else None


def _mode(mode: str, allowed: list[str]) -> Json:
    return {"mode": mode, "allowedFunctionNames": allowed} if allowed else {"mode": mode}


def _all_strict(tools: list[FunctionTool | CustomTool]) -> bool:
    return all(isinstance(tool, FunctionTool) and tool.strict for tool in tools)
