"""What is remembered is found again, by project, and can be forgotten."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.fakes import environment
from nexus_agents.errors import Misuse
from nexus_agents.memory import KINDS, Memory
from nexus_agents.options import Confidence
from nexus_agents.services import Services
from nexus_agents.store import connect

DAY = 86_400.0


class Clock:
    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def services(home: Path, project: str = "project") -> Services:
    (home / project / ".git").mkdir(parents=True, exist_ok=True)
    return Services(environment(home), cwd=home / project)


async def test_what_was_written_is_found_by_its_words(tmp_path: Path):
    async with services(tmp_path) as agents:
        agents.memory.write(
            "deploy", "The servers are restarted with systemctl", kind="belief", confidence="high"
        )
        agents.memory.write("lunch", "Noodles")
        found = agents.memory.find("how do I restart a server?")
    assert [(one.key, one.source, one.confidence) for one in found.results] == [("deploy", "belief", "high")]
    assert 0 < found.results[0].relevance <= 1


async def test_it_is_still_there_after_a_restart(tmp_path: Path):
    async with services(tmp_path) as agents:
        agents.memory.write("key", "something lasting")
    async with services(tmp_path) as agents:
        assert agents.memory.find("lasting").count == 1


async def test_a_project_sees_its_own_and_the_global_entries(tmp_path: Path):
    async with services(tmp_path, "one") as one, services(tmp_path, "two") as two:
        one.memory.write("a", "secret of one")
        one.memory.write("b", "secret of all", everywhere=True)
        assert {entry.key for entry in one.memory.find("secret").results} == {"a", "b"}
        assert {entry.key for entry in two.memory.find("secret").results} == {"b"}
        assert two.memory.forget(key="a").count == 0
        assert "secret of one" not in two.memory.export()


async def test_a_directory_of_a_project_sees_the_project(tmp_path: Path):
    (tmp_path / "project" / "src").mkdir(parents=True)
    async with services(tmp_path) as agents:
        agents.memory.write("a", "whole project")
    async with Services(environment(tmp_path), cwd=tmp_path / "project" / "src") as inner:
        assert inner.memory.find("project").count == 1


async def test_the_same_thing_twice_is_one_entry(tmp_path: Path):
    async with services(tmp_path) as agents:
        first = agents.memory.write("k", "same", confidence="low")
        again = agents.memory.write("k", "same", confidence="high")
        assert (first.deduplicated, again.deduplicated, first.id) == (False, True, again.id)
        (entry,) = agents.memory.find("same").results
        assert entry.confidence == "high"


async def test_what_is_forgotten_is_gone_from_the_search_too(tmp_path: Path):
    async with services(tmp_path) as agents:
        kept = agents.memory.write("k", "words to lose")
        agents.memory.write("k", "other words to lose")
        assert agents.memory.forget(entry=kept.id).count == 1
        assert agents.memory.forget(key="k").count == 1
        assert agents.memory.find("words lose").count == 0
        assert agents.memory.forget(key="k").count == 0


async def test_the_tools_kinds_are_kept_apart(tmp_path: Path):
    async with services(tmp_path) as agents:
        for kind in KINDS:
            agents.memory.write("k", f"word of {kind}", kind=kind)
        assert agents.memory.find("word", kind="typed").results[0].content == "word of typed"
        assert agents.memory.find("word").count == len(KINDS)
        assert agents.memory.stats().backends == dict.fromkeys(KINDS, 1)


async def test_tags_are_found_and_shown(tmp_path: Path):
    async with services(tmp_path) as agents:
        agents.memory.write("k", "text", metadata={"tags": ["postgres", "tuning"], "by": "me"})
        (entry,) = agents.memory.find("postgres").results
    assert (entry.tags, entry.metadata["by"]) == (("postgres", "tuning"), "me")


async def test_export_is_readable_markdown(tmp_path: Path):
    async with services(tmp_path) as agents:
        agents.memory.write("title", "one\ntwo", everywhere=True)
        assert "### title\n\n> one\n> two" in agents.memory.export()


def test_what_is_new_and_certain_comes_first(tmp_path: Path):
    clock = Clock()
    memory = Memory(connect(tmp_path), tmp_path, tmp_path / "agents.db", clock)

    def write(key: str, confidence: Confidence) -> None:
        memory.write(
            key, "about caches", kind="session", confidence=confidence, metadata={}, everywhere=False
        )

    write("old", "medium")
    clock.now += 400 * DAY
    write("unsure", "low")
    write("sure", "high")
    found = memory.find("caches", limit=10, kind=None)
    assert [one.key for one in found.results] == ["sure", "unsure", "old"]


@given(st.text(min_size=1, max_size=100))
def test_no_query_breaks_the_search(query: str):
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        memory = Memory(connect(Path(home)), Path(home), Path(home) / "agents.db")
        try:
            memory.find(query, limit=5, kind=None)
        except Misuse:
            assert not query.strip()


@pytest.mark.parametrize(
    ("key", "content", "backend"),
    [
        ("", "x", "session"),
        ("k", "", "session"),
        ("k" * 201, "x", "session"),
        ("k", "x" * 5_001, "session"),
        ("k", "x", "mobimem"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_not_dropped(
    tmp_path: Path, key: str, content: str, backend: str
):
    async with services(tmp_path) as agents:
        with pytest.raises(Misuse):
            agents.memory.write(key, content, kind=backend)
