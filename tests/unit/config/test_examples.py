"""Files of the kind the product's pages show are accepted."""

import pytest

from nexus.config import Loaded, loads

NAMES = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "OTLP_TOKEN", "AWS_PROFILE"]
ENVIRON: dict[str, str] = dict.fromkeys(NAMES, "k")


def read(text: str) -> Loaded:
    return loads(text, ENVIRON)


BOTH_PROTOCOLS = """
[llm]
enabled = true
[llm.protocols.openai]
enabled = true
path = "/llm/openai"
[llm.protocols.anthropic]
enabled = true
path = "/llm/anthropic"
[llm.providers.openai]
type = "openai"
api_key = "{{ env.OPENAI_API_KEY }}"
[llm.providers.openai.models.gpt-4]
[llm.providers.openai.models."gpt-3.5-turbo"]
[llm.providers.openai.models.smart]
rename = "gpt-4"
[llm.providers.anthropic]
type = "anthropic"
api_key = "{{ env.ANTHROPIC_API_KEY }}"
[llm.providers.anthropic.models.fast]
rename = "claude-3-haiku"
[llm.providers.bedrock]
type = "bedrock"
profile = "{{ env.AWS_PROFILE }}"
region = "us-east-1"
[llm.providers.bedrock.models."ai21.jamba-1.5-mini-v1:0"]
"""

LIMITED = """
[server.client_identification]
enabled = true
client_id.http_header = "X-Client-ID"
group_id.http_header = "X-Group-ID"
[server.client_identification.validation]
group_values = ["free", "pro"]
[llm.providers.openai]
type = "openai"
api_key = "{{ env.OPENAI_API_KEY }}"
forward_token = true
[llm.providers.openai.rate_limits.per_user]
input_token_limit = 100000
interval = "60s"
[llm.providers.openai.rate_limits.per_user.groups]
free = { input_token_limit = 10000, interval = "60s" }
pro = { input_token_limit = 100000, interval = "60s" }
[llm.providers.openai.models.gpt-4.rate_limits.per_user]
input_token_limit = 50000
interval = "30s"
[llm.providers.openai.models.gpt-4.rate_limits.per_user.groups]
free = { input_token_limit = 5000, interval = "60s" }
pro = { input_token_limit = 50000, interval = "60s" }
"""

REDIS = """
[server.rate_limits]
enabled = true
[server.rate_limits.storage]
type = "redis"
url = "redis://localhost:6379"
key_prefix = "nexus:rate_limit:"
response_timeout = "1s"
connection_timeout = "5s"
[server.rate_limits.storage.pool]
max_size = 16
min_idle = 0
timeout_create = "5s"
timeout_wait = "5s"
timeout_recycle = "300s"
[server.rate_limits.storage.tls]
enabled = true
ca_cert_path = "/ca.crt"
[server.rate_limits.global]
limit = 1000
interval = "60s"
[server.rate_limits.per_ip]
limit = 100
interval = "60s"
[mcp.servers.my_server]
url = "https://api.example.com/mcp"
[mcp.servers.my_server.rate_limits]
limit = 50
interval = "60s"
[mcp.servers.my_server.rate_limits.tools]
expensive_tool = { limit = 10, interval = "60s" }
"""

SERVERS = """
[server.oauth]
url = "https://issuer.example/.well-known/jwks.json"
poll_interval = "5m"
expected_issuer = "https://issuer.example"
expected_audience = "nexus"
[server.oauth.protected_resource]
resource = "https://nexus.example"
authorization_servers = ["https://issuer.example"]
[server.client_identification]
enabled = true
client_id.jwt_claim = "sub"
group_id.jwt_claim = "groups"
validation.group_values = ["premium", "suspended"]
[[mcp.headers]]
rule = "insert"
name = "X-Application"
value = "nexus"
[mcp.servers.github]
url = "https://api.githubcopilot.com/mcp/"
auth.token = "{{ env.GITHUB_TOKEN }}"
[mcp.servers.sse]
protocol = "sse"
url = "http://example.com/sse"
message_url = "http://example.com/messages"
[mcp.servers.sse.auth]
type = "forward"
[mcp.servers.sse.tls]
verify_certs = true
accept_invalid_hostnames = false
root_ca_cert_path = "/ca.pem"
[mcp.servers.python]
cmd = ["python", "-m", "mcp_server"]
env = { PYTHONPATH = "/opt/mcp" }
cwd = "/workspace"
stderr = "inherit"
allow = ["premium"]
deny = ["suspended"]
[mcp.servers.python.tools.old]
allow = []
"""

HEADERS = """
[llm.providers.openai]
type = "openai"
api_key = "{{ env.OPENAI_API_KEY }}"
[[llm.providers.openai.headers]]
rule = "forward"
name = "X-Trace-ID"
default = "none"
rename = "X-T"
[[llm.providers.openai.headers]]
rule = "remove"
pattern = "X-Internal-.*"
[[llm.providers.openai.headers]]
rule = "rename_duplicate"
name = "X-User-ID"
rename = "X-OpenAI-User"
[llm.providers.openai.models.gpt-4]
[[llm.providers.openai.models.gpt-4.headers]]
rule = "insert"
name = "X-Model-Config"
value = "premium"
"""

TELEMETRY = """
[llm.providers.openai]
type = "openai"
api_key = "{{ env.OPENAI_API_KEY }}"
[telemetry]
service_name = "nexus-production"
[telemetry.resource_attributes]
environment = "production"
[telemetry.exporters.otlp]
enabled = true
endpoint = "http://localhost:4317"
protocol = "grpc"
timeout = "60s"
[telemetry.exporters.otlp.grpc.headers]
authorization = "Bearer {{ env.OTLP_TOKEN }}"
[telemetry.exporters.otlp.grpc.tls]
domain_name = "name"
key = "/key.pem"
cert = "/cert.pem"
ca = "/ca.pem"
[telemetry.exporters.otlp.batch_export]
scheduled_delay = "5s"
max_queue_size = 2048
[telemetry.tracing]
sampling = 0.15
parent_based_sampler = true
[telemetry.tracing.collect]
max_events_per_span = 128
[telemetry.tracing.propagation]
trace_context = true
aws_xray = false
[telemetry.tracing.exporters.otlp]
enabled = true
[telemetry.logs.exporters.otlp]
enabled = true
timeout = "30s"
"""


@pytest.mark.parametrize("text", [BOTH_PROTOCOLS, LIMITED, REDIS, SERVERS, HEADERS, TELEMETRY])
def test_a_file_like_those_in_the_documentation_is_accepted(text: str) -> None:
    assert read(text).warnings == ()


def test_models_are_found_under_the_names_of_the_file() -> None:
    providers = read(BOTH_PROTOCOLS).config.llm.providers
    assert list(providers) == ["openai", "anthropic", "bedrock"]
    assert list(providers["openai"].models) == ["gpt-4", "gpt-3.5-turbo", "smart"]
    assert providers["openai"].models["smart"].rename == "gpt-4"
