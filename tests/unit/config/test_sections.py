"""What single keys accept: the texts the contract fixes, and the forms it allows."""

import pytest

from nexus.config import Address, Config, ProviderConfig, loads
from nexus.config.llm import BedrockConfig, ForwardRule, InsertRule, LocalConfig, RemoveRule
from nexus.config.mcp import HttpServer, StderrFile, StdioServer
from nexus.config.ratelimit import RedisStorage
from nexus.errors import ConfigError

ECHO = 'llm.providers.e.type = "echo"\n'


def read(text: str, **environ: str) -> Config:
    return loads(ECHO + text, environ).config


def message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(ECHO + text, {})
    return caught.value.problems[0].message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_an_ip_and_a_port(text: str, address: Address) -> None:
    assert read(f'server.listen_address = "{text}"').server.listen_address == address
    assert read(f'server.health.listen = "{text}"').server.health.listen == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["localhost:8000", "127.0.0.1", "127.0.0.1:", "::1:80", "1.2.3.4:65536", ":80", "1.2.3.4:-1"]
)
def test_no_other_address_is_accepted(text: str) -> None:
    assert message(f'server.listen_address = "{text}"').startswith("expected an IP address and a port")


def test_cors_lists_may_be_a_star_one_or_many() -> None:
    cors = read(
        """
        [server.cors]
        allow_origins = "https://a.example"
        allow_methods = "get"
        allow_headers = ["X-A", "X-B"]
        expose_headers = "*"
        max_age = "1h"
        """
    ).server.cors
    assert cors is not None
    assert cors.allow_origins == ("https://a.example",)
    assert cors.allow_methods == ("GET",)
    assert cors.allow_headers == ("X-A", "X-B")
    assert cors.expose_headers == "*"
    assert cors.max_age == 3600


def test_an_empty_cors_table_is_not_an_absent_one() -> None:
    cors = read("server.cors = {}").server.cors
    assert cors is not None
    assert cors.allow_origins is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            'allow_methods = ["MEOW"]',
            "unknown variant `MEOW`, expected one of `GET`, `POST`, `PUT`, `DELETE`",
        ),
        ('allow_methods = ["get"]', "unknown variant `get`, expected one of `GET`"),
        ('allow_headers = "naïve"', 'invalid value: string "naïve", expected an ascii string'),
        ('expose_headers = ["X-A", "é"]', 'invalid value: string "é", expected an ascii string'),
        ('allow_headers = ["a b"]', "expected an HTTP header name"),
        ('allow_origins = ["*"]', 'expected "*" or origins such as'),
        ('allow_origins = "app.example"', 'expected "*" or origins such as'),
        ("allow_origins = 1", 'expected "*", a URL or an array of them, got 1'),
        (
            'allow_credentials = true\nallow_headers = "*"',
            'allow_credentials cannot be combined with allow_headers = "*"; list what is allowed',
        ),
    ],
)
def test_what_cors_refuses(line: str, text: str) -> None:
    assert message(f"[server.cors]\n{line}").startswith(text)


def test_origins_may_hold_globs() -> None:
    cors = read(
        'server.cors.allow_origins = ["https://*.example.com", "http://localhost:[0-9]*"]'
    ).server.cors
    assert cors is not None
    assert cors.allow_origins == ("https://*.example.com", "http://localhost:[0-9]*")


def test_the_csrf_header_must_be_a_header_name() -> None:
    assert message('server.csrf.header_name = "a b"').startswith("expected an HTTP header name")


def test_oauth_needs_its_resource() -> None:
    text = 'server.oauth = { url = "https://a/jwks" }'
    assert message(text) == "missing field `protected_resource`"


def test_an_identity_needs_a_source_and_the_claim_wins() -> None:
    assert "did not match any variant" in message('server.client_identification.client_id = { type = "x" }')
    source = read('server.client_identification.client_id = { http_header = "X", jwt_claim = "c" }')
    assert source.server.client_identification.client_id.jwt_claim == "c"


def test_rate_limits_must_say_whether_they_are_enabled() -> None:
    assert message("[server.rate_limits]") == "missing field `enabled`"


