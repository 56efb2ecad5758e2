"""What this version cannot do is warned about, never passed over."""

import pytest

from nexus.config import loads

ECHO = 'llm.providers.e.type = "echo"\n'
OPENAI = '[llm.providers.a]\ntype = "openai"\n'
RULES = '[{ rule = "insert", name = "a", value = "b" }]'
OAUTH = '[server.oauth]\nurl = "https://a"\nprotected_resource = { resource = "https://a", authorization_servers = [] }\n'
IDENTIFIED = '[server.client_identification]\nenabled = true\nclient_id.http_header = "X"\n'


def test_what_endangers_nobody_earns_a_warning() -> None:
    loaded = loads(ECHO + '[telemetry]\nservice_name = "x"\n', {})
    assert [warning.split(": ")[1] for warning in loaded.warnings] == ["telemetry"]


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
        'mcp.servers.s = { cmd = ["x"] }',
    ],
)
def test_what_is_switched_off_or_built_is_accepted(text: str) -> None:
    assert loads(ECHO + text, {}).warnings == ()
