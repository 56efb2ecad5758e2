"""What is wrong between sections, in the words the contract fixes."""

from pathlib import Path

import pytest
import trustme

from nexus.config import load, loads
from nexus.errors import ConfigError, Problem

ECHO = 'llm.providers.e.type = "echo"\n'
KEYED = '[llm.providers.{}]\ntype = "openai"\napi_key = "k"\n'
IDENTIFIED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client"
group_id.http_header = "X-Group"
[server.client_identification.validation]
group_values = ["free", "pro"]
"""


VIEW = 'mcp.servers.s.cmd = ["x"]\nmcp.views.code = { servers = ["s"] }\n'
TOKENS = """
llm.providers.e.rate_limits.per_user = { input_token_limit = 1, interval = "1s" }
server.client_identification = { enabled = true, client_id.http_header = "X" }
"""


def mistakes(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        loads(text, {})
    return caught.value.problems


def only(text: str) -> Problem:
    (problem,) = mistakes(text)
    return problem


def warnings(text: str) -> tuple[str, ...]:
    return loads(text, {}).warnings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "llm.enabled = true",
        ECHO + "llm.enabled = false",
        'mcp = { enabled = false, servers.a.cmd = ["x"] }',
        "llm = { enabled = false, proxy.anthropic.enabled = true }",
    ],
)
def test_something_must_be_served(text: str) -> None:
    problem = only(text)
    assert problem.message.startswith("No downstream servers configured.")
    assert "[mcp.servers." in problem.cure
    assert "[llm.providers." in problem.cure


@pytest.mark.parametrize(
    "text",
    [
        ECHO,
        'mcp.servers.a.cmd = ["x"]',
        "llm.proxy.anthropic.enabled = true",
        'llm.enabled = false\nmcp.servers.a.url="http://x"',
    ],
)
def test_one_downstream_is_enough(text: str) -> None:
    loads(text, {})


def test_some_protocol_must_be_enabled() -> None:
    assert "no protocol endpoints are enabled" in only(ECHO + "llm.protocols.openai.enabled = false").message


def test_protocols_cannot_share_a_path() -> None:
    text = 'llm.protocols = { openai.path = "/llm", anthropic = { enabled = true, path = "/llm/" } }'
    assert only(ECHO + text).message == (
        "Duplicate LLM protocol endpoint path: OpenAI and Anthropic protocols cannot use the same path (/llm)"
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('mcp.path = "/llm/openai"', "mcp.path"),
        ('mcp.path = "/health/"', "server.health.path"),
        ('server.health.path = "/llm/openai/v1/models"', "server.health.path"),
        ('llm.proxy.anthropic = { enabled = true, path = "/llm/openai" }', "llm.proxy.anthropic.path"),
        ('llm.proxy.anthropic = { enabled = true, path = "/mcp" }', "mcp.path"),
        (
            'mcp.path = "/.well-known/oauth-protected-resource"\n[server.oauth]\nurl = "https://a"\n'
            'protected_resource = { resource = "https://a", authorization_servers = [] }',
            "server.oauth",
        ),
        (VIEW + 'server.health.path = "/mcp/code"', "server.health.path"),
        (VIEW + 'llm.protocols.openai.path = "/mcp/code"', "mcp.views.code"),
        (VIEW + 'mcp.path = "/llm/openai/v1"', "mcp.views.code"),
        (TOKENS + 'mcp.path = "/v1/limits"', "mcp.path"),
        (TOKENS + 'server.health.path = "/v1/limits"', "server.health.path"),
        (TOKENS + VIEW + 'mcp.views.limits = { servers = ["s"] }\nmcp.path = "/v1"', "mcp.views.limits"),
    ],
)
def test_two_things_cannot_be_at_one_path(text: str, path: str) -> None:
    problem = only(ECHO + text)
    assert problem.path == path
    assert "cannot both be at" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        'llm.protocols = { openai.path = "/llm", anthropic = { enabled = true, path = "/llm/claude" } }',
        'server.health = { path = "/mcp", listen = "127.0.0.1:1" }',
        'server.health = { path = "/mcp", enabled = false }',
        'mcp = { path = "/llm/openai", enabled = false }',
        'llm.protocols.anthropic.path = "/llm/openai"',
        'mcp.path = "/llm/mcp"\nllm.protocols.openai.path = "/llm"',
        'mcp.path = "/"',
        'mcp.path = "/v1/limits"',
        VIEW + 'mcp.path = "/"',
        TOKENS + VIEW + 'mcp.path = "/v1"',
    ],
)
def test_paths_that_do_not_meet_are_fine(text: str) -> None:
    loads(ECHO + text, {})


@pytest.mark.parametrize(
    "key", ["llm.protocols.openai", "llm.protocols.anthropic", "llm.proxy.anthropic", "mcp", "server.health"]
)
@pytest.mark.parametrize("path", ["", "llm", "/a b", "/{x}", "/x?y", "/x#y", "/*", "//"])
def test_a_path_is_plain_and_starts_with_a_slash(key: str, path: str) -> None:
    assert only(f'{ECHO}{key}.path = "{path}"').message.startswith("expected a ")


@pytest.mark.parametrize("key", ["llm.protocols.openai", "llm.protocols.anthropic", "llm.proxy.anthropic"])
def test_routes_cannot_be_mounted_at_the_root(key: str) -> None:
    assert only(f'{ECHO}{key}.path = "/"').message.startswith("the path cannot be / alone")


def test_a_trailing_slash_of_a_prefix_is_dropped() -> None:
    assert loads(ECHO + 'llm.protocols.openai.path = "/llm/"', {}).config.llm.protocols.openai.path == "/llm"


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_provider_needs_a_name_that_can_prefix_a_model(name: str) -> None:
    assert "cannot be empty or hold a slash" in only(f'llm.providers."{name}".type = "echo"').message


@pytest.mark.parametrize("place", ["", "models.m."])
def test_header_rules_of_bedrock_are_refused_not_dropped(place: str) -> None:
    rule = '[{ rule = "insert", name = "a", value = "b" }]'
    problem = only(f'[llm.providers.b]\ntype = "bedrock"\n{place}headers = {rule}')
    assert problem.path == f"llm.providers.b.{place}headers"
    assert problem.cure == "remove them"


@pytest.mark.parametrize("place", ["", "models.m."])
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ('rule = "forward", name = "Content-Type"', "Content-Type"),
        ('rule = "forward", name = "X", rename = "Host"', "Host"),
        ('rule = "rename_duplicate", name = "TE", rename = "X"', "TE"),
    ],
)
def test_a_header_rule_without_effect_is_told(place: str, rule: str, name: str) -> None:
    (warning,) = warnings(f"{KEYED.format('a')}{place}headers = [{{ {rule} }}]")
    assert f"llm.providers.a.{place}headers[0]: {name} is never forwarded" in warning


@pytest.mark.parametrize(
    ("table", "variable"),
    [
        ('type = "openai"', "OPENAI_API_KEY"),
        ('type = "openai", base_url = "https://api.openai.com/v1/"', "OPENAI_API_KEY"),
        ('type = "anthropic"', "ANTHROPIC_API_KEY"),
        ('type = "google", base_url = "http://127.0.0.1:1/v1beta"', "GEMINI_API_KEY"),
    ],
)
def test_a_provider_that_can_answer_nobody_is_told(table: str, variable: str) -> None:
    assert warnings(f"llm.providers.a = {{ {table} }}") == (
        "line 1: llm.providers.a.api_key: there is no key, so every request to this provider is refused;"
        f' write api_key = "{{{{ env.{variable} }}}}", or let clients bring theirs with forward_token = true',
    )


@pytest.mark.parametrize(
    "table",
    [
        'type = "openai", api_key = "k"',
        'type = "anthropic", forward_token = true',
        'type = "openai", base_url = "http://localhost:11434/v1"',
        'type = "bedrock"',
        'type = "local"',
    ],
)
def test_a_provider_that_needs_no_key_of_ours_is_not_told(table: str) -> None:
    assert warnings(f"llm.providers.a = {{ {table} }}") == ()


def test_a_route_cannot_hide_an_opened_provider() -> None:
    opened = 'llm.providers.a = { type = "openai", passthrough = true }\n'
    problem = only(opened + 'llm.protocols.openai.path = "/passthrough/a"')
    assert problem.path == "llm.providers.a.passthrough"
    loads(opened + 'llm.protocols.openai.path = "/passthrough/b"', {})


@pytest.mark.parametrize("key", ["client_id", "group_id"])
def test_a_claim_needs_oauth(key: str) -> None:
    text = 'client_id = { http_header = "X" }\n' if key != "client_id" else ""
    problem = only(
        f'{ECHO}[server.client_identification]\nenabled = true\n{text}{key} = {{ jwt_claim = "c" }}'
    )
    assert problem.path == f"server.client_identification.{key}"
    assert "without [server.oauth]" in problem.message


LIMIT = '{ input_token_limit = 5, interval = "1m"'


@pytest.mark.parametrize(
    "table", ["rate_limits = {}", "models.m.rate_limits = {}", f"rate_limits.per_user = {LIMIT} }}"]
)
def test_token_limits_need_client_identification(table: str) -> None:
    assert only(f'[llm.providers.a]\ntype = "openai"\n{table}').message == (
        "LLM rate limits are configured but client identification is not enabled. "
        "Enable client identification in [server.client_identification]"
    )


def test_a_group_needs_values() -> None:
    text = (
        IDENTIFIED.replace('["free", "pro"]', "[]") + '[llm.providers.a]\ntype = "openai"\nrate_limits = {}'
    )
    assert only(text).message == (
        "group_id is configured for client identification but validation.group_values is empty. "
        "Define group_values in [server.client_identification.validation]"
    )


def grouped(place: str, group: str) -> str:
    groups = f"groups.{group} = {LIMIT} }}"
    return f"{KEYED.format('p')}{place}rate_limits.per_user = {LIMIT}, {groups} }}\n"


def test_group_limits_need_a_group() -> None:
    text = IDENTIFIED.replace('group_id.http_header = "X-Group"', "") + grouped("", "free")
    problem = only(text)
    assert problem.message.startswith(
        "Group-based rate limits are configured but group_id is not set in client identification."
    )
    assert "group_id =" in problem.cure
    assert problem.path == "llm.providers.p.rate_limits.per_user.groups"


@pytest.mark.parametrize(("place", "owner"), [("", "provider 'p'"), ("models.m.", "model 'p/m'")])
def test_a_limited_group_must_exist(place: str, owner: str) -> None:
    problem = only(IDENTIFIED + grouped(place, "gold"))
    assert problem.message == f"Group 'gold' in {owner} rate limits not found in group_values"


def test_the_limit_a_group_falls_back_to_is_told() -> None:
    text = (
        IDENTIFIED
        + grouped("", "free")
        + f"models.own.rate_limits.per_user = {LIMIT} }}\n[llm.providers.p.models.bare]\n"
        + KEYED.format("q")
        + "[llm.providers.q.models.x]\n"
    )
    assert [warning.split(": ", 2)[2] for warning in warnings(text)] == [
        "Group 'free' for model 'p/own' will use model default rate limit",
        "Group 'free' for model 'p/bare' will use provider group rate limit",
        "Group 'pro' for model 'p/own' will use model default rate limit",
        "Group 'pro' for model 'p/bare' will fall back to provider default rate limit",
        "Group 'free' for model 'q/x' has no rate limit configured",
        "Group 'free' has no rate limits configured for provider 'q'",
        "Group 'pro' for model 'q/x' has no rate limit configured",
        "Group 'pro' has no rate limits configured for provider 'q'",
    ]


def test_nothing_is_told_about_groups_without_group_limits() -> None:
    assert warnings(f"{IDENTIFIED}{KEYED.format('p')}rate_limits.per_user = {LIMIT} }}") == ()


SERVER = '[mcp.servers.s]\ncmd = ["x"]\n'


@pytest.mark.parametrize("lists", ['allow = ["free"]', 'deny = ["free"]', 'tools.t.allow = ["free"]'])
def test_access_lists_need_client_identification(lists: str) -> None:
    assert only(SERVER + lists).message == (
        "MCP server access control is configured but client identification is not enabled."
    )


def test_access_lists_need_a_group() -> None:
    text = IDENTIFIED.replace('group_id.http_header = "X-Group"', "") + SERVER + 'allow = ["free"]'
    assert only(text).message == (
        "MCP server access control uses groups but group_id is not configured in client identification."
    )


@pytest.mark.parametrize(
    ("lists", "where"),
    [
        ('allow = ["gold"]', "allow"),
        ('deny = ["free", "gold"]', "deny"),
        ('tools.t.allow = ["gold"]', "tool 't' allow"),
        ('tools.t.deny = ["gold"]', "tool 't' deny"),
    ],
)
def test_a_group_of_an_access_list_must_exist(lists: str, where: str) -> None:
    assert only(IDENTIFIED + SERVER + lists).message == (
        f"Group 'gold' in MCP server 's' {where} is not defined in "
        "server.client_identification.validation.group_values"
    )


def test_an_empty_access_list_needs_nothing() -> None:
    loads(SERVER + "allow = []\ntools.t.allow = []", {})


def test_access_lists_of_a_disabled_mcp_are_not_checked() -> None:
    loads(f'{ECHO}mcp.enabled = false\n{SERVER}allow = ["free"]', {})


def test_mcp_limits_that_are_not_enforced_earn_a_warning() -> None:
    text = SERVER + 'rate_limits = { limit = 1, interval = "1s" }\n'
    assert "not enforced" in warnings(text)[0]
    assert warnings(text + "[server.rate_limits]\nenabled = true") == ()


@pytest.mark.parametrize(
    "table",
    [
        'tools = { s__read = { allow = ["free"] } }',
        'rate_limits.tools = { s__read = { limit = 1, interval = "1s" } }',
    ],
)
def test_a_tool_is_named_in_rules_as_its_server_names_it(table: str) -> None:
    enabled = "[server.rate_limits]\nenabled = true\n"
    limits = 'rate_limits.limit = 1\nrate_limits.interval = "1s"\n'
    (warning,) = warnings(enabled + IDENTIFIED + SERVER + limits + table)
    assert "s__read: tools are named here as their server names them: 'read'" in warning
    assert warnings(enabled + IDENTIFIED + SERVER + limits + table.replace("s__", "")) == ()


def test_limits_a_client_can_go_around_earn_a_warning() -> None:
    opened = """
