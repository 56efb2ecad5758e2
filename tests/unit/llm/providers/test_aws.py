"""Keys and signatures, the latter against botocore's own."""

import asyncio
import datetime
import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from nexus.config.llm import BedrockConfig
from nexus.errors import Unauthenticated
from nexus.llm.providers import aws

with_botocore = pytest.mark.skipif(
    importlib.util.find_spec("botocore") is None,
    reason="botocore is not installed (nexus-ai-gateway[bedrock])",
)
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
TEXTS = st.text(max_size=20).filter(lambda text: text not in ("", ".", ".."))


def config(**fields: object) -> BedrockConfig:
    return BedrockConfig.model_validate({"type": "bedrock", **fields})


def lines(block: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in block.decode().split("\r\n") if line)


def botocore(name: str) -> Any:
    return importlib.import_module(f"botocore.{name}")


def by_botocore(keys: aws.Keys, method: str, target: str, content_type: str, body: bytes, now: float) -> Any:
    auth, request, credentials = (botocore(name) for name in ("auth", "awsrequest", "credentials"))
    headers = {"content-type": content_type} if content_type else {}
    made = request.AWSRequest(method, f"https://{HOST}{target}", headers=headers, data=body)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    held = credentials.Credentials(keys.access, keys.secret, keys.token or None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        auth.SigV4Auth(held, "bedrock", "us-east-1").add_auth(made)
    return made.headers


@with_botocore
@given(
    st.builds(aws.Keys, WORDS, WORDS, st.just("") | WORDS),
    TEXTS,
    st.lists(st.tuples(TEXTS, TEXTS), max_size=3),
    st.sampled_from(["", "application/json"]),
    st.binary(max_size=200),
    st.integers(0, 2**32),
)
def test_signatures_are_those_of_botocore(
    keys: aws.Keys, model: str, query: list[tuple[str, str]], content_type: str, body: bytes, now: int
) -> None:
    target = f"/v1/model/{quote(model, safe='')}/converse"
    if query:
        target += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    signer = aws.Signer("bedrock", "us-east-1")
    ours = lines(signer.sign(keys, b"POST", HOST.encode(), target.encode(), content_type.encode(), body, now))
    theirs = by_botocore(keys, "POST", target, content_type, body, now)
    assert ours["authorization"] == theirs["Authorization"]
    assert ours["x-amz-date"] == theirs["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == theirs.get("X-Amz-Security-Token")


@with_botocore
def test_a_signer_changes_its_key_with_the_day_and_with_the_secret() -> None:
    signer = aws.Signer("bedrock", "us-east-1")
    for now in (86400 * 20000 - 1, 86400 * 20000, 86400 * 20000 - 1):
        for keys in (aws.Keys("a", "one"), aws.Keys("a", "two")):
            ours = lines(signer.sign(keys, b"GET", HOST.encode(), b"/foundation-models", b"", b"", now))
            assert (
                ours["authorization"]
                == by_botocore(keys, "GET", "/foundation-models", "", b"", now)["Authorization"]
            )


def test_a_known_request_has_its_known_signature() -> None:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-examples.html: get-vanilla of the test suite
    signer = aws.Signer("service", "us-east-1")
    keys = aws.Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    now = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC).timestamp()
    signed = lines(signer.sign(keys, b"GET", b"example.amazonaws.com", b"/", b"", b"", now))
    assert signed["authorization"].endswith(
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_keys_do_not_show_their_secrets() -> None:
    assert "hidden" not in repr(aws.Keys("access", "hidden", "hidden too"))


FILE: dict[str, object] = {"access_key_id": "f", "secret_access_key": "fs", "session_token": "ft"}
ENVIRON = {"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "es", "AWS_SESSION_TOKEN": "et"}


@pytest.mark.parametrize(
    ("fields", "environ", "found"),
    [
        ({"api_key": SecretStr("k"), **FILE}, {"AWS_BEARER_TOKEN_BEDROCK": "b"}, "k"),
        (FILE, {**ENVIRON, "AWS_BEARER_TOKEN_BEDROCK": "b"}, aws.Keys("f", "fs", "ft")),
        ({"access_key_id": "f", "secret_access_key": "fs"}, {}, aws.Keys("f", "fs")),
        ({"access_key_id": "f"}, ENVIRON, aws.Keys("e", "es", "et")),
        ({"profile": "p"}, {**ENVIRON, "AWS_BEARER_TOKEN_BEDROCK": "b"}, None),
        ({}, {**ENVIRON, "AWS_BEARER_TOKEN_BEDROCK": "b"}, "b"),
        ({}, ENVIRON, aws.Keys("e", "es", "et")),
        ({}, {"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": ""}, None),
        ({}, {}, None),
    ],
)
def test_the_file_comes_before_the_environment(
    fields: dict[str, object], environ: dict[str, str], found: str | aws.Keys | None
) -> None:
    assert aws.identity(config(**fields), environ) == found


@pytest.mark.parametrize(
    ("fields", "environ", "found"),
    [
        ({"region": "eu-west-1"}, {"AWS_REGION": "us-east-2"}, "eu-west-1"),
        ({}, {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-west-2"}, "us-east-2"),
        ({}, {"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
        ({}, {"AWS_REGION": ""}, None),
    ],
)
def test_the_region_is_found_in_its_order(
    fields: dict[str, object], environ: dict[str, str], found: str | None
) -> None:
    assert aws.region(config(**fields), environ) == found


@with_botocore
@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"]
)
@pytest.mark.parametrize("service", ["bedrock", "bedrock-runtime"])
def test_endpoints_are_those_of_botocore(service: str, region: str) -> None:
    client = (
        botocore("session")
        .Session()
        .create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
    )
    assert aws.endpoint(service, region) == client.meta.endpoint_url


@dataclass
class Frozen:
    access_key: str
    secret_key: str = "s"
    token: str | None = None


@dataclass
class Lasting:
    """Keys with an end, as botocore holds them."""

    left: float
    given: list[str] = field(default_factory=list[str])
    failing: Exception | None = None

    def refresh_needed(self, refresh_in: float) -> bool:
        return self.left < refresh_in

    def get_frozen_credentials(self) -> Frozen:
        if self.failing is not None:
            raise self.failing
        self.given.append(f"key {len(self.given)}")
        return Frozen(self.given[-1])


@dataclass
class Session:
    credentials: Any
    asked: int = 0

    def get_credentials(self) -> Any:
        self.asked += 1
        return self.credentials

    def get_config_variable(self, logical_name: str) -> object:
        return None


async def test_many_requests_fetch_keys_once() -> None:
    session = Session(Lasting(3600))
    chain = aws.Chain(session)
    assert {(await one).access for one in [asyncio.ensure_future(chain.keys()) for _ in range(20)]} == {
        "key 0"
    }
    assert (await chain.keys()).access == "key 0"
    assert session.asked == 1


async def test_keys_that_end_soon_are_renewed_while_they_are_used() -> None:
    lasting = Lasting(3600)
    chain = aws.Chain(Session(lasting))
    await chain.keys()
    lasting.left = 600
    assert [(await chain.keys()).access for _ in range(3)] == ["key 0"] * 3
    lasting.left = 10
    assert (await chain.keys()).access == "key 1"  # which was on its way already
    assert len(lasting.given) == 2


async def test_keys_that_have_ended_are_waited_for() -> None:
    lasting = Lasting(3600)
    chain = aws.Chain(Session(lasting))
    await chain.keys()
    lasting.left = 10
    assert (await chain.keys()).access == "key 1"


async def test_keys_that_cannot_be_renewed_serve_to_their_end() -> None:
    lasting = Lasting(3600)
    chain = aws.Chain(Session(lasting))
    await chain.keys()
    lasting.left, lasting.failing = 600, OSError("no way to the token service")
    assert (await chain.keys()).access == "key 0"
    lasting.left = 0
    with pytest.raises(Unauthenticated, match="OSError"):
        await chain.keys()
    lasting.failing = None
    assert (await chain.keys()).access == "key 1"
    await chain.close()


async def test_no_keys_at_all_is_said_so() -> None:
    with pytest.raises(Unauthenticated, match="no AWS credentials were found"):
        await aws.Chain(Session(None)).keys()


async def test_keys_without_an_end_are_asked_for_once() -> None:
    class Static:
        def get_frozen_credentials(self) -> Frozen:
            return Frozen("a", token="t")

    session = Session(Static())
    chain = aws.Chain(session)
    assert await chain.keys() == await chain.keys() == aws.Keys("a", "s", "t")


def test_without_botocore_the_cure_is_named() -> None:
    with mock.patch("importlib.import_module", side_effect=ImportError), pytest.raises(aws.Missing) as caught:
        aws.open_session(None)
    assert "pip install 'nexus-ai-gateway[bedrock]'" in str(caught.value)


@with_botocore
def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(aws.Missing, match="there is no AWS profile 'ghost'"):
        aws.open_session("ghost")


@with_botocore
async def test_a_profile_gives_keys_and_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / "config"
    file.write_text("[profile work]\nregion = eu-north-1\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    session = aws.open_session("work")
    assert session.get_config_variable("region") == "eu-north-1"
    assert await aws.Chain(session).keys() == aws.Keys("a", "b")