def test_redis_fills_in_what_a_partial_pool_leaves_out() -> None:
    text = """
    [server.rate_limits]
    enabled = false
    [server.rate_limits.storage]
    type = "redis"
    url = "rediss://h:6379"
    pool = { max_size = 3 }
    tls = { enabled = true, ca_cert_path = "/ca" }
    """
    storage = read(text).server.rate_limits.storage
    assert isinstance(storage, RedisStorage)
    assert storage.url.get_secret_value() == "rediss://h:6379"
    assert (storage.pool.max_size, storage.pool.timeout_wait, storage.pool.timeout_recycle) == (3, 5.0, 300.0)
    assert (storage.key_prefix, storage.response_timeout) == ("nexus:rate_limit:", 1.0)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('global = { limit = 0, interval = "1s" }', "must be greater than zero"),
        ('global = { limit = -1, interval = "1s" }', "expected a whole number, 1 or more, got -1"),
        ('per_ip = { limit = 1, interval = "0" }', "must be at least one millisecond"),
        ('per_ip = { limit = 1, interval = "999us" }', "must be at least one millisecond"),
        ("per_ip = { limit = 1 }", "missing field `interval`"),
        ('storage = { url = "redis://h" }', "missing field `type`"),
        ('storage = { type = "redis" }', "missing field `url`"),
        ('storage = { type = "disk" }', "unknown variant `disk`, expected one of `memory`, `redis`"),
        ('storage = { type = "redis", url = "redis://h", pol = 1 }', "unknown field `pol`"),
        (
            'storage = { type = "redis", url = "http://h" }',
            "expected a URL that starts with redis:// or rediss://",
        ),
    ],
)
def test_what_rate_limits_refuse(line: str, text: str) -> None:
    assert message(f"[server.rate_limits]\nenabled = false\n{line}").startswith(text)


def test_a_limit_reads_under_its_reserved_name() -> None:
    limits = read(
        'server.rate_limits = { enabled = true, global = { limit = 5, interval = "1ms" } }'
    ).server.rate_limits
    assert limits.global_ is not None
    assert (limits.global_.limit, limits.global_.interval) == (5, 0.001)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('model_filter = "  "', "model_filter cannot be empty"),
        ('model_filter = "("', "invalid model_filter regex"),
        ('base_url = "api.openai.com"', "expected a URL that starts with http:// or https://"),
        ('base_url = "https://"', "expected a URL that starts with http:// or https://"),
        ('proxy = "socks5://x"', "expected a URL that starts with http:// or https://"),
        ('api_key_header = "api key"', "expected an HTTP header name"),
        ('api_key = "a\\nb"', "a key holds printable ASCII characters only"),
        ("query = { a = 1 }", "expected a string, got 1"),
        ("max_connections = 0", "must be greater than zero"),
        ('timeouts = { idle = "0" }', "must be at least one millisecond"),
        ("tls = { verify = false }", "unknown field `verify`"),
        ('rate_limits.per_user = { input_token_limit = 0, interval = "1s" }', "must be greater than zero"),
        ("rate_limits.per_user = { input_token_limit = 1 }", "missing field `interval`"),
        (
            'headers = [{ rule = "rename", name = "a" }]',
            "unknown variant `rename`, expected one of `forward`, `insert`",
        ),
        ('headers = [{ name = "a" }]', "missing field `rule`"),
        ('headers = [{ rule = "forward" }]', "expected exactly one of `name` and `pattern`"),
        (
            'headers = [{ rule = "remove", name = "a", pattern = "b" }]',
            "expected exactly one of `name` and `pattern`",
        ),
        ('headers = [{ rule = "forward", pattern = "(" }]', "invalid header pattern regex"),
        ('headers = [{ rule = "forward", pattern = " " }]', "header pattern cannot be empty"),
        (
            'headers = [{ rule = "insert", name = "a", value = "b\\nc" }]',
            "a header value cannot hold line breaks",
        ),
        (
            'headers = [{ rule = "insert", name = "a", value = "b", default = "c" }]',
            "unknown field `default`",
        ),
    ],
)
def test_what_a_provider_refuses(line: str, text: str) -> None:
    assert message(f'[llm.providers.a]\ntype = "openai"\n{line}').startswith(text)


@pytest.mark.parametrize("type", ["bedrock", "local", "echo"])
def test_only_providers_with_a_key_can_be_opened(type: str) -> None:
    text = "passthrough is there for the types openai, anthropic and google"
    assert message(f'llm.providers.a = {{ type = "{type}", passthrough = true }}') == text


@pytest.mark.parametrize("type", ["openai", "anthropic", "google"])
def test_a_provider_can_be_opened(type: str) -> None:
    assert read(f'llm.providers.a = {{ type = "{type}", passthrough = true }}').llm.providers["a"].passthrough


def test_the_proxy_may_go_elsewhere() -> None:
    text = 'llm.proxy.anthropic = { enabled = true, base_url = "https://proxy.example/anthropic" }'
    assert read(text).llm.proxy.anthropic.base_url == "https://proxy.example/anthropic"
    refused = 'llm.proxy.anthropic = { enabled = true, base_url = "api.anthropic.com" }'
    assert message(refused).startswith("expected a URL that starts with http:// or https://")


