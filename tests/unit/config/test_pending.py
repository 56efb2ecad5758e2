"""What this version cannot do is refused or warned about, never passed over."""

import pytest

from nexus.config import loads
from nexus.errors import ConfigError, Problem

ECHO = 'llm.providers.e.type = "echo"\n'
OPENAI = '[llm.providers.a]\ntype = "openai"\n'
RULES = '[{ rule = "insert", name = "a", value = "b" }]'
OAUTH = '[server.oauth]\nurl = "https://a"\nprotected_resource = { resource = "https://a", authorization_servers = [] }\n'
IDENTIFIED = '[server.client_identification]\nenabled = true\nclient_id.http_header = "X"\n'


def refused(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        loads(ECHO + text, {})
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('mcp.servers.s = { cmd = ["x"], allow = [] }', "mcp.servers.s.allow"),
        ('mcp.servers.s = { cmd = ["x"], tools.t.deny = [] }', "mcp.servers.s.tools.t.deny"),
    ],
)
def test_what_would_be_trusted_is_refused(text: str, path: str) -> None:
    found = {problem.path: problem for problem in refused(text)}
    assert found[path].message.endswith(" is not available in this version")
    assert found[path].cure
    loads(ECHO + text, {}, pending=False)


def test_what_endangers_nobody_earns_a_warning() -> None:
    loaded = loads(ECHO + 'mcp.servers.s.cmd = ["x"]\n[telemetry]\nservice_name = "x"\n', {})
    assert [warning.split(": ")[1] for warning in loaded.warnings] == ["mcp.servers", "telemetry"]


@pytest.mark.parametrize(
    "text",
    [
        "server.rate_limits.enabled = false",
        OAUTH,
        "server.rate_limits = { enabled = true, global = { limit = 1, interval = '1s' } }",
        IDENTIFIED + OPENAI + "rate_limits = {}\nmodels.m.rate_limits = {}",
        "server.client_identification.enabled = false",
        "server.cors = {}\nserver.csrf.enabled = true\nserver.health.listen = '127.0.0.1:1'",
        OPENAI + f"forward_token = true\nheaders = {RULES}\nmodels.m.headers = {RULES}\npassthrough = true",
        "llm.proxy.anthropic.enabled = true",
    ],
)
def test_what_is_switched_off_or_built_is_accepted(text: str) -> None:
    assert loads(ECHO + text, {}).warnings == ()


def test_mistakes_and_missing_features_are_told_together() -> None:
    assert len(refused("server.worker = 1\nmcp.servers.s = { cmd = ['x'], allow = [] }")) == 2
