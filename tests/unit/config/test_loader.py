"""From a file to a configuration: all mistakes at once, each with its place, and never a secret among them."""

from pathlib import Path

import pytest

from nexus.config import Loaded, load, loads
from nexus.errors import ConfigError, Problem

ECHO = '[llm.providers.e]\ntype = "echo"\n'


def mistakes(text: str, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        loads(text, environ)
    return caught.value.problems


def only(text: str, **environ: str) -> Problem:
    (problem,) = mistakes(text, **environ)
    return problem


def test_the_smallest_file_gets_every_default() -> None:
    loaded = loads(ECHO, {}, "nexus.toml")
    assert loaded.warnings == ()
    assert loaded.origin == "nexus.toml"
    server, llm = loaded.config.server, loaded.config.llm
    assert (server.max_body_size, server.max_header_size, server.workers) == (33554432, 65536, 1)
    assert (server.shutdown_timeout, llm.keep_alive, llm.discovery.interval) == (30.0, 15.0, 300.0)
    assert (llm.discovery.on_start_error, llm.require_explicit_models) == ("fail", False)
    assert (llm.protocols.openai.enabled, llm.protocols.openai.path) == (True, "/llm/openai")
    assert (llm.protocols.anthropic.enabled, llm.protocols.anthropic.path) == (False, "/llm/anthropic")
    assert (llm.proxy.anthropic.enabled, llm.proxy.anthropic.path) == (False, "/proxy/anthropic")
    assert llm.proxy.anthropic.base_url == "https://api.anthropic.com"
    assert llm.providers["e"].passthrough is False
    assert (server.health.path, server.csrf.enabled, server.cors, server.tls) == (
        "/health",
        False,
        None,
        None,
    )
    assert server.client_identification.client_id.jwt_claim == "sub"
    assert loaded.config.telemetry is None


def test_a_file_is_read_with_its_name_as_origin(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text("\ufeff" + ECHO, encoding="utf-8")
    assert load(file, {}).origin == str(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: 1 mistake\n.*cannot read the file: No such file"):
        load(tmp_path / "gone.toml", {})


def test_a_file_that_is_not_utf8_tells_the_line(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert caught.value.problems == (Problem("", "the file is not UTF-8", "save it as UTF-8", 2),)


def test_a_syntax_error_stands_alone_with_its_place() -> None:
    problem = only('[server]\nlisten = = 1\n[llm]\napi = "{{ env.NOPE }}"\n')
    assert problem.line == 2
    assert problem.message == "not valid TOML: invalid value (column 10)"


def test_a_table_that_is_there_twice_is_named_as_it_is_written() -> None:
    problem = only("[llm.providers.a]\n[llm.providers.a]\n")
    assert problem.message.startswith("not valid TOML: cannot declare llm.providers.a twice")


def test_a_syntax_error_at_the_end_has_the_last_line() -> None:
    problem = only("[server]\na = [1,\n")
    assert problem.line == 3
    assert problem.message.endswith("at the end of the file")


@pytest.mark.parametrize("depth", [100, 300, 450, 480, 490, 5000])
def test_deep_nesting_is_a_mistake_not_a_crash(depth: int) -> None:
    assert mistakes(f"a = {'[' * depth}{']' * depth}\n{ECHO}")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """
[server]
listen_adress = "127.0.0.1:8000"
workers = 0

[llm.protocols.openai]
path = "llm"

[llm.providers.a]
type = "opanai"

[llm.providers.b]
type = "openai"
api_key = "{{ env.NOPE }}"

[llm.providers.b.models."gpt-4.1"]
rename = 5

[mcp]
path = "/health"
"""
    found = [(problem.line, problem.path) for problem in mistakes(text)]
    assert found == [
        (None, "server.health.path"),
        (3, "server.listen_adress"),
        (4, "server.workers"),
        (7, "llm.protocols.openai.path"),
        (10, "llm.providers.a.type"),
        (14, "llm.providers.b.api_key"),
        (17, 'llm.providers.b.models."gpt-4.1".rename'),
    ]


def test_a_conclusion_from_a_mistaken_place_is_not_told() -> None:
    problem = only('[llm.providers.a]\ntype = "opanai"\n')
    assert "No downstream" not in problem.message


def test_one_missing_variable_is_one_mistake_even_where_the_schema_would_complain_too() -> None:
    problem = only('[llm.providers.a]\ntype = "{{ env.TYPE }}"\n')
    assert problem.message.endswith("environment variable not found: `TYPE`")


def test_a_missing_key_has_the_line_of_its_table() -> None:
    problem = only('# c\n[llm.providers.a]\napi_key = "x"\n')
    assert (problem.path, problem.line, problem.message) == (
        "llm.providers.a.type",
        2,
        "missing field `type`",
    )


def test_array_elements_are_numbered() -> None:
    problem = only(ECHO + '[[llm.providers.e.headers]]\nrule = "insert"\nname = "a b"\nvalue = "1"\n')
    assert (problem.path, problem.line) == ("llm.providers.e.headers[0].name", 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("server.workers = 1.5", "expected a whole number, got 1.5"),
        ("server.workers = true", "expected a whole number, got true"),
        ('server.workers = "2"', 'expected a whole number, got "2"'),
        ("server.health.enabled = 1", "expected true or false, got 1"),
        ('server.health.enabled = "yes"', 'expected true or false, got "yes"'),
        ("server.health.path = 1", "expected a string, got 1"),
        ("server.health = 1", "expected a table, got 1"),
        ("server.health = []", "expected a table, got an array"),
        ("server.tls.certificate = 1", "expected a path, got 1"),
        ("server.shutdown_timeout = true", 'expected a duration such as "60s", got true'),
        ("server.shutdown_timeout = 1979-05-27", 'expected a duration such as "60s", got a date or time'),
        ('llm.keep_alive = "soon"', 'expected a duration such as "60s", got "soon"'),
        ("llm.providers.x = 5", "expected a table, got 5"),
        ('mcp.servers.x = "y"', 'expected a table, got "y"'),
        ("server.client_identification.validation.group_values = 1", "expected an array, got 1"),
    ],
)
def test_wrong_kinds_are_told_in_plain_words(line: str, message: str) -> None:
    assert message in [problem.message for problem in mistakes(f"{line}\n{ECHO}")]


def test_no_message_speaks_pydantic() -> None:
    text = """
server = 5
llm = { keep_alive = 1.5, providers = { a = { type = 5 }, b = [] }, protocols = true }
mcp = { servers = { a = {}, b = { cmd = "x" }, c = { url = 1 } }, headers = { a = 1 } }
telemetry = { tracing = { sampling = "x" }, resource_attributes = [] }
"""
    for problem in mistakes(text):
        assert "Input should" not in problem.message
        assert "another value" not in problem.message
        assert "valid" not in problem.message


@pytest.mark.parametrize(
    ("text", "path", "cure"),
    [
        ("sever = {}", "sever", "did you mean 'server'?"),
        ("server.listen_adress = 1", "server.listen_adress", "did you mean 'listen_address'?"),
        ("server.listen-address = 1", "server.listen-address", "did you mean 'listen_address'?"),
        ("server.tls = {certificate='a', key='b', kee=1}", "server.tls.kee", "did you mean 'key'?"),
        ("server.health.pth = 1", "server.health.pth", "did you mean 'path'?"),
        ("server.cors.allow_origin = 1", "server.cors.allow_origin", "did you mean 'allow_origins'?"),
        ("server.csrf.header = 1", "server.csrf.header", "did you mean 'header_name'?"),
        ("server.client_ip.real_ip = 1", "server.client_ip.real_ip", "did you mean 'x_real_ip'?"),
        (
            "server.rate_limits = {enabled=false, globl={}}",
            "server.rate_limits.globl",
            "did you mean 'global'?",
        ),
        ("llm.path = 1", "llm.path", "remove it"),
        ("llm.protocols.openapi = {}", "llm.protocols.openapi", "did you mean 'openai'?"),
        ("llm.protocols.openai.pat = 1", "llm.protocols.openai.pat", "did you mean 'path'?"),
        ("llm.proxy.antropic = {}", "llm.proxy.antropic", "did you mean 'anthropic'?"),
        ("llm.proxy.anthropic.pat = 1", "llm.proxy.anthropic.pat", "did you mean 'path'?"),
        (
            "llm.providers.e.rate_limits.user = 1",
            "llm.providers.e.rate_limits.user",
            "did you mean 'per_user'?",
        ),
        (
            "llm.providers.e.timeouts.first = 1",
            "llm.providers.e.timeouts.first",
            "did you mean 'first_byte'?",
        ),
        ("mcp.server = {}", "mcp.server", "did you mean 'servers'?"),
        ("mcp.downstream_cache.size = 1", "mcp.downstream_cache.size", "did you mean 'max_size'?"),
        ("mcp.servers.a = {cmd=['x'], evn={}}", "mcp.servers.a.evn", "did you mean 'env'?"),
        ("mcp.servers.a = {url='http://x', tsl={}}", "mcp.servers.a.tsl", "did you mean 'tls'?"),
        (
            "mcp.servers.a = {cmd=['x'], tools={t={alow=[]}}}",
            "mcp.servers.a.tools.t.alow",
            "did you mean 'allow'?",
        ),
        (
            "mcp.servers.a = {url='http://x', auth={tokn='x'}}",
            "mcp.servers.a.auth.tokn",
            "did you mean 'token'?",
        ),
        ("telemetry.metric = {}", "telemetry.metric", "did you mean 'metrics'?"),
        (
            "telemetry.exporters.otlp.http.tsl = {}",
            "telemetry.exporters.otlp.http.tsl",
            "did you mean 'tls'?",
        ),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_known_one(text: str, path: str, cure: str) -> None:
    found = {problem.path: problem for problem in mistakes(f'llm.providers.e.type = "echo"\n{text}')}
    assert found[path].message.startswith(f"unknown field `{path.rsplit('.', 1)[-1]}`")
    assert found[path].cure.startswith(cure)
    assert found[path].line == 2


@pytest.mark.parametrize(
    "text",
    [
        'server.client_identification.client_id = { type = "http_header", source = "http_header", http_header = "X" }',
        'server.client_identification.group_id = { type = "jwt", jwt_claim = "g" }',
        'server.rate_limits = { enabled = false, storage = { type = "memory", url = "x", pool = { max_size = 1 } } }',
        'telemetry.exporters.otlp.grpc.headers = [{ name = "a", value = "b", comment = "c" }]',
    ],
)
def test_some_tables_pass_over_unknown_keys_in_silence(text: str) -> None:
    assert accepted(f'llm.providers.e.type = "echo"\n{text}').warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("max_tokns = 1", "line 3: llm.providers.e.max_tokns: unknown key, ignored; known here: type"),
        (
            "rate_limit = 1",
            "line 3: llm.providers.e.rate_limit: unknown key, ignored; did you mean 'rate_limits'?",
        ),
        (
            "models.a.renam = 'b'",
            "line 3: llm.providers.e.models.a.renam: unknown key, ignored; did you mean 'rename'?",
        ),
        (
            "models.gpt-4.1 = {}",
            'line 3: llm.providers.e.models.gpt-4.1: unknown key, ignored; a model name with a dot needs quotes: models."gp',
        ),
    ],
)
def test_unknown_keys_of_providers_and_models_earn_a_warning(text: str, warning: str) -> None:
    (found,) = accepted(f"{ECHO}{text}\n").warnings
    assert found.startswith(warning)


def test_unknown_keys_of_the_anthropic_protocol_earn_a_warning() -> None:
    (found,) = accepted(f'{ECHO}[llm.protocols.anthropic]\npaht = "/x"\n').warnings
    assert found == "line 4: llm.protocols.anthropic.paht: unknown key, ignored; did you mean 'path'?"


def test_unknown_keys_of_a_provider_are_kept_for_it() -> None:
    config = accepted(f"{ECHO}delay = 5\n").config
    assert config.llm.providers["e"].extra == {"delay": 5}


def test_providers_and_models_keep_the_order_of_the_file() -> None:
    names = ["zeta", "alpha", "mid", "beta"]
    text = "".join(f'[llm.providers.{name}]\ntype = "echo"\n' for name in names)
    text += "".join(f"[llm.providers.zeta.models.{name}]\n" for name in names)
    config = accepted(text).config
    assert list(config.llm.providers) == names
    assert list(config.llm.providers["zeta"].models) == names


SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    "text",
    [
        'server.listen_address = "{{ env.S }}"',
        'server.workers = "{{ env.S }}"',
        'llm.keep_alive = "{{ env.S }}"',
        'llm.discovery.on_start_error = "{{ env.S }}"',
        'llm.protocols.openai.path = "{{ env.S }}"',
        'llm.providers.a.type = "{{ env.S }}"',
        'llm.providers.a = { type = "openai", base_url = "{{ env.S }}" }',
        'llm.providers.a = { type = "openai", api_key = "{{ env.S }}\\n" }',
        'llm.providers.a = { type = "openai", api_key = ["{{ env.S }}"] }',
        'llm.providers.a = { type = "openai", model_filter = "(?P<{{ env.S }}>" }',
        'llm.providers.a = { type = "openai", proxy = "{{ env.S }}" }',
        'llm.providers.a = { type = "openai", headers = [{ rule = "{{ env.S }}" }] }',
        'llm.providers.a = { type = "openai", headers = [{ rule = "insert", name = "{{ env.S }} x", value = "v" }] }',
        'server.cors.allow_origins = ["{{ env.S }}"]',
        'server.cors.allow_methods = ["{{ env.S }}"]',
        'server.cors.allow_headers = ["é{{ env.S }}"]',
        'server.cors = ["{{ env.S }}"]',
        'server.rate_limits = { enabled = true, storage = { type = "redis", url = "{{ env.S }}" } }',
        'server.rate_limits = { enabled = true, storage = { type = "{{ env.S }}" } }',
        'mcp.servers.a = { cmd = ["x"], stderr = "{{ env.S }}" }',
        'mcp.servers.a = { url = "{{ env.S }}" }',
        'mcp.servers.a = { url = "http://x", auth = { type = "{{ env.S }}" } }',
        'telemetry.exporters.otlp.grpc.headers = { "grpc-a" = "{{ env.S }}" }',
        'telemetry.tracing.sampling = "{{ env.S }}"',
        'llm.protocols = { openai.path = "/{{ env.S }}", anthropic = { enabled = true, path = "/{{ env.S }}" } }',
        'mcp = { servers.a = { cmd = ["x"], allow = ["{{ env.S }}"] } }',
        'server.client_identification = { enabled = true, client_id.jwt_claim = "{{ env.S }}" }',
    ],
)
def test_a_value_from_the_environment_is_never_shown(text: str) -> None:
    extra = """
[server.client_identification]
enabled = true
client_id.http_header = "X"
group_id.http_header = "Y"
validation.group_values = ["g"]
"""
    text += "\n" + ECHO + ("" if "client_identification" in text else extra)
    with pytest.raises(ConfigError) as caught:
        loads(text, {"S": SECRET})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.problems)


def test_a_secret_written_in_the_file_is_never_shown() -> None:
    text = f"""
[llm.providers.a]
type = "openai"
api_key = "{SECRET}\\n"
proxy = "htp://user:{SECRET}@proxy"
headers = [{{ rule = "insert", name = "A", value = "{SECRET}\\n" }}]
[server.rate_limits]
enabled = true
storage = {{ type = "redis", url = "http://:{SECRET}@h" }}
"""
    found = mistakes(text)
    assert len(found) == 4
    assert SECRET not in repr(found)


def test_no_secret_is_in_the_repr_of_a_configuration() -> None:
    text = f"""
[server.rate_limits]
enabled = false
storage = {{ type = "redis", url = "redis://:{SECRET}@h" }}
[llm.providers.a]
type = "openai"
api_key = "{SECRET}"
api_kee = "{SECRET}"
proxy = "http://u:{SECRET}@h"
query = {{ key = "{SECRET}" }}
headers = [{{ rule = "insert", name = "A", value = "{SECRET}" }}]
[llm.providers.b]
type = "bedrock"
access_key_id = "{SECRET}"
secret_access_key = "{SECRET}"
session_token = "{SECRET}"
[mcp.servers.a]
cmd = ["x"]
env = {{ A = "{SECRET}" }}
[mcp.servers.b]
url = "http://x"
auth.token = "{SECRET}"
[telemetry.exporters.otlp.grpc.headers]
authorization = "{SECRET}"
"""
    loaded = accepted(text)
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.config)


