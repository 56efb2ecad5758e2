"""Recommendations run nothing, follow hints, and say what they do not know."""

from pathlib import Path

import pytest

from agents.fakes import Gateway, custom, environment, listing, said
from nexus_agents.errors import UnknownModel
from nexus_agents.services import Services


def nobody(home: Path) -> Services:
    return Services(environment(home, NEXUS_LISTEN_ADDRESS="127.0.0.1:1"), cwd=home)


async def test_a_hint_is_recommended(tmp_path: Path):
    async with nobody(tmp_path) as services:
        for hint in ("opencode-custom-opus", "custom-opus"):
            told = await services.delegate("Your task here", hint=hint)
            assert told.recommended_model == "opencode-custom-opus"
            assert (told.available, told.capabilities.reasoning, told.capabilities.context_window) == (
                False,
                10,
                200_000,
            )
            assert told.warnings


async def test_an_unknown_hint_is_an_error_and_not_silence(tmp_path: Path):
    with Gateway(lambda _: said("x")).listening() as gateway:
        async with Services(custom(tmp_path, gateway), cwd=tmp_path) as services:
            with pytest.raises(UnknownModel, match="opencode-custom-opus"):
                await services.delegate("x", hint="opencode-custom-opuss")
    assert gateway.chats == []


async def test_what_is_on_offer_is_recommended_with_alternatives(tmp_path: Path):
    models = listing("claude-opus-4-6", "claude-haiku-4-5", "gemini-3-flash", "gpt-4o")
    with Gateway(lambda _: said("x"), models).listening() as gateway:
        async with Services(custom(tmp_path, gateway), cwd=tmp_path) as services:
            told = await services.delegate(
                "Analyze and design this complex architecture", preferred="reasoning"
            )
            quick = await services.delegate("quick", preferred="speed")
    assert told.recommended_model == "custom-openai/claude-opus-4-6"
    assert (told.available, told.warnings, len(told.alternatives)) == (True, (), 3)
    assert "faster" in told.alternatives[0].tradeoff
    assert quick.recommended_model == "custom-openai/gemini-3-flash"
    assert gateway.chats == []


async def test_without_an_adapter_the_registry_answers_and_says_so(tmp_path: Path):
    async with nobody(tmp_path) as services:
        told = await services.delegate("write code")
    assert not told.available
    assert "registry" in told.warnings[0]
    assert told.estimated_tokens == 6


async def test_a_drafted_row_can_be_used_as_it_is(tmp_path: Path):
    with Gateway(lambda _: said("x"), listing("vendor/odd.model")).listening() as gateway:
        async with Services(custom(tmp_path, gateway), cwd=tmp_path) as services:
            draft = await services.import_model("custom-openai", "vendor/odd.model")
            guess = await services.import_model("nowhere", 'a "quoted" model')
        (tmp_path / "nexus-agents.toml").write_text(draft.text + guess.text)
        async with Services(custom(tmp_path, gateway), cwd=tmp_path) as services:
            assert services.registry.profiles["custom-openai-vendor-odd-model"].model == "vendor/odd.model"
    assert draft.warnings == ()
    assert guess.warnings
    assert Path(draft.path) == tmp_path / "nexus-agents.toml"
