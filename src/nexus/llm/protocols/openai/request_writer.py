"""A chat request as a server of the OpenAI protocol takes it."""

from collections.abc import Iterator

import msgspec

from nexus.errors import Unrepresentable
from nexus.llm.canonical import (
    AnyTool,
    ChatRequest,
    CustomTool,
    Effort,
    Format,
    FunctionTool,
    HostedTool,
    Json,
    Loss,
    Thinking,
    ToolCall,
    ToolChoice,
)
from nexus.llm.protocols import custom_tools, losses, reasoning, strictness
from nexus.llm.protocols.openai.message_writer import MessageWriter
from nexus.llm.protocols.openai.options import PROTOCOL, Options
from nexus.llm.protocols.openai.part_writer import write_cache
from nexus.llm.protocols.openai.tools import write_choice, write_custom, write_function
from nexus.llm.protocols.openai_models import Family, family_of

_encode = msgspec.json.Encoder().encode
_TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
_MAX_USER = 64
"""Characters OpenAI takes to name a user; what coding agents send to other vendors is longer."""


def write_request(request: ChatRequest, options: Options) -> tuple[bytes, list[Loss]]:
    """Write a request, and tell which settings were left out.

    Raises:
        Unrepresentable: it has content the protocol has no words for.
    """
    writer = _Writer(request, options)
    return _encode(writer.write()), writer.losses


