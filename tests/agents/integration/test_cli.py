"""The command line as a user meets it: what it prints, where, and the code it leaves with."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agents.fakes import Asked, Gateway, Told, custom, environment, failed, free, listing, openrouter, said


def agents(environ: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nexus_agents", *arguments]
    home = Path(environ["HOME"])
    return subprocess.run(
        command, env=environ, input=stdin, capture_output=True, text=True, timeout=50, cwd=home, check=False
    )


def nobody(home: Path, **more: str) -> dict[str, str]:
    return environment(home, NEXUS_LISTEN_ADDRESS="127.0.0.1:1", **more)


@pytest.fixture
def ok(tmp_path: Path):
    def answer(asked: Asked) -> Told:
        if "Judge the proposal" in asked.system:
            vote = {
                "decision": "reject" if "BAD" in asked.text else "approve",
                "reasoning": "because it is so",
                "confidence": 1,
            }
            return said(msgspec.json.encode(vote).decode())
        return said("OK")

    with Gateway(answer).listening() as gateway:
        yield custom(tmp_path, gateway)


def test_the_seeds_command_of_path_a_names_openrouter_and_a_free_model(tmp_path: Path):
    rows = listing(free("meta-llama/llama-3.3-70b-instruct:free"), free("qwen/qwen3-coder:free"))
    with Gateway(lambda asked: said("OK", model=asked.model), rows).listening() as gateway:
        done = agents(openrouter(tmp_path, gateway), "orchestrate", "Print the string OK")
    assert done.returncode == 0, done.stderr
    response, _, trace = done.stdout.partition("--- Trace ---")
    assert "--- Response ---\nOK\n" in response
    assert "OpenRouter" in trace
    assert ":free" in trace
    assert "sk-or-v1" not in done.stdout + done.stderr


def test_the_seeds_command_of_path_b_names_the_custom_gateway(ok: dict[str, str]):
    done = agents(ok, "orchestrate", "Print the string OK")
    assert done.returncode == 0
    assert "Custom OpenAI told-model at 127.0.0.1" in done.stdout
    assert done.stdout.startswith("Task completed using told-model through Custom OpenAI (")


def test_json_is_json_and_nothing_else(ok: dict[str, str]):
    done = agents(ok, "orchestrate", "x", "--format", "json")
    result = msgspec.json.decode(done.stdout)
    assert (result["success"], result["text"], result["usage"]) == (
        True,
        "OK",
        {"inputTokens": 10, "outputTokens": 5},
    )
    assert result["trace"][0]["adapter"] == "custom-openai"
    assert done.stderr == ""


def test_a_task_may_come_from_standard_input(ok: dict[str, str]):
    assert agents(ok, "orchestrate", "-", stdin="from a pipe").returncode == 0


def test_a_dry_run_asks_no_model(tmp_path: Path):
    with Gateway(lambda _: said("OK")).listening() as gateway:
        done = agents(custom(tmp_path, gateway), "orchestrate", "--dry-run", "x")
    assert done.returncode == 0
    assert "Would ask custom-openai told-model" in done.stdout
    assert gateway.chats == []


def test_without_an_adapter_the_code_is_3_and_the_cure_is_told(tmp_path: Path):
    done = agents(nobody(tmp_path), "orchestrate", "x")
    assert (done.returncode, done.stdout) == (3, "")
    assert "No model adapter configured" in done.stderr
    assert "OPENROUTER_API_KEY" in done.stderr


def test_an_unknown_model_is_a_wrong_call(ok: dict[str, str]):
    done = agents(ok, "orchestrate", "x", "--model", "told-modle")
    assert done.returncode == 2
    assert "told-model" in done.stderr
    far = agents(ok, "orchestrate", "x", "--model", "zzzzzz")
    assert (far.returncode, "`nexus-agents models`" in far.stderr) == (2, True)
    away = agents(ok, "orchestrate", "x", "--model", "opencode-custom-opus")
    assert (away.returncode, "It needs the adapter opencode" in away.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["orchestrate"],
        ["orchestrate", "x", "--plan", "maybe"],
        ["vote"],
        ["nothing"],
        ["orchestrate", "--frob"],
        ["trace", "show", "none"],
    ],
)
def test_a_wrong_call_leaves_with_2(ok: dict[str, str], arguments: list[str]):
    done = agents(ok, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_budget_that_is_used_up_leaves_with_4(ok: dict[str, str]):
    done = agents(ok, "orchestrate", "x", "--max-tokens", "20")
    assert done.returncode == 4
    assert "--max-tokens" in done.stderr


def test_a_task_that_fails_leaves_with_1_and_shows_its_attempts(tmp_path: Path):
    with Gateway(lambda _: failed(401, "no such key")).listening() as gateway:
        done = agents(custom(tmp_path, gateway), "orchestrate", "x")
    assert done.returncode == 1
    assert "no such key" in done.stderr
    assert "authentication" in done.stdout


def test_a_refused_url_says_what_to_set(ok: dict[str, str]):
    done = agents({**ok, "NEXUS_CUSTOM_API_ALLOW_PRIVATE": "TRUE"}, "orchestrate", "x")
    assert done.returncode == 3
    assert "NEXUS_CUSTOM_API_ALLOW_PRIVATE=1" in done.stderr


@pytest.mark.parametrize(("proposal", "code"), [("good", 0), ("BAD", 1)])
def test_a_vote_leaves_with_its_decision(ok: dict[str, str], proposal: str, code: int):
    done = agents(ok, "vote", proposal, "--quick", "--strategy", "unanimous")
    assert done.returncode == code
    assert done.stdout.startswith("APPROVED" if code == 0 else "REJECTED")
    assert "one opinion" in done.stdout


def test_a_file_can_be_voted_about(ok: dict[str, str]):
    path = Path(ok["HOME"]) / "plan.md"
    path.write_text("the BAD plan")
    assert agents(ok, "vote", "Is it good?", "--quick", "--artifact-file", str(path)).returncode == 1


def test_models_experts_and_runs_are_listed_as_lines_with_tabs(ok: dict[str, str]):
    agents(ok, "orchestrate", "x")
    models = [line.split("\t") for line in agents(ok, "models").stdout.splitlines()]
    assert models[0][:3] == ["ID", "ADAPTER", "AVAILABLE"]
    assert ["custom-openai/told-model", "custom-openai", "yes"] in [row[:3] for row in models]
    assert ["opencode-custom-opus", "opencode", "no"] in [row[:3] for row in models]
    assert len(agents(ok, "experts").stdout.splitlines()) == 11
    (heading, run) = agents(ok, "trace", "list").stdout.splitlines()
    assert (heading.split("\t")[0], run.split("\t")[1]) == ("RUN", "done")
    shown = agents(ok, "trace", "show", run.split("\t")[0]).stdout
    assert "answer Custom OpenAI told-model" in shown
    assert "answer answer" not in shown
    assert "tokens cost unknown" in shown
    assert "run_done" in shown


def test_memory_lives_from_one_command_to_the_next(ok: dict[str, str]):
    assert agents(ok, "memory", "add", "deploy", "restart with systemctl", "--tag", "ops").returncode == 0
    assert "systemctl" in agents(ok, "memory", "search", "restart").stdout
    assert "### deploy" in agents(ok, "memory", "export").stdout
    assert agents(ok, "memory", "forget", "--key", "deploy").returncode == 0
    assert agents(ok, "memory", "forget", "--key", "deploy").returncode == 1
    assert agents(ok, "memory", "forget").returncode == 2


def test_an_expert_can_be_run_alone(ok: dict[str, str]):
    done = agents(ok, "experts", "run", "security", "look")
    assert (done.returncode, done.stdout) == (0, "OK\n")
    assert agents(ok, "experts", "run", "wizard", "look").returncode == 2


def test_research_without_a_network_says_so(tmp_path: Path):
    nowhere = {
        f"NEXUS_{name}_URL": "http://127.0.0.1:1"
        for name in ("ARXIV", "GITHUB", "SEMANTIC_SCHOLAR", "OPENALEX")
    }
    done = agents(
        nobody(tmp_path, NEXUS_CUSTOM_API_ALLOW_PRIVATE="1", **nowhere), "research", "discover", "x"
    )
    assert done.returncode == 1
    assert done.stderr.count("needs the internet") == 1


def test_a_list_with_nothing_on_it_says_so(tmp_path: Path):
    done = agents(nobody(tmp_path), "research", "pending")
    assert (done.stdout, done.stderr) == ("ID\tSOURCE\tTOPIC\tTITLE\n", "There are none.\n")
    assert '"count": 0' in agents(nobody(tmp_path), "research", "pending", "--format", "json").stdout


def test_a_misspelt_variable_is_warned_about_and_not_in_json(ok: dict[str, str]):
    odd = {**ok, "NEXUS_CUSTOM_MODLE": "x"}
    assert "NEXUS_CUSTOM_MODEL" in agents(odd, "orchestrate", "x").stderr
    assert agents(odd, "orchestrate", "x", "--format", "json").stderr == ""


def test_a_broken_setting_is_a_wrong_call(ok: dict[str, str]):
    done = agents({**ok, "NEXUS_BUDGET_TOKENS": "many"}, "orchestrate", "x")
    assert done.returncode == 2
    assert "NEXUS_BUDGET_TOKENS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_breaks_nothing(ok: dict[str, str]):
    command = f"{sys.executable} -m nexus_agents models | head -1"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**ok, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("ID\t")
    assert "Traceback" not in done.stderr


def test_help_names_every_command(tmp_path: Path):
    text = agents(nobody(tmp_path), "--help").stdout
    for name in (
        "orchestrate",
        "doctor",
        "setup",
        "server",
        "models",
        "vote",
        "experts",
        "memory",
        "trace",
        "research",
    ):
        assert f"\n  {name} " in text
