"""The fidelity table says what the code does, and no feature is lost in silence."""

from pathlib import Path

import pytest

import answers
import fidelity
import recorded

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"


@pytest.mark.parametrize("feature", fidelity.FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("wire", fidelity.WIRES)
@pytest.mark.parametrize("inbound", fidelity.INBOUNDS)
def test_nothing_is_lost_in_silence(inbound: str, wire: str, feature: fidelity.Feature) -> None:
    fidelity.fate(inbound, wire, feature)


@pytest.mark.parametrize("trait", answers.TRAITS, ids=lambda trait: trait.name)
@pytest.mark.parametrize("wire", fidelity.WIRES)
@pytest.mark.parametrize("inbound", fidelity.INBOUNDS)
def test_nothing_of_an_answer_is_lost_in_silence(inbound: str, wire: str, trait: answers.Trait) -> None:
    answers.fate(inbound, wire, trait)


@pytest.mark.parametrize("trait", answers.TRAITS, ids=lambda trait: trait.name)
def test_every_trait_is_said_by_some_provider(trait: answers.Trait) -> None:
    assert any(answers.fate(inbound, wire, trait) for inbound in trait.clients for wire in fidelity.WIRES)


@recorded.needed
def test_the_page_is_current() -> None:
    assert PAGE.read_text() == fidelity.page(), "run `make docs`"
