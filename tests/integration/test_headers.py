"""Header rules, keys that clients bring, and what is mounted beside the protocols: through the whole gateway."""

import pytest

from gateway import gateway
from upstreams.misbehaving import Wire, answer, serving
from upstreams.scripted import Told, upstream

CHAT = "/llm/openai/v1/chat/completions"
MESSAGES = "/llm/anthropic/v1/messages"
BODY = b'{"model":"up/gpt-4o","messages":[{"role":"user","content":"hi"}]}'
COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","model":"gpt-4o","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
)
SECRETS = {
    "authorization": "Bearer client",
    "cookie": "client",
    "proxy_authorization": "Bearer client",
    "x_api_key": "client",
    "x_provider_api_key": "client",
}
ALL = '{ rule = "forward", pattern = ".*" }'


def toml(url: str, rules: str = "", more: str = 'api_key = "own"', type: str = "openai") -> str:
    head = "llm.protocols.anthropic.enabled = true\n"
    return f'{head}[llm.providers.up]\ntype = "{type}"\nbase_url = "{url}"\nheaders = [{rules}]\n{more}\n'


def told(_: object) -> Told:
    return Told(pieces=(COMPLETION,))


async def test_a_pattern_for_everything_lets_no_secret_out() -> None:
    async with upstream(told) as up, gateway(toml(up.url, ALL)) as nexus:
        assert (await nexus.ask("POST", CHAT, BODY, **SECRETS, x_kept="yes", accept="a/b")).status == 200
        sent = up.last.headers
        assert not [name for name, value in sent.items() if "client" in value]
        assert (sent["authorization"], sent["x-kept"], sent["accept"]) == ("Bearer own", "yes", "*/*")
        assert sent["content-length"] == str(len(up.last.body))


async def test_a_rule_by_name_wins_over_the_headers_of_the_provider() -> None:
    rules = (
        '{ rule = "forward", name = "authorization" }, { rule = "insert", name = "User-Agent", value = "u" }'
    )
    async with upstream(told) as up, gateway(toml(up.url, rules)) as nexus:
        assert (await nexus.ask("POST", CHAT, BODY, authorization="Bearer mine")).status == 200
        assert up.last.headers["authorization"] == "Bearer mine"
        assert up.last.headers["user-agent"] == "u"


async def test_rules_of_a_model_go_by_the_name_the_client_asks_for() -> None:
    more = 'api_key = "own"\n[llm.providers.up.models.smart]\nrename = "gpt-4o"\n'
    more += 'headers = [{ rule = "insert", name = "X-Model", value = "smart" }]'
    insert = '{ rule = "insert", name = "X-Provider", value = "yes" }'
    async with upstream(told) as up, gateway(toml(up.url, insert, more)) as nexus:
        for model, expected in (
            ("up/smart", "smart"),
            ("smart", "smart"),
            ("up/gpt-4o", None),
            ("gpt-4o", None),
        ):
            await nexus.ask("POST", CHAT, BODY.replace(b"up/gpt-4o", model.encode()))
            assert up.last.headers.get("x-model") == expected
            assert up.last.headers["x-provider"] == "yes"


async def test_rules_do_not_touch_discovery() -> None:
    rules = '{ rule = "insert", name = "X-Team", value = "a" }'
    async with upstream(told) as up, gateway(toml(up.url, rules)):
        assert [asked.target for asked in up.asked] == ["/v1/models"]
        assert "x-team" not in up.asked[0].headers


async def test_rules_run_where_protocols_are_translated() -> None:
    rules = '{ rule = "forward", name = "x-trace-id" }'
    async with upstream(told) as up, gateway(toml(up.url, rules)) as nexus:
        body = b'{"model":"up/gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
        assert (await nexus.ask("POST", MESSAGES, body, x_trace_id="t")).status == 200
        assert up.last.headers["x-trace-id"] == "t"


async def test_headers_of_the_protocol_are_not_doubled_by_a_rule() -> None:
    heads: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            heads.append((await wire.request()).partition(b"\r\n\r\n")[0])
            await wire.say(
                answer(MESSAGE if b"POST" in heads[-1] else b'{"data":[]}', b"content-type: application/json")
            )

    rules = '{ rule = "forward", pattern = "^(anthropic-.*|x-.*|user-agent)$" }'
    async with serving(script) as up, gateway(toml(up.origin.url, rules, type="anthropic")) as nexus:
        assert (await nexus.ask("POST", MESSAGES, BODY, anthropic_beta="a,b", user_agent="u")).status == 200
        names = [line.partition(b":")[0] for line in heads[-1].split(b"\r\n")[1:]]
        assert sorted(names) == sorted({*names, b"anthropic-beta", b"anthropic-version", b"user-agent"})


@pytest.mark.parametrize(
    ("type", "path", "body", "header", "value"),
    [
        ("openai", CHAT, COMPLETION, "authorization", "Bearer "),
        ("anthropic", MESSAGES, MESSAGE, "x-api-key", ""),
        ("anthropic", CHAT, MESSAGE, "x-api-key", ""),
    ],
)
async def test_a_client_brings_its_own_key(
    type: str, path: str, body: bytes, header: str, value: str
) -> None:
    async with (
        upstream(lambda _: Told(pieces=(body,))) as up,
        gateway(toml(up.url, more="forward_token = true", type=type)) as nexus,
    ):
        assert up.asked == []  # nobody's key to ask for models with
        mine = {"authorization": "Bearer gateway"}
        assert (await nexus.ask("POST", path, BODY, X_Provider_Api_Key="k1", **mine)).status == 200
        assert up.last.headers[header] == f"{value}k1"
        assert "x-provider-api-key" not in up.last.headers
        assert "gateway" not in "".join(up.last.headers.values())
        refused = await nexus.ask("POST", path, BODY, **mine)
        assert refused.status == 401
        assert (
            b"Authentication failed: Token forwarding is enabled but no API key was provided" in refused.body
        )
        assert len(up.asked) == 1


async def test_without_permission_a_brought_key_is_ignored() -> None:
    async with upstream(told) as up, gateway(toml(up.url)) as nexus:
        await nexus.ask("POST", CHAT, BODY, x_provider_api_key="k1")
        assert up.last.headers["authorization"] == "Bearer own"


async def test_the_proxy_and_opened_providers_are_mounted() -> None:
    async with upstream(told) as up:
        proxy = f'llm.proxy.anthropic = {{ enabled = true, base_url = "{up.url.removesuffix("/v1")}" }}\n'
        async with gateway(proxy + toml(up.url, more='api_key = "own"\npassthrough = true')) as nexus:
            assert (await nexus.ask("GET", "/proxy/anthropic/v1/files", x_api_key="mine")).status == 200
            assert up.last.headers["x-api-key"] == "mine"
            assert (await nexus.ask("DELETE", "/passthrough/up/files/1")).status == 200
            assert (up.last.method, up.last.target) == ("DELETE", "/v1/files/1")
            assert (await nexus.ask("POST", CHAT, BODY)).status == 200
        async with gateway(toml(up.url)) as nexus:
            for path in ("/proxy/anthropic/v1/files", "/passthrough/up/files"):
                assert (await nexus.ask("GET", path)).status == 404
