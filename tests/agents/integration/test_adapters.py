"""The adapters against a real socket: what they send, what they make of answers, what the guard stops."""

import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest

from agents.fakes import (
    Asked,
    Gateway,
    Told,
    custom,
    environment,
    failed,
    free,
    listing,
    openrouter,
    paid,
    said,
)
from nexus_agents import asking
from nexus_agents.adapters import build
from nexus_agents.adapters.base import Prompt
from nexus_agents.adapters.compatible import Compatible
from nexus_agents.adapters.openrouter import OpenRouter
from nexus_agents.errors import AdapterError, Kind, NoAdapter, Refused
from nexus_agents.guard import Policy
from nexus_agents.options import OrchestrateOptions
from nexus_agents.services import Services
from nexus_agents.settings import Settings

LOCAL = Policy(allow_private=True)
HELLO = msgspec.structs.replace(asking.prompt("be kind", "hello"), model="m")
ONCE = OrchestrateOptions(plan="never")


def adapter(url: str, **more: object) -> Compatible:
    settings = {
        "name": "custom-openai",
        "title": "Custom OpenAI",
        "base_url": url,
        "key": "sk-secret-key",
        "policy": LOCAL,
    }
    return Compatible(**{**settings, **more})  # pyright: ignore[reportArgumentType]  # a test may say anything


async def ask(url: str, prompt: Prompt = HELLO):
    client = adapter(url)
    try:
        return await client.complete(prompt)
    finally:
        await client.close()


# one call


async def test_a_call_is_sent_with_its_key_and_its_model():
    with Gateway(lambda _: said("hi")).listening() as gateway:
        assert (await ask(gateway.url)).text == "hi"
    (asked,) = gateway.asked
    assert (asked.method, asked.path, asked.model) == ("POST", "/v1/chat/completions", "m")
    assert asked.headers["authorization"] == "Bearer sk-secret-key"


async def test_what_is_meant_for_openai_is_sent_to_nobody_else(monkeypatch: pytest.MonkeyPatch):
    for name in (
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_WEBHOOK_SECRET",
    ):
        monkeypatch.setenv(name, f"meant-for-openai-{name}")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "X-Secret: meant-for-openai\nAuthorization: Bearer meant-for-openai"
    )
    with Gateway(lambda _: said("hi")).listening() as gateway:
        client = adapter(gateway.url, headers={"X-Own": "kept"})
        await client.complete(HELLO)
        await client.models()
        await client.close()
    for asked in gateway.asked:
        assert not [value for value in asked.headers.values() if "meant-for-openai" in value]
        assert (asked.headers["authorization"], asked.headers["x-own"]) == ("Bearer sk-secret-key", "kept")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID),
        (401, Kind.AUTHENTICATION),
        (402, Kind.PAYMENT),
        (403, Kind.AUTHENTICATION),
        (404, Kind.NOT_FOUND),
        (408, Kind.TIMEOUT),
        (413, Kind.INVALID),
        (422, Kind.INVALID),
        (429, Kind.RATE_LIMITED),
        (500, Kind.SERVER),
        (502, Kind.SERVER),
        (503, Kind.SERVER),
        (504, Kind.TIMEOUT),
        (529, Kind.SERVER),
    ],
)
async def test_a_status_has_its_kind_and_is_asked_for_once(status: int, kind: Kind):
    with Gateway(lambda _: failed(status, "the reason")).listening() as gateway:
        with pytest.raises(AdapterError, match="the reason") as caught:
            await ask(gateway.url)
    assert (caught.value.kind, caught.value.status, len(gateway.asked)) == (kind, status, 1)


async def test_a_quota_that_is_used_up_is_no_rate_limit():
    with Gateway(lambda _: failed(429, code="insufficient_quota")).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert caught.value.kind is Kind.PAYMENT


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250"}, 0.25, 0.25),
        (
            {"retry-after": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3000))},
            2_000,
            3_001,
        ),
    ],
)
async def test_retry_after_is_read_in_every_spelling(headers: dict[str, str], least: float, most: float):
    with Gateway(lambda _: Told(429, b"{}", headers)).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("header", ["soon", "-1", "", "9" * 400])
async def test_a_retry_after_that_makes_no_sense_is_none_or_harmless(header: str):
    with Gateway(lambda _: Told(429, b"{}", {"retry-after": header})).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert caught.value.retry_after is None or caught.value.retry_after >= 0


async def test_a_body_that_echoes_the_key_is_redacted():
    def echo(asked: Asked) -> Told:
        return failed(401, f"wrong key: {asked.headers['authorization']}")

    with Gateway(echo).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert "secret" not in str(caught.value)


async def test_an_error_inside_a_200_is_an_error():
    with Gateway(lambda _: Told(body=b'{"error":{"code":429,"message":"slow down"}}')).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert caught.value.kind is Kind.RATE_LIMITED


