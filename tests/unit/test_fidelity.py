"""The fidelity table says what the code does, and no feature is lost in silence."""

from pathlib import Path

import pytest

import fidelity
import recorded

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"


@pytest.mark.parametrize("feature", fidelity.FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("wire", fidelity.WIRES)
@pytest.mark.parametrize("inbound", fidelity.INBOUNDS)
def test_nothing_is_lost_in_silence(inbound: str, wire: str, feature: fidelity.Feature) -> None:
    fidelity.fate(inbound, wire, feature)


@recorded.needed
def test_the_page_is_current() -> None:
    assert PAGE.read_text() == fidelity.page(), "run `make docs`"
