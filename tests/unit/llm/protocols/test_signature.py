"""Signatures on their way through clients of other protocols."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.llm.protocols.signature import is_sealed_in, seal, unseal

PIECES = st.sampled_from([b"~", b"nexus", b"nexus~", b"x", b"nexus~google~c2ln", b"nexu", b"~" * 300])


@given(st.text(min_size=1), st.sampled_from(["google", "converse", "anthropic"]))
def test_what_is_sealed_comes_back_with_its_origin(signature: str, origin: str) -> None:
    assert unseal(seal(signature, origin, "responses"), "responses") == (signature, origin)


def test_its_own_protocol_sees_it_bare() -> None:
    assert seal("c2ln", "anthropic", "anthropic") == "c2ln"
    assert unseal("c2ln", "anthropic") == ("c2ln", "anthropic")
    assert unseal("", "anthropic") == ("", "")


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_a_sealed_one_is_found_in_any_body(body: bytes) -> None:
    assert is_sealed_in(body) == (b"nexus~" in body)