async def test_a_page_of_html_is_garbage():
    with Gateway(
        lambda _: Told(body=b"<html>", headers={"content-type": "text/html"})
    ).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url)
    assert caught.value.kind is Kind.GARBAGE


async def test_a_service_without_structured_output_is_asked_without_and_remembered():
    def picky(asked: Asked) -> Told:
        return failed(400, "unknown field response_format") if "response_format" in asked.json else said("{}")

    prompt = msgspec.structs.replace(HELLO, schema={"type": "object"})
    with Gateway(picky).listening() as gateway:
        client = adapter(gateway.url)
        await client.complete(prompt)
        await client.complete(prompt)
        await client.close()
    assert ["response_format" in asked.json for asked in gateway.asked] == [True, False, False]


async def test_a_service_that_says_nothing_times_out():
    hold = threading.Event()

    def mute(_: Asked) -> Told:
        hold.wait(20)
        return said("late")

    with Gateway(mute).listening() as gateway:
        with pytest.raises(AdapterError) as caught:
            await ask(gateway.url, msgspec.structs.replace(HELLO, timeout=0.2))
        hold.set()
    assert caught.value.kind is Kind.TIMEOUT


async def test_nobody_listening_is_a_failed_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AdapterError) as caught:
        await ask(f"http://127.0.0.1:{port}/v1")
    assert caught.value.kind is Kind.CONNECTION
    assert "127.0.0.1" in str(caught.value)


async def test_a_redirect_is_not_followed_and_names_where_it_leads():
    with Gateway(lambda _: said("stolen")).listening() as other:
        moved = Told(307, b"", {"location": f"{other.url}/chat/completions"})
        with Gateway(lambda _: moved).listening() as gateway:
            with pytest.raises(Refused, match="redirect"):
                await ask(gateway.url)
    assert other.asked == []


async def test_a_model_list_larger_than_eight_megabytes_is_refused():
    with Gateway(
        lambda _: said("x"), Told(body=b'{"data":["' + b"x" * (9 * 1024 * 1024) + b'"]}')
    ).listening() as gateway:
        client = adapter(gateway.url)
        with pytest.raises(AdapterError, match="8 MB"):
            await client.models()
        await client.close()


async def test_a_model_list_is_asked_for_once_however_many_want_it():
    import asyncio

    with Gateway(lambda _: said("x"), listing("a", "b")).listening() as gateway:
        client = adapter(gateway.url)
        lists = await asyncio.gather(*(client.models() for _ in range(5)))
        await client.close()
    assert len(gateway.asked) == 1
    assert {tuple(one.id for one in each) for each in lists} == {("a", "b")}


# the guard


@pytest.mark.parametrize("allow", ["", "0", "TRUE", "True", "yes", " 1", "on"])
async def test_a_private_gateway_is_refused_before_any_socket_opens(tmp_path: Path, allow: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://localhost:{server.getsockname()[1]}/v1"
        environ = environment(
            tmp_path,
            NEXUS_CUSTOM_API_BASE_URL=url,
            NEXUS_CUSTOM_API_KEY="k",
            NEXUS_CUSTOM_MODEL="m",
            NEXUS_CUSTOM_API_ALLOW_PRIVATE=allow,
        )
        async with Services(environ) as services:
            with pytest.raises(NoAdapter) as caught:
                await services.orchestrate("hi", ONCE)
        with pytest.raises(BlockingIOError):
            server.accept()
    for told in ("localhost", "loopback", "NEXUS_CUSTOM_API_ALLOW_PRIVATE=1"):
        assert told in str(caught.value)


@pytest.mark.parametrize("allow", ["1", "true"])
async def test_exactly_1_or_true_lifts_it(tmp_path: Path, allow: str):
    with Gateway(lambda _: said("OK")).listening() as gateway:
        environ = {**custom(tmp_path, gateway), "NEXUS_CUSTOM_API_ALLOW_PRIVATE": allow}
        async with Services(environ) as services:
            assert (await services.orchestrate("hi", ONCE)).text == "OK"


async def test_cloud_metadata_is_refused_even_then(tmp_path: Path):
    environ = environment(
        tmp_path,
        NEXUS_CUSTOM_API_BASE_URL="http://169.254.169.254/v1",
        NEXUS_CUSTOM_API_KEY="k",
        NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
    )
    async with Services(environ) as services:
        with pytest.raises(NoAdapter, match="metadata"):
            await services.orchestrate("hi", ONCE)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@gw.example.com/v1",
        "https://gw.example.com/v1?key=hunter2",
        "ftp://gw.example.com",
    ],
)
async def test_a_base_url_that_is_none_is_refused_and_its_secrets_are_not_shown(tmp_path: Path, url: str):
    environ = environment(
        tmp_path, NEXUS_CUSTOM_API_BASE_URL=url, NEXUS_CUSTOM_API_KEY="k", NEXUS_CUSTOM_MODEL="m"
    )
    async with Services(environ) as services:
        with pytest.raises(NoAdapter, match="refused") as caught:
            await services.orchestrate("hi", ONCE)
        (status,) = await services.adapters()
    assert "hunter2" not in f"{caught.value} {status}"


