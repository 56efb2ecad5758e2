"""What is configured is read once, and what is odd about it is said."""

from pathlib import Path

import pytest

from nexus_agents.errors import Misuse
from nexus_agents.services import Services
from nexus_agents.settings import Settings


def read(tmp_path: Path, **environ: str) -> Settings:
    return Settings.read({"HOME": str(tmp_path), **environ}, tmp_path)


def test_everything_has_a_default(tmp_path: Path):
    settings = read(tmp_path)
    assert settings.data_dir == tmp_path / ".nexus-agents"
    assert (settings.billing, settings.budget_tokens, settings.budget_cost_usd) == ("plan", 100_000, 10.0)
    assert (settings.mock_allowed, settings.depth, settings.warnings) == (False, 0, ())


def test_variables_go_before_the_file(tmp_path: Path):
    (tmp_path / "nexus-agents.toml").write_text(
        'default_model = "a"\nbilling = "api"\n[budget]\ntokens = 5\ncost_usd = 0\n'
    )
    assert (read(tmp_path).default_model, read(tmp_path).billing, read(tmp_path).budget_tokens) == (
        "a",
        "api",
        5,
    )
    assert read(tmp_path).budget_cost_usd == 0
    settings = read(tmp_path, NEXUS_AGENTS_MODEL="b", NEXUS_BILLING_MODE="plan", NEXUS_BUDGET_TOKENS="7")
    assert (settings.default_model, settings.billing, settings.budget_tokens) == ("b", "plan", 7)


@pytest.mark.parametrize(
    "text", ["defualt_model = 1", "[models.x]\nreasonning = 3", "billing = 'free'", "not toml ="]
)
def test_a_broken_file_is_refused_and_named(tmp_path: Path, text: str):
    (tmp_path / "nexus-agents.toml").write_text(text)
    with pytest.raises(Misuse, match=r"nexus-agents\.toml"):
        read(tmp_path)


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path):
    with pytest.raises(Misuse, match="NEXUS_AGENTS_CONFIG"):
        read(tmp_path, NEXUS_AGENTS_CONFIG=str(tmp_path / "gone.toml"))


@pytest.mark.parametrize("value", ["many", "-1", "inf", "nan"])
def test_a_number_has_to_be_one(tmp_path: Path, value: str):
    with pytest.raises(Misuse, match="NEXUS_BUDGET_TOKENS"):
        read(tmp_path, NEXUS_BUDGET_TOKENS=value)


def test_a_misspelt_variable_is_noticed_and_the_gateways_are_not(tmp_path: Path):
    settings = read(
        tmp_path, NEXUS_CUSTOM_API_BASEURL="x", NEXUS_CONFIG_PATH="x", NEXUS_LOG="x", NEXUS_WORKERS="1"
    )
    assert settings.warnings == (
        "NEXUS_CUSTOM_API_BASEURL is not read by anything; did you mean NEXUS_CUSTOM_API_BASE_URL?",
    )


@pytest.mark.parametrize(("value", "allowed"), [("true", True), ("TRUE", False), ("1", False), ("", False)])
def test_mocks_are_allowed_by_exactly_true(tmp_path: Path, value: str, allowed: bool):
    assert read(tmp_path, NEXUS_ALLOW_MOCK_ORCHESTRATION=value).mock_allowed is allowed


def test_making_services_opens_and_writes_nothing(tmp_path: Path):
    Services({"HOME": str(tmp_path)}, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_services_are_light_to_import():
    import subprocess
    import sys

    heavy = "openai,httpx2,mcp,pydantic,rich,nexus_agents.guard"
    code = f"import sys, nexus_agents.services; print([name for name in '{heavy}'.split(',') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_agents_import_nothing_of_the_gateway():
    import subprocess
    import sys

    code = (
        "import sys, pkgutil, importlib, nexus_agents\n"
        "for one in pkgutil.walk_packages(nexus_agents.__path__, 'nexus_agents.'):\n"
        "    if not one.name.endswith('__main__'): importlib.import_module(one.name)\n"
        "print([name for name in sys.modules if name == 'nexus' or name.startswith('nexus.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
