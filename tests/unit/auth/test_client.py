"""Who asks: every way to say it, and every way it is refused."""

import msgspec
import pytest

from nexus.auth.client import Unidentified, identifier
from nexus.config.auth import ClientIdentification
from nexus.context import Identity

CLAIMS: dict[str, object] = {
    "iss": "https://issuer.test",
    "sub": "alice",
    "aud": ["first", "second"],
    "exp": 1,
    "nbf": 1,
    "iat": 1,
    "number": 7,
    "float": 1.5,
    "yes": True,
    "nothing": None,
    "list": ["a", "b"],
    "object": {"id": "inner", "deep": {"id": 9, "exp": "mine"}},
    "https://nexus.test/tier": "pro",
    "a.b": "dotted",
    "a": {"b": "nested"},
    "empty": "",
}


def config(client: dict[str, str], group: dict[str, str] | None = None, *values: str) -> ClientIdentification:
    more = {"group_id": group} if group is not None else {}
    return ClientIdentification.model_validate(
        {"enabled": True, "client_id": client, **more, "validation": {"group_values": values}}
    )


def refusal(
    made: ClientIdentification, headers: list[tuple[bytes, bytes]], claims: dict[str, object]
) -> bytes:
    with pytest.raises(Unidentified) as refused:
        identifier(made)(headers, claims)
    return refused.value.body


@pytest.mark.parametrize(
    ("claim", "client"),
    [
        ("sub", "alice"),
        ("iss", "https://issuer.test"),
        ("aud", "first"),
        ("number", "7"),
        ("float", "1.5"),
        ("yes", "true"),
        ("object.id", "inner"),
        ("object.deep.id", "9"),
        ("object.deep.exp", "mine"),
        ("https://nexus.test/tier", "pro"),
        ("a.b", "dotted"),
        ("empty", ""),
    ],
)
def test_a_claim_names_the_client(claim: str, client: str) -> None:
    assert identifier(config({"jwt_claim": claim}))([], CLAIMS) == Identity(client)


@pytest.mark.parametrize(
    "claim",
    ["exp", "nbf", "iat", "nothing", "list", "object", "object.deep", "absent", "sub.sub", "list.0", "", "."],
)
def test_a_claim_that_is_no_single_value_names_nobody(claim: str) -> None:
    body = refusal(config({"jwt_claim": claim}), [], CLAIMS)
    assert body == b'{"error":"missing_client_id","error_description":"Client identification is required"}'


def test_a_single_audience_is_the_first() -> None:
    assert identifier(config({"jwt_claim": "aud"}))([], {"aud": "only"}).client == "only"


@pytest.mark.parametrize(
    "value",
    ["alice", "", " ", "x" * 256, "user@example.com:123-456_789/test", "{{token}}", "a\tb"],
)
def test_a_header_names_the_client_as_it_is(value: str) -> None:
    headers = [(b"other", b"x"), (b"x-client-id", value.encode()), (b"x-client-id", b"second")]
    assert identifier(config({"http_header": "X-Client-ID"}))(headers, {}).client == value


@pytest.mark.parametrize("headers", [[], [(b"x-client-id", "é".encode())], [(b"x-client", b"a")]])
def test_a_header_that_is_missing_or_not_plain_names_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    assert b"missing_client_id" in refusal(config({"http_header": "X-Client-ID"}), headers, CLAIMS)


def test_of_claim_and_header_the_claim_wins() -> None:
    both = config({"jwt_claim": "sub", "http_header": "X-Client-ID"})
    assert identifier(both)([(b"x-client-id", b"mallory")], CLAIMS).client == "alice"


CLIENT, GROUP = {"http_header": "x-client"}, {"http_header": "x-group"}
ALICE = (b"x-client", b"alice")


@pytest.mark.parametrize(
    ("values", "sent", "group"),
    [
        (("pro", "free"), b"pro", "pro"),
        (("pro", "free"), None, None),
        ((), b"whatever", "whatever"),
        ((), None, None),
    ],
)
def test_a_group_that_exists_is_taken(values: tuple[str, ...], sent: bytes | None, group: str | None) -> None:
    headers = [ALICE] if sent is None else [ALICE, (b"x-group", sent)]
    assert identifier(config(CLIENT, GROUP, *values))(headers, {}) == Identity("alice", group)


@pytest.mark.parametrize("sent", [b"PRO", b"", b"pro,free", b"root"])
def test_a_group_that_does_not_exist_is_refused(sent: bytes) -> None:
    body = refusal(config(CLIENT, GROUP, "pro", "free"), [ALICE, (b"x-group", sent)], {})
    assert body == b'{"error":"invalid_group","error_description":"The specified group is not valid"}'


def test_a_missing_client_is_told_before_a_wrong_group() -> None:
    assert b"missing_client_id" in refusal(config(CLIENT, GROUP, "pro"), [(b"x-group", b"root")], {})


@pytest.mark.parametrize(
    ("groups", "group"),
    [
        (["staff", "pro", "free"], "pro"),
        (["free", "pro"], "free"),
        ("pro", "pro"),
        ([], None),
        (None, None),
        ([None, {"a": "pro"}, ["pro"]], None),
        ([1, "pro"], "pro"),
    ],
)
def test_of_several_groups_the_first_that_exists_is_taken(groups: object, group: str | None) -> None:
    made = config({"jwt_claim": "sub"}, {"jwt_claim": "groups"}, "pro", "free")
    assert identifier(made)([], {"sub": "alice", "groups": groups}) == Identity("alice", group)


def test_several_groups_of_which_none_exists_are_refused() -> None:
    made = config({"jwt_claim": "sub"}, {"jwt_claim": "groups"}, "pro")
    assert b"invalid_group" in refusal(made, [], {"sub": "alice", "groups": ["staff", "root"]})


def test_refusals_are_json() -> None:
    body = refusal(config({"jwt_claim": "absent"}), [], {})
    assert msgspec.json.decode(body)["error"] == "missing_client_id"


def test_whom_claims_name_is_found_once_and_never_mistaken() -> None:
    identify = identifier(
        ClientIdentification.model_validate({"enabled": True, "client_id": {"jwt_claim": "sub"}})
    )
    alice: dict[str, object] = {"sub": "alice"}
    assert identify((), alice) is identify((), alice)
    for number in range(10_000):  # the place of claims that are gone is taken by others
        assert identify((), {"sub": f"{number}"}) == Identity(f"{number}")
    assert identify((), alice) == Identity("alice")
    with pytest.raises(Unidentified):
        identify((), {})