# the gateway of path B and C


async def test_the_configured_model_is_sent_verbatim(tmp_path: Path):
    with Gateway(lambda _: said("OK"), failed(404)).listening() as gateway:
        async with Services(custom(tmp_path, gateway, NEXUS_CUSTOM_MODEL="vendor/Odd.Name:1")) as services:
            done = await services.orchestrate("hi", ONCE)
    assert gateway.chats[0].model == "vendor/Odd.Name:1"
    assert done.success


async def test_the_later_names_of_the_variables_do_as_well(tmp_path: Path):
    with Gateway(lambda _: said("OK")).listening() as gateway:
        environ = environment(
            tmp_path,
            NEXUS_OPENAI_COMPAT_URL=gateway.url,
            NEXUS_OPENAI_COMPAT_KEY="k",
            NEXUS_CUSTOM_API_ALLOW_PRIVATE="1",
        )
        async with Services(environ) as services:
            assert (await services.orchestrate("hi", ONCE)).success


@pytest.mark.parametrize("missing", ["NEXUS_CUSTOM_API_BASE_URL", "NEXUS_CUSTOM_API_KEY"])
async def test_half_a_configuration_is_told(tmp_path: Path, missing: str):
    given = {
        "NEXUS_CUSTOM_API_BASE_URL": "https://gw.example.com/v1",
        "NEXUS_CUSTOM_API_KEY": "k",
        "NEXUS_LISTEN_ADDRESS": "127.0.0.1:1",
    }
    given.pop(missing)
    async with Services(environment(tmp_path, **given)) as services:
        (status,) = await services.adapters()
        with pytest.raises(NoAdapter, match=missing):
            await services.orchestrate("hi", ONCE)
    assert (status.title, status.state, status.explicit) == ("Custom OpenAI", "broken", True)


# OpenRouter


def catalogue() -> Told:
    return listing(
        free("meta-llama/llama-3.3-70b-instruct:free"),
        free("qwen/qwen3-coder:free"),
        free("deepseek/deepseek-chat:free"),
        free("mistralai/mistral-small:free"),
        paid("anthropic/claude-sonnet-4.6", 3, 15),
        paid("openai/gpt-4o-mini", 0.15, 0.6),
    )


async def test_path_a_answers_with_a_free_model(tmp_path: Path):
    with Gateway(lambda asked: said("OK", model=asked.model), catalogue()).listening() as gateway:
        async with Services(openrouter(tmp_path, gateway)) as services:
            done = await services.orchestrate("Print the string OK", OrchestrateOptions())
            (status,) = await services.adapters()
    (attempt,) = done.trace
    assert (attempt.title, attempt.basis, attempt.cost_usd) == ("OpenRouter", "free", 0.0)
    assert attempt.model.endswith(":free")
    assert gateway.chats[0].headers["authorization"] == "Bearer sk-or-v1-secret"
    assert (status.title, status.state, status.models) == ("OpenRouter", "usable", 6)


async def test_a_pinned_model_is_sent_exactly(tmp_path: Path):
    with Gateway(lambda _: said("OK"), catalogue()).listening() as gateway:
        environ = openrouter(tmp_path, gateway, NEXUS_OPENROUTER_MODEL="anthropic/claude-sonnet-4-6")
        async with Services(environ) as services:
            await services.orchestrate("hi", ONCE)
    assert [asked.model for asked in gateway.chats] == ["anthropic/claude-sonnet-4-6"]


async def test_when_every_free_model_is_busy_a_paid_one_answers_and_the_trace_says_so(tmp_path: Path):
    def busy(asked: Asked) -> Told:
        return (
            failed(429, "free tier")
            if asked.model.endswith(":free")
            else said("OK", model=asked.model, tokens=(1000, 1000))
        )

    with Gateway(busy, catalogue()).listening() as gateway:
        async with Services(openrouter(tmp_path, gateway)) as services:
            done = await services.orchestrate("hi", ONCE)
    assert [attempt.status for attempt in done.trace] == ["rate_limited"] * 3 + ["ok"]
    assert (done.trace[-1].model, done.trace[-1].basis) == ("openai/gpt-4o-mini", "price list")
    assert done.cost_usd == pytest.approx(0.00075)


