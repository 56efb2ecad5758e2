"""Which headers go on to an upstream: those that rules of the file set, and those that may pass a proxy at all.

Names are lower-case bytes, as ASGI has them. No header of a client goes on unless a rule, or a passthrough, says so.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from nexus.config.llm import (
    NEVER_FORWARDED,
    DuplicateRule,
    ForwardRule,
    HeaderRule,
    HeaderValue,
    InsertRule,
    ProviderConfig,
    RemoveRule,
)

Header = tuple[bytes, bytes]
Values = dict[bytes, list[bytes]]
"""All values of each name, names in the order they first came."""
Step = Callable[[Values, Values], None]
"""Runs one rule: the client's headers in, the outgoing ones changed."""

DENIED = frozenset(name.encode() for name in NEVER_FORWARDED)
"""What describes one message or one connection: a client's value of it never goes on, under no name."""
NEGOTIATION = frozenset(
    (
        b"accept",
        b"accept-charset",
        b"accept-encoding",
        b"accept-ranges",
        b"content-length",
        b"content-type",
    )
)
CONNECTION = (DENIED - NEGOTIATION) | {b"expect", b"proxy-connection"}
"""What a proxy that leaves messages as they are keeps to itself. https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1"""
CREDENTIALS = frozenset(
    (
        b"api-key",
        b"authorization",
        b"cookie",
        b"proxy-authorization",
        b"x-amz-security-token",
        b"x-api-key",
        b"x-goog-api-key",
        b"x-provider-api-key",
    )
)
"""Where clients put secrets. No pattern forwards them; a rule that gives the name does."""

_OURS = CONNECTION - {b"origin"} | {b"content-length", b"content-type"}
"""Who writes the message writes these: even an `insert` does not."""
_NOT_BY_PATTERN = DENIED | CONNECTION | CREDENTIALS


class Rules:
    """The header rules of one provider: its own, and after them those of the model that is asked for."""

    __slots__ = ("_general", "_models")

    def __init__(self, general: Iterable[HeaderRule], models: Mapping[str, Iterable[HeaderRule]]) -> None:
        general = tuple(general)
        self._general = _Run(general)
        self._models = {alias: _Run((*general, *rules)) for alias, rules in models.items()}

    @classmethod
    def of(cls, config: ProviderConfig) -> "Rules | None":
        """Read the rules of a provider; `None` if it has none, so that nobody pays for them."""
        models = {alias: model.headers for alias, model in config.models.items() if model.headers}
        return cls(config.headers, models) if config.headers or models else None

    def apply(self, client: Sequence[Header], model: str = "", begun: Sequence[Header] = ()) -> list[Header]:
        """Give the headers the rules set for a request; `model` is the name the client used, without the provider's.

        With `begun`, the rules work on these headers instead of starting from none.
        """
        return self._models.get(model, self._general)(client, begun)


class _Run:
    """One list of rules, ready to run."""

    __slots__ = ("_fixed", "_steps")

    def __init__(self, rules: Sequence[HeaderRule]) -> None:
        self._steps = [step for rule in rules if (step := _step(rule)) is not None]
        asks = any(isinstance(rule, ForwardRule | DuplicateRule) for rule in rules)
        self._fixed = None if asks else self._run({}, {})

    def __call__(self, client: Sequence[Header], begun: Sequence[Header]) -> list[Header]:
        if self._fixed is not None and not begun:
            return self._fixed
        return self._run(_by_name(client), _by_name(begun))

    def _run(self, client: Values, outgoing: Values) -> list[Header]:
        for step in self._steps:
            step(client, outgoing)
        return [(name, value) for name, values in outgoing.items() for value in values]


def _step(rule: HeaderRule) -> Step | None:
    """Compile a rule; `None` if it can have no effect."""
    match rule:
        case ForwardRule(name=None):
            return _forward_matching(rule)
        case ForwardRule():
            return _forward(rule)
        case InsertRule():
            return _insert(rule)
        case RemoveRule():
            return _remove(rule)
        case DuplicateRule():
            return _duplicate(rule)


def _forward(rule: ForwardRule) -> Step | None:
    name = _name(rule.name)
    target = _name(rule.rename) or name
    if name in DENIED or target in DENIED:
        return None
    default = _default(rule.default)

    def step(client: Values, outgoing: Values) -> None:
        outgoing.pop(name, None)
        if values := client.get(name, default):
            outgoing[target] = values

    return step


def _forward_matching(rule: ForwardRule) -> Step | None:
    target = _name(rule.rename)
    if rule.pattern is None or target in DENIED:
        return None
    search = rule.pattern.search

    def step(client: Values, outgoing: Values) -> None:
        for name, values in client.items():
            if name not in _NOT_BY_PATTERN and search(name.decode("latin-1")):
                outgoing[target or name] = values

    return step


def _insert(rule: InsertRule) -> Step | None:
    name, values = _name(rule.name), _default(rule.value)
    if name in _OURS:
        return None

    def step(client: Values, outgoing: Values) -> None:
        outgoing[name] = values

    return step


def _remove(rule: RemoveRule) -> Step:
    name, pattern = _name(rule.name), rule.pattern

    def step(client: Values, outgoing: Values) -> None:
        if pattern is None:
            outgoing.pop(name, None)
            return
        for found in [one for one in outgoing if pattern.search(one.decode("latin-1"))]:
            del outgoing[found]

    return step


def _duplicate(rule: DuplicateRule) -> Step | None:
    name = _name(rule.name)
    if name in DENIED:
        return None
    targets = [target for target in (name, _name(rule.rename)) if target not in DENIED]
    default = _default(rule.default)

    def step(client: Values, outgoing: Values) -> None:
        if values := client.get(name, default):
            outgoing.update(dict.fromkeys(targets, values))

    return step


def _name(name: str | None) -> bytes:
    return (name or "").lower().encode()


def _default(value: HeaderValue | None) -> list[bytes]:
    return [] if value is None else [value.get_secret_value().encode()]


def _by_name(headers: Iterable[Header]) -> Values:
    found: Values = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    for name in _nominated(found.get(b"connection", ())):
        found.pop(name, None)
    return found


def _nominated(connection: Iterable[bytes]) -> set[bytes]:
    """Read which further headers are for the next hop only."""
    return {token.strip().lower() for value in connection for token in value.split(b",")}


def end_to_end(headers: Iterable[Header], without: Collection[bytes] = ()) -> list[Header]:
    """Leave out the headers of one connection, and those of the names `without`."""
    headers = tuple(headers)
    hop = _nominated(value for name, value in headers if name == b"connection")
    return [
        pair
        for pair in headers
        if pair[0] not in CONNECTION and pair[0] not in hop and pair[0] not in without
    ]


def merge(lines: bytes, headers: Sequence[Header]) -> bytes:
    """Add headers to complete header lines; they take the place of lines with their name.

    Raises:
        ValueError: a header holds a line break or a NUL, it would become another one.
    """
    if not headers:
        return lines
    block = b"".join([b"%b: %b\r\n" % header for header in headers])
    count = len(headers)
    if block.count(b"\r") != count or block.count(b"\n") != count or b"\0" in block:
        raise ValueError("a header holds a line break")
    names = {name for name, _ in headers}
    kept = [line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in names]
    return block + b"".join(kept)