def accepted(text: str, **environ: str) -> Loaded:
    return loads(text, environ)


def test_a_mistaken_table_does_not_hide_the_rest() -> None:
    text = """
[server.tls]
certificate = 5
[server.oauth]
url = "x"
[llm.protocols.openai]
enabled = false
[llm.providers.e]
type = "echo"
headers = [{ rule = "insert", name = "a b" }, { rule = "nope" }, { rule = "forward" }]
[mcp.servers.a]
cmd = []
allow = ["g"]
"""
    assert [problem.path for problem in mistakes(text)] == [
        "server.tls.key",
        "server.tls.certificate",
        "server.oauth.protected_resource",
        "server.oauth.url",
        "llm.protocols",
        "llm.providers.e.headers[0].name",
        "llm.providers.e.headers[0].value",
        "llm.providers.e.headers[1].rule",
        "llm.providers.e.headers[2]",
        "mcp.servers.a.cmd",
    ]


def test_a_check_between_sections_runs_when_a_mistake_is_elsewhere() -> None:
    text = (
        '[server]\nworkers = 0\n[llm.protocols]\nopenai.enabled = false\n[llm.providers.e]\ntype = "echo"\n'
    )
    assert [problem.path for problem in mistakes(text)] == ["server.workers", "llm.protocols"]
