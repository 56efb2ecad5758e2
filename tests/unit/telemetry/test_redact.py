"""Nothing that looks like a key is left in a text; what does not is left alone."""

import time

import pytest

from nexus.telemetry.redact import HIDDEN, redact, redact_name, redact_target

TAIL = "Zx81-q_W3rTy0987654321abcdefGHIJ"
PLAIN = "Zx81qW3rTy0987654321abcdefGHIJKL"

# how each vendor's keys look; the random part is ours
KEY = "sk-ant-api03-0123456789abcdefghij"
KEYS = (
    f"sk-{PLAIN}",
    f"sk-proj-{TAIL}",
    f"sk-svcacct-{TAIL}",
    f"sk-admin-{TAIL}",
    f"sk-ant-api03-{TAIL}AA",
    f"sk-ant-oat01-{TAIL}",
    f"sk-or-v1-{'0123456789abcdef' * 4}",
    f"sk-lf-{TAIL}",
    f"pk-lf-{TAIL}",
    f"gsk_{PLAIN}",
    f"xai-{PLAIN}",
    f"pplx-{PLAIN}",
    f"nvapi-{TAIL}",
    f"csk-{PLAIN}",
    f"fw_{PLAIN}",
    f"hf_{PLAIN}",
    f"r8_{PLAIN}",
    f"tgp_v1_{TAIL}",
    f"AIzaSy{PLAIN}",
    f"AQ.Ab8RN6{TAIL}",
    f"ya29.a0Ad52N3{TAIL}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAY34FZKBOKMUTVV7A",
    f"ABSKQmVkcm9ja0FQSUtleS{PLAIN}==",
    f"bedrock-api-key-{PLAIN}==",
    f"ghp_{PLAIN}",
    f"gho_{PLAIN}",
    f"github_pat_11ABCDEFG0{PLAIN}",
    f"glpat-{TAIL[:20]}",
    f"xoxb-123456789012-{PLAIN}",
    f"lin_api_{PLAIN}",
    f"npm_{PLAIN}",
    f"dapi{'0123456789abcdef' * 2}",
    f"SG.{PLAIN[:22]}.{PLAIN}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
)
PLACES = ("{}", "key {} is not valid", "a/{}", "tool__{}", '{{"k": "{}"}}', "({})", "'{}',")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:12])
def test_keys_of_vendors_are_taken_out_wherever_they_stand(key: str, place: str) -> None:
    shown = redact(place.format(key))
    assert key not in shown
    assert key[-12:] not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "'authorization': 'Bearer {}'",
        '"x-api-key": "{}"',
        "x-goog-api-key: {}",
        "api_key={}",
        'apiKey = "{}"',
        "OPENAI_API_KEY={}",
        "AWS_SECRET_ACCESS_KEY={}",
        "aws_session_token={}",
        "client_secret={}",
        "password: {}",
        "https://host/path?key={}&alt=sse",
        "https://host/path?X-Amz-Signature={}",
        "https://host/path?access_token={}",
        "postgres://user:{}@db.example.com/nexus",
        "redis://:{}@cache:6379/0",
        "cookie: session={}",
        "proxy-authorization: Basic {}",
        "token: '{}'",
        "sent Bearer {} to it",
    ],
)
def test_values_are_taken_out_by_what_stands_before_them(text: str) -> None:
    secret = "q9Zr41MwPz77LkTn"
    shown = redact(text.format(secret))
    assert secret not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "POST /llm/openai/v1/chat/completions 200 12.3ms model=openai/gpt-4o tokens=100+20",
        "Ready: 12 models from 3 providers",
        "MCP server github does not work: not up within 30 seconds",
        'Or:  OpenAI(base_url="http://127.0.0.1:8000/llm/openai/v1", api_key="not-used")',
        "llm.providers.openai.api_key: the variable OPENAI_API_KEY is not set",
        "Failed to bind to 127.0.0.1:8000: Address already in use",
        "claude-sonnet-4-5-20250929",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0",
        "https://api.openai.com/v1/models answered 503",
        "key-value stores are asked",
        "1 mistake\n  line 3: server.tls.key: cannot read /etc/nexus/key.pem: No such file or directory",
        "tokens=3+3 first=0.4ms",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_long_texts_take_time_in_proportion() -> None:
    def seconds(size: int) -> float:
        text = "a-b_c=d:e/" * size + "x" * size
        began = time.perf_counter()
        redact(text)
        return time.perf_counter() - began

    seconds(100)
    assert seconds(20_000) < 100 * max(seconds(1_000), 1e-4)


def test_names_are_bounded() -> None:
    assert len(redact_name("m" * 10_000)) == 256
    assert redact_name("up/gpt-4o") == "up/gpt-4o"


@pytest.mark.parametrize("unseen", ["\n", "\r", "\x1b", "\x85", "\u2028", "\u202e", "\u2066"])
def test_names_write_no_line_and_command_no_terminal(unseen: str) -> None:
    shown = redact_name(f"gpt{unseen}2026 ERROR forged")
    assert unseen not in shown
    assert shown.startswith("gpt\\")


def test_of_a_query_only_the_names_are_shown() -> None:
    shown = redact_target("/v1/messages", b"beta=true&key=abc&k%C3%A9y=1&flag")
    assert shown == f"/v1/messages?beta=true&key={HIDDEN}&k%25C3%25A9y={HIDDEN}&flag"


def test_a_path_is_written_so_that_it_stays_one_line() -> None:
    assert redact_target("/a b\nc/é", b"") == "/a%20b%0Ac/%C3%A9"


@pytest.mark.parametrize("text", ["-", "_", "a-", "a."])
def test_a_long_path_does_not_stop_the_loop(text: str) -> None:
    began = time.perf_counter()
    redact(text * 4000)
    assert time.perf_counter() - began < 0.3


@pytest.mark.parametrize("query", [KEY, f"key%3D{KEY}", f"beta={KEY}", f"{KEY}=1", KEY.replace("-", "%2D")])
def test_no_key_is_in_a_query_that_is_told(query: str) -> None:
    assert "0123456789" not in redact_target("/health", query.encode())


@pytest.mark.parametrize("before", [" ", "é", '"', "{"])
def test_no_key_is_in_a_path_that_is_told(before: str) -> None:
    assert "0123456789" not in redact_target(f"/{before}{KEY}", b"")