class _Writer:
    """Writes one request."""

    def __init__(self, request: ChatRequest, options: Options) -> None:
        self._request = request
        self._options = options
        self._own = request.protocol == PROTOCOL
        self._family = Family() if self._own else family_of(request.model)
        self.losses: list[Loss] = []
        self._effort = self._chosen_effort()

    def write(self) -> dict[str, Json]:
        request, options = self._request, self._options
        messages = MessageWriter(request, options)
        body: dict[str, Json] = {"model": request.model, "messages": messages.write(request.turns)}
        self.losses += messages.losses
        self._tools(body)
        if request.max_tokens is not None:
            most = self._family.most
            body[options.max_tokens] = request.max_tokens if most is None else min(request.max_tokens, most)
        self._sampling(body)
        self._settings(body)
        self.losses += self._unknown(body)
        body["stream"] = request.stream
        if request.stream and options.stream_usage:
            body["stream_options"] = {"include_usage": True}  # asked for always: metering lives on it
        return body

    def _unknown(self, body: dict[str, Json]) -> Iterator[Loss]:
        """Write the fields only this protocol has, or list those only another has."""
        request = self._request
        if self._own:
            body.update(request.extras)
            if body.pop("n", None) is not None:
                yield Loss("n", "one answer is all that is passed on")
        else:
            yield from losses.foreign_fields(request)
        if not self._options.cache_control:
            yield from losses.cache_marks(request, "the upstream takes no marks for its prompt cache")
            return
        for turn in request.turns:
            for part in turn.parts:
                if part.cache is not None and isinstance(part, Thinking | ToolCall):
                    yield Loss(f"{part.path}.cache_control", "a mark has no place on this part")

    def _tools(self, body: dict[str, Json]) -> None:
        request = self._request
        tools = [tool for tool in request.tools if self._takes(tool)]
        choice = self._choice(tools)
        if not tools:
            return
        if choice is not None and choice.allowed and not self._options.custom_tools:
            tools = [tool for tool in tools if isinstance(tool, HostedTool) or tool.name in choice.allowed]
            choice = ToolChoice(choice.mode)
        body["tools"] = [self._tool(tool) for tool in tools]
        if choice is not None:
            body["tool_choice"] = write_choice(choice, tools if self._options.custom_tools else ())
        if request.parallel_tools is not None:
            body["parallel_tool_calls"] = request.parallel_tools

    def _takes(self, tool: AnyTool) -> bool:
        if not isinstance(tool, HostedTool) or (self._own and tool.protocol == PROTOCOL):
            return True
        self.losses.append(
            Loss(tool.path, f"only the vendor of the {tool.protocol} protocol runs {tool.kind}")
        )
        return False

    def _choice(self, tools: list[AnyTool]) -> ToolChoice | None:
        """Check that a choice can still be met where tools were left out."""
        choice = self._request.tool_choice
        if choice is None or len(tools) == len(self._request.tools):
            return choice
        names = {tool.name for tool in tools if not isinstance(tool, HostedTool)}
        forced = choice.mode == "one" and choice.name not in names
        if forced or (choice.mode == "required" and not tools):
            raise Unrepresentable("tool_choice", "demands a tool the upstream does not have")
        allowed = [name for name in choice.allowed if name in names]
        if choice.allowed and not allowed:
            return ToolChoice("none")
        return ToolChoice(choice.mode, choice.name, allowed)

    def _tool(self, tool: AnyTool) -> Json:
        if isinstance(tool, HostedTool):
            return tool.raw
        if isinstance(tool, CustomTool) and not self._options.custom_tools:
            tool = custom_tools.as_function(tool)
        if isinstance(tool, FunctionTool) and not self._own:
            tool = strictness.loosened(tool, self.losses)
        written = write_custom(tool) if isinstance(tool, CustomTool) else write_function(tool)
        if self._options.cache_control and tool.cache is not None:
            written["cache_control"] = write_cache(tool.cache)
        for name, value in tool.extras.items() if self._own else ():
            inner = written.get(name)
            written[name] = (
                {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
            )
        return written

    def _sampling(self, body: dict[str, Json]) -> None:
        """Write how to sample; what a model that thinks would refuse is left out, silently where it is the default."""
        request, family = self._request, self._family
        refused = not family.takes_sampling(self._effort)
        settings: tuple[tuple[str, Json, Json], ...] = (
            ("temperature", request.temperature, 1),
            ("top_p", request.top_p, 1),
            ("frequency_penalty", request.frequency_penalty, 0),
            ("presence_penalty", request.presence_penalty, 0),
            ("logprobs", request.logprobs or None, None),
            ("top_logprobs", request.top_logprobs, None),
        )
        for name, value, default in settings:
            if value is None:
                continue
            if not refused:
                body[name] = value
            elif value != default:
                self.losses.append(Loss(name, f"{request.model} does not take it while it thinks"))
        if request.top_k is not None:
            self._set(body, "top_k", request.top_k, self._options.top_k, "the upstream does not have it")
        if request.stop:
            self._set(body, "stop", self._stops(), family.stops, f"{request.model} does not take it")

    def _stops(self) -> Json:
        """Choose the sequences to stop at, the first of them where there are too many."""
        stop, most = self._request.stop, self._options.most_stops
        if self._own or most is None or len(stop) <= most:
            return stop
        self.losses.append(Loss("stop", f"the upstream takes {most} sequences at most"))
        return stop[:most]

    def _settings(self, body: dict[str, Json]) -> None:
        request = self._request
        if request.seed is not None:
            body["seed"] = request.seed
        if request.format is not None:
            form = request.format if self._own else strictness.loosened_form(request.format, self.losses)
            body["response_format"] = _format(form)
        if self._effort is not None:
            body["reasoning_effort"] = self._effort
        if request.verbosity is not None:
            body["verbosity"] = request.verbosity
        if (tier := request.service_tier) is not None:
            self._set(
                body, "service_tier", tier, self._own or tier in _TIERS, "the upstream has no such tier"
            )
        if (user := request.user) is not None:
            short = self._own or len(user) <= _MAX_USER
            self._set(
                body, "user", user, short, f"is longer than the {_MAX_USER} characters the upstream takes"
            )
        if request.cache_key is not None:
            body["prompt_cache_key"] = request.cache_key

    def _set(self, body: dict[str, Json], name: str, value: Json, taken: bool, why: str) -> None:
        if taken:
            body[name] = value
        else:
            self.losses.append(Loss(name, why))

    def _chosen_effort(self) -> Effort | None:
        """Choose, of the efforts the model knows, the one that comes closest to what was asked for."""
        asked = self._request.reasoning
        if asked is None:
            return None
        effort: Effort | None = "none" if asked.mode == "off" else asked.effort
        if effort is None and asked.budget is not None:
            effort = reasoning.effort_of(asked.budget)
        if effort is None or self._own:
            return effort
        if known := self._family.efforts:
            return reasoning.nearest(effort, known)
        if effort != "none":
            self.losses.append(Loss(asked.path or "reasoning", f"{self._request.model} does not think"))
        return None


def _format(form: Format) -> dict[str, Json]:
    if form.kind != "schema":
        return {"type": "json_object" if form.kind == "json" else "text"}
    inner: dict[str, Json] = {"name": form.name or "response"}
    if form.description:
        inner["description"] = form.description
    if form.schema is not None:
        inner["schema"] = form.schema
    if form.strict is not None:
        inner["strict"] = form.strict
    return {"type": "json_schema", "json_schema": inner}
