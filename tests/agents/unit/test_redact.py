"""No secret gets out in a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_agents.redact import redact, secrets


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("at https://user:pass@host/x", "user:pass"),
        ("key sk-or-v1-0123456789abcdef is wrong", "0123456789abcdef"),
        ("ghp_abcdefghijklmnop0123 denied", "abcdefghijklmnop0123"),
        ("AIzaSyA0123456789012345678901234567 no", "0123456789012345"),
        ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, gone: str):
    assert gone not in redact(text)


@given(
    st.text(alphabet=st.characters(codec="ascii", categories=("L", "N")), min_size=6, max_size=40),
    st.text(max_size=50),
)
def test_a_known_secret_goes_wherever_it_stands(secret: str, around: str):
    environ = {"SOME_API_KEY": secret, "HOME": "/home/somebody"}
    assert secret not in redact(f"{around} {secret} {around}", secrets(environ)).replace("[redacted]", "")


def test_only_variables_named_as_secret_count():
    environ = {"A_KEY": "aaaaaaaa", "B_TOKEN": "bbbbbbbb", "PATH": "cccccccc", "D_SECRET": "short"}
    assert set(secrets(environ)) == {"aaaaaaaa", "bbbbbbbb"}


def test_a_secret_that_begins_another_does_not_leave_its_end():
    known = secrets({"A_KEY": "secret-1", "B_KEY": "secret-1-longer"})
    assert "longer" not in redact("x secret-1-longer y", known)
