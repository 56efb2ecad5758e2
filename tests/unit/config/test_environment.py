"""Without a file the keys in the environment make the configuration."""

import pytest

from nexus.config import from_environment, loads
from nexus.errors import ConfigError

ALL = {
    "OPENAI_API_KEY": ("openai", None),
    "ANTHROPIC_API_KEY": ("anthropic", None),
    "GEMINI_API_KEY": ("google", None),
    "GOOGLE_API_KEY": ("google", None),
    "OPENROUTER_API_KEY": ("openrouter", "https://openrouter.ai/api/v1"),
    "GROQ_API_KEY": ("groq", "https://api.groq.com/openai/v1"),
    "MISTRAL_API_KEY": ("mistral", "https://api.mistral.ai/v1"),
    "DEEPSEEK_API_KEY": ("deepseek", "https://api.deepseek.com/v1"),
    "XAI_API_KEY": ("xai", "https://api.x.ai/v1"),
    "TOGETHER_API_KEY": ("together", "https://api.together.xyz/v1"),
}


@pytest.mark.parametrize("variable", ALL)
def test_each_key_makes_its_provider(variable: str) -> None:
    loaded = from_environment({variable: "the-key", "PATH": "/bin"})
    assert loaded is not None
    name, base_url = ALL[variable]
    ((found, provider),) = loaded.config.llm.providers.items()
    kind = name if name in ("anthropic", "google") else "openai"
    assert (found, provider.type, provider.base_url) == (name, kind, base_url)
    assert loaded.config.llm.protocols.anthropic.enabled
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == "the-key"
    assert (loaded.warnings, loaded.origin) == ((), f"environment: {variable}")


def test_all_keys_make_all_providers_once() -> None:
    loaded = from_environment(dict.fromkeys(ALL, "k"))
    assert loaded is not None
    assert list(loaded.config.llm.providers) == list(dict.fromkeys(name for name, _ in ALL.values()))
    assert loaded.origin.startswith(
        "environment: OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, OPENROUTER"
    )


@pytest.mark.parametrize("environ", [{}, {"PATH": "/bin"}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " "}])
def test_no_key_makes_no_configuration(environ: dict[str, str]) -> None:
    assert from_environment(environ) is None


def test_the_base_url_of_openai_is_respected() -> None:
    loaded = from_environment({"OPENAI_API_KEY": " k\n", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert loaded is not None
    provider = loaded.config.llm.providers["openai"]
    assert provider.base_url == "http://127.0.0.1:1/v1"
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == "k"


def test_a_template_in_a_key_is_only_text() -> None:
    loaded = from_environment({"OPENAI_API_KEY": "{{ env.HOME }}", "HOME": "/root"})
    assert loaded is not None
    key = loaded.config.llm.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "{{ env.HOME }}"


def test_a_variable_at_fault_is_named_without_its_value() -> None:
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "sekret", "GOOGLE_API_KEY": "sek\nret"}
    with pytest.raises(ConfigError) as caught:
        from_environment(environ)
    assert [problem.path for problem in caught.value.problems] == ["OPENAI_BASE_URL", "GOOGLE_API_KEY"]
    assert "sek" not in str(caught.value)


BORROWING = 'llm.from_environment = true\n[llm.providers.try]\ntype = "echo"\n'


def test_a_file_can_borrow_the_providers_of_the_environment() -> None:
    config = loads(BORROWING, {"OPENAI_API_KEY": " k\n", "GROQ_API_KEY": "g"}).config
    assert list(config.llm.providers) == ["try", "openai", "groq"]
    key = config.llm.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "k"


def test_what_the_file_names_itself_is_not_borrowed() -> None:
    own = '[llm.providers.openai]\ntype = "openai"\napi_key = "own"\n'
    config = loads(BORROWING + own, {"OPENAI_API_KEY": "k"}).config
    key = config.llm.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "own"


def test_nothing_is_borrowed_unasked() -> None:
    assert list(
        loads('[llm.providers.try]\ntype = "echo"\n', {"OPENAI_API_KEY": "k"}).config.llm.providers
    ) == ["try"]


def test_a_borrowed_key_that_cannot_be_one_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        loads(BORROWING, {"OPENAI_API_KEY": "s3cret\nline"})
    assert "llm.providers.openai.api_key" in str(refused.value)
    assert "s3cret" not in str(refused.value)