[llm.providers.a]
type = "openai"
api_key = "x"
passthrough = {}
rate_limits.per_user = {{ input_token_limit = 1, interval = "1s" }}
"""
    (warning,) = warnings(IDENTIFIED + opened.format("true"))
    assert "llm.providers.a.passthrough" in warning
    assert warnings(IDENTIFIED + opened.format("false")) == ()


@pytest.mark.parametrize(
    ("url", "more", "warned"),
    [
        ("rediss://r", "tls = { enabled = true }", False),
        ("rediss://r", "tls = { enabled = true, insecure = true }", True),
        ("rediss://r#insecure", "", True),
        ("redis://r", "", False),
    ],
)
def test_a_store_that_could_be_anybodys_earns_a_warning(url: str, more: str, warned: bool) -> None:
    storage = (
        f'[server.rate_limits]\nenabled = true\n[server.rate_limits.storage]\ntype = "redis"\nurl = "{url}"\n'
    )
    assert ["certificates are not checked" in text for text in warnings(ECHO + storage + more)] == [
        True
    ] * warned


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "text").write_text("not PEM")
    return folder


def from_file(folder: Path, text: str) -> tuple[Problem, ...]:
    file = folder / "nexus.toml"
    file.write_text(ECHO + text)
    try:
        load(file, {})
    except ConfigError as error:
        return error.problems
    return ()


def tls(folder: Path, certificate: str, key: str) -> str:
    return f'[server.tls]\ncertificate = "{folder / certificate}"\nkey = "{folder / key}"\n'


def test_a_certificate_and_its_key_are_accepted(pem: Path) -> None:
    assert from_file(pem, tls(pem, "one.crt", "one.key")) == ()


def test_tls_files_that_are_missing_are_named_each(pem: Path) -> None:
    found = from_file(pem, tls(pem, "gone.crt", "gone.key"))
    assert [problem.path for problem in found] == ["server.tls.certificate", "server.tls.key"]
    assert [problem.line for problem in found] == [3, 4]
    assert "No such file" in found[0].message


@pytest.mark.parametrize(
    ("certificate", "key"), [("one.crt", "two.key"), ("text", "one.key"), ("one.crt", "text")]
)
def test_tls_files_must_be_usable(pem: Path, certificate: str, key: str) -> None:
    (problem,) = from_file(pem, tls(pem, certificate, key))
    assert problem.path == "server.tls"
    assert problem.message.startswith("Failed to load TLS certificate and key: ")


def test_tls_files_of_the_store_are_checked_too(pem: Path) -> None:
    storage = '[server.rate_limits]\nenabled = true\n[server.rate_limits.storage]\ntype = "redis"\nurl = "rediss://r"\n'
    files = (
        f'ca_cert_path = "{pem / "one.crt"}", client_cert_path = "{pem / "one.crt"}",'
        f' client_key_path = "{pem / "one.key"}"'
    )
    for table, found in (
        (files, []),
        (files.replace("one.key", "two.key"), [""]),
        (files.replace("one", "gone"), [".ca_cert_path", ".client_cert_path", ".client_key_path"]),
        (f'client_key_path = "{pem / "one.key"}"', [".client_key_path"]),
    ):
        problems = from_file(pem, f"{storage}tls = {{ enabled = true, {table} }}\n")
        assert [one.path.removeprefix("server.rate_limits.storage.tls") for one in problems] == found


def test_tls_files_of_providers_are_checked_too(pem: Path) -> None:
    text = f"""