def test_an_unknown_provider_type_is_told_with_the_known_ones() -> None:
    known = "`openai`, `anthropic`, `google`, `bedrock`, `local`, `echo`"
    assert message('llm.providers.a.type = "azure"') == f"unknown variant `azure`, expected one of {known}"


def test_a_model_filter_ignores_case_searches_and_may_hold_a_slash() -> None:
    filter = (
        read('llm.providers.a = { type = "openai", model_filter = " GPT/4 " }')
        .llm.providers["a"]
        .model_filter
    )
    assert filter is not None
    assert filter.search("my-gpt/4-mini")


def test_a_provider_carries_all_its_settings() -> None:
    text = """
    [llm.providers.azure]
    type = "openai"
    api_key = "k"
    base_url = "https://x.openai.azure.com/openai"
    api_key_header = "api-key"
    query = { "api-version" = "2024-10-21" }
    timeouts = { connect = "1s", idle = 5 }
    max_connections = 7
    proxy = "none"
    tls = { ca = "/ca.pem", insecure = true, server_name = "y" }
    """
    provider = read(text).llm.providers["azure"]
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == "k"
    assert (provider.base_url, provider.api_key_header) == ("https://x.openai.azure.com/openai", "api-key")
    assert provider.query == {"api-version": "2024-10-21"}
    assert (provider.timeouts.connect, provider.timeouts.first_byte, provider.timeouts.idle) == (
        1.0,
        600.0,
        5.0,
    )
    assert (provider.max_connections, provider.proxy, str(provider.tls.ca)) == (7, "none", "/ca.pem")
    assert (provider.tls.insecure, provider.tls.server_name) == (True, "y")


def test_header_rules_read_in_order() -> None:
    text = """
    [[llm.providers.e.headers]]
    rule = "forward"
    pattern = "^x-debug-"
    [[llm.providers.e.headers]]
    rule = "insert"
    name = "X-A"
    value = "1"
    [[llm.providers.e.headers]]
    rule = "remove"
    name = "X-B"
    """
    forward, insert, remove = read(text).llm.providers["e"].headers
    assert isinstance(forward, ForwardRule)
    assert forward.pattern is not None
    assert forward.pattern.search("X-Debug-1")
    assert isinstance(insert, InsertRule)
    assert insert.value.get_secret_value() == "1"
    assert isinstance(remove, RemoveRule)


def test_bedrock_needs_no_region_and_tolerates_strangers_in_its_models() -> None:
    provider = read('llm.providers.b = { type = "bedrock", models.c = { max_tokens = 10 } }').llm.providers[
        "b"
    ]
    assert isinstance(provider, BedrockConfig)
    assert provider.region is None
    assert provider.models["c"].extra == {"max_tokens": 10}


def test_a_local_model_has_its_own_settings() -> None:
    provider = read('llm.providers.l = { type = "local", model_path = "/m.gguf", threads = 2 }')
    local = provider.llm.providers["l"]
    assert isinstance(local, LocalConfig)
    assert (str(local.model_path), local.context, local.threads) == ("/m.gguf", 8192, 2)


def test_a_key_that_does_nothing_for_the_type_earns_a_warning() -> None:
    text = ECHO + 'llm.providers.l = { type = "local", api_key = "x", base_url = "http://x" }'
    loaded = loads(text, {})
    assert loaded.warnings == (
        "line 2: llm.providers.l.api_key: has no effect on a provider of type 'local'",
        "line 2: llm.providers.l.base_url: has no effect on a provider of type 'local'",
    )


def test_an_empty_key_and_unchecked_certificates_earn_warnings() -> None:
    text = 'llm.providers.a = { type = "openai", api_key = "{{ env.K }}", tls.insecure = true }'
    assert loads(text, {"K": ""}).warnings == (
        "line 1: llm.providers.a.api_key: the key is empty",
        "line 1: llm.providers.a.tls.insecure: certificates are not checked",
    )


def test_a_keep_alive_of_zero_turns_it_off() -> None:
    assert read('llm.keep_alive = "0"').llm.keep_alive == 0


def test_models_can_be_built_without_a_file() -> None:
    provider = ProviderConfig(type="openai", base_url="http://127.0.0.1:1/v1")
    assert provider.timeouts.connect == 10.0
    assert provider.extra == {}