async def test_nothing_is_paid_where_that_is_not_wanted(tmp_path: Path):
    with Gateway(lambda _: failed(429, "free tier", retry_after="9999"), catalogue()).listening() as gateway:
        async with Services(openrouter(tmp_path, gateway, NEXUS_OPENROUTER_ALLOW_PAID="0")) as services:
            done = await services.orchestrate("hi", ONCE)
    assert not done.success
    assert all(asked.model.endswith(":free") for asked in gateway.chats)


async def test_the_catalogue_is_kept_for_hours_and_a_stale_one_serves_when_there_is_no_other(tmp_path: Path):
    clock = [1_000.0]

    def make(url: str) -> OpenRouter:
        return OpenRouter(
            key="k", pinned="", policy=LOCAL, cache=tmp_path / "c.json", base_url=url, now=lambda: clock[0]
        )

    with Gateway(lambda _: said("x"), catalogue()).listening() as gateway:
        for _ in range(3):
            client = make(gateway.url)
            assert len(await client.models()) == 6
            await client.close()
        assert len(gateway.asked) == 1
        clock[0] += 7 * 3600
        gateway.models = failed(500)
        client = make(gateway.url)
        assert len(await client.models()) == 6
        await client.close()
        assert len(gateway.asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


async def test_the_catalogue_of_one_service_is_not_taken_for_that_of_another(tmp_path: Path):
    with (
        Gateway(lambda _: said("x"), listing("a")).listening() as one,
        Gateway(lambda _: said("x"), listing("b")).listening() as two,
    ):
        for gateway, model in ((one, "a"), (two, "b")):
            client = OpenRouter(
                key="k", pinned="", policy=LOCAL, cache=tmp_path / "c.json", base_url=gateway.url
            )
            assert [listed.id for listed in await client.models()] == [model]
            await client.close()


async def test_without_a_catalogue_the_error_is_clear_and_a_pin_still_works(tmp_path: Path):
    with Gateway(lambda _: said("OK"), failed(500, "down")).listening() as gateway:
        async with Services(openrouter(tmp_path, gateway)) as services:
            with pytest.raises(NoAdapter, match="OpenRouter"):
                await services.orchestrate("hi", ONCE)
        async with Services(openrouter(tmp_path, gateway, NEXUS_OPENROUTER_MODEL="a/b")) as services:
            assert (await services.orchestrate("hi", ONCE)).success


@pytest.mark.parametrize("content", [b"", b"{", b'{"base_url":"x","at":0,"models":[]}', b"\xff"])
async def test_a_cache_that_is_broken_is_asked_for_anew(tmp_path: Path, content: bytes):
    cache = tmp_path / "c.json"
    cache.write_bytes(content)
    with Gateway(lambda _: said("x"), catalogue()).listening() as gateway:
        client = OpenRouter(key="k", pinned="", policy=LOCAL, cache=cache, base_url=gateway.url)
        assert len(await client.models()) == 6
        await client.close()


# which there are


def test_what_is_set_is_made_in_the_order_of_preference(tmp_path: Path):
    environ = environment(
        tmp_path, OPENAI_API_KEY="k", ANTHROPIC_API_KEY="k", GEMINI_API_KEY="k", OPENROUTER_API_KEY="k",
        NEXUS_CUSTOM_API_BASE_URL="https://gw.example.com/v1", NEXUS_CUSTOM_API_KEY="k", NEXUS_GATEWAY_URL="http://127.0.0.1:9",
    )  # fmt: skip
    found = build(Settings.read(environ, tmp_path))
    names = [one.adapter.name for one in found.adapters]
    assert names == ["custom-openai", "openrouter", "nexus", "openai", "anthropic", "google"]
    assert [one.tier for one in found.adapters] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("url", "models"),
    [
        ("http://127.0.0.1:8000", "/llm/openai/v1"),
        ("http://127.0.0.1:8000/", "/llm/openai/v1"),
        ("http://127.0.0.1:8000/llm/openai/v1", "/llm/openai/v1"),
        ("http://0.0.0.0:8000", "/llm/openai/v1"),
    ],
)
def test_a_gateway_is_named_by_its_root_or_its_base(tmp_path: Path, url: str, models: str):
    from nexus_agents.adapters.nexus import llm_base, mcp_url

    assert llm_base(url) == f"http://127.0.0.1:8000{models}"
    assert mcp_url(url) == "http://127.0.0.1:8000/mcp"


async def test_a_key_sent_in_the_clear_is_warned_about(tmp_path: Path):
    environ = environment(
        tmp_path, NEXUS_CUSTOM_API_BASE_URL="http://gw.example.com/v1", NEXUS_CUSTOM_API_KEY="k"
    )
    (configured,) = build(Settings.read(environ, tmp_path)).adapters
    assert "unencrypted" in configured.warnings[0]