[llm.providers.a]
type = "openai"
tls = {{ ca = "{pem / "gone"}", client_key = "{pem / "one.key"}" }}
[llm.providers.b]
type = "openai"
tls = {{ client_cert = "{pem / "one.crt"}", client_key = "{pem / "two.key"}" }}
[llm.providers.c]
type = "openai"
tls = {{ client_cert = "{pem / "one.crt"}", client_key = "{pem / "one.key"}" }}
"""
    found = [problem.path for problem in from_file(pem, text)]
    assert found == ["llm.providers.a.tls.ca", "llm.providers.a.tls.client_key", "llm.providers.b.tls"]


@pytest.mark.parametrize(
    "text",
    [
        "server.rate_limits.enabled = false",
        '[server.oauth]\nurl = "https://a"\nprotected_resource = { resource = "https://a", authorization_servers = [] }',
        "server.rate_limits = { enabled = true, global = { limit = 1, interval = '1s' } }",
        "server.cors = {}\nserver.csrf.enabled = true\nserver.health.listen = '127.0.0.1:1'",
        "llm.proxy.anthropic.enabled = true",
        'mcp.servers.s = { cmd = ["x"] }',
        '[telemetry]\nservice_name = "x"\nprometheus.enabled = true\nexporters.otlp.enabled = true',
    ],
)
def test_everything_there_is_can_be_used_without_a_warning(text: str) -> None:
    assert warnings(ECHO + text) == ()


def test_metrics_and_another_route_cannot_share_a_path() -> None:
    problem = only(ECHO + 'telemetry.prometheus = { enabled = true, path = "/health" }')
    assert "metrics for Prometheus" in str(problem)