def test_mcp_servers_are_told_apart_by_shape() -> None:
    text = """
    [mcp.servers.a]
    cmd = ["npx", "-y"]
    env = { A = "1" }
    stderr = { file = "/log" }
    [mcp.servers.b]
    url = "https://x/mcp"
    auth.token = "t"
    headers = [{ rule = "insert", name = "A", value = "b" }]
    rate_limits = { limit = 1, interval = "1s", tools = { t = { limit = 2, interval = "1m" } } }
    tools.t.allow = []
    """
    servers = read(text).mcp.servers
    a, b = servers["a"], servers["b"]
    assert isinstance(a, StdioServer)
    assert isinstance(a.stderr, StderrFile)
    assert a.cmd == ("npx", "-y")
    assert isinstance(b, HttpServer)
    assert b.rate_limits is not None
    assert b.rate_limits.tools["t"].interval == 60
    assert b.tools["t"].allow == frozenset()
    assert b.allow is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("cmd = []", "Command cannot be empty - must contain at least the executable"),
        ('cmd = ["x"]\nurl = "http://x"', "did not match any variant"),
        ("", "missing field `url`"),
        ('cmd = ["x"]\nstdout = "null"', "unknown field `stdout`"),
        (
            'cmd = ["x"]\nstderr = "file"',
            'expected "null", "inherit", "pipe" or { file = "path" }, got "file"',
        ),
        (
            'url = "http://x"\nprotocol = "ws"',
            "unknown variant `ws`, expected one of `sse`, `streamable-http`",
        ),
        ('url = "http://x"\nauth = {}', 'expected { token = "…" } or { type = "forward" }'),
        ('url = "http://x"\nheaders = [{ rule = "remove", name = "a" }]', "unknown variant `remove`"),
        ('url = "http://x"\nrate_limits = { limit = 1 }', "missing field `interval`"),
    ],
)
def test_what_an_mcp_server_refuses(line: str, text: str) -> None:
    assert message(f"[mcp.servers.a]\n{line}").startswith(text)


def test_telemetry_headers_may_be_a_map_or_an_array() -> None:
    text = """
    [telemetry.exporters.otlp]
    enabled = true
    grpc.headers = [{ name = "X-Upper", value = "1" }]
    [telemetry.logs.exporters.otlp]
    protocol = "http"
    http.headers = { Authorization = "b" }
    """
    telemetry = read(text).telemetry
    assert telemetry is not None
    otlp, logs = telemetry.exporters.otlp, telemetry.logs.exporters.otlp
    assert otlp is not None
    assert logs is not None
    assert otlp.grpc is not None
    assert logs.http is not None
    assert (otlp.timeout, otlp.endpoint, otlp.batch_export.max_queue_size) == (
        60.0,
        "http://localhost:4317",
        2048,
    )
    assert list(otlp.grpc.headers) == ["x-upper"]
    assert logs.http.headers["authorization"].get_secret_value() == "b"
    assert telemetry.tracing.sampling == 0.15
    assert telemetry.tracing.propagation.trace_context is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tracing.sampling = 1.5", "sampling rate must be between 0.0 and 1.0, got 1.5"),
        ("tracing.sampling = -0.1", "sampling rate must be between 0.0 and 1.0, got -0.1"),
        ("tracing.sampling = nan", "sampling rate must be between 0.0 and 1.0, got nan"),
        (
            'exporters.otlp.grpc.headers = { GRPC-Timeout = "1" }',
            "gRPC metadata key cannot start with 'grpc-' (reserved)",
        ),
        (
            "exporters.otlp.grpc.headers = 5",
            "expected a table of headers, or an array of { name, value }, got 5",
        ),
        ("exporters.otlp.http = {}", "HTTP configuration found but protocol is set to 'grpc'"),
        (
            'exporters.otlp = { protocol = "http", grpc = {} }',
            "gRPC configuration found but protocol is set to 'http'",
        ),
        ('exporters.otlp.protocol = "thrift"', "unknown variant `thrift`, expected one of `grpc`, `http`"),
    ],
)
def test_what_telemetry_refuses(line: str, text: str) -> None:
    assert message(f"[telemetry]\n{line}").startswith(text)


def test_settings_for_both_otlp_protocols_may_stand_side_by_side() -> None:
    text = ECHO + "[telemetry.logs.exporters.otlp]\ngrpc.headers = {}\nhttp.headers = {}\n"
    assert loads(text, {}).warnings == (
        "line 4: telemetry.logs.exporters.otlp.http: HTTP configuration found but protocol is set to 'grpc'",
    )


def test_a_misspelt_kind_of_server_is_recognised() -> None:
    with pytest.raises(ConfigError) as caught:
        loads('[mcp.servers.a]\ncommand = ["x"]', {})
    assert "did you mean 'cmd'?" in [problem.cure for problem in caught.value.problems]


@pytest.mark.parametrize("rate", ["0", "1", "0.0", "1.0", "0.5"])
def test_every_share_of_requests_may_be_traced(rate: str) -> None:
    telemetry = read(f"telemetry.tracing.sampling = {rate}").telemetry
    assert telemetry is not None
    assert telemetry.tracing.sampling == float(rate)
