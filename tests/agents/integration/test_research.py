"""Papers and repositories, from stand-ins of the public services."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from agents.fakes import environment, listening
from nexus_agents.errors import Misuse, Unreachable
from nexus_agents.services import Services
from nexus_agents.sources import arxiv_number

Pages = dict[str, tuple[int, bytes]]
ENTRY = """<entry><id>http://arxiv.org/abs/{number}v2</id><title>{title}</title><summary>{summary}</summary>
<published>2024-01-02T00:00:00Z</published><author><name>A. Author</name></author></entry>"""
FEED = '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'


def feed(*entries: tuple[str, str, str]) -> bytes:
    rows = (ENTRY.format(number=number, title=title, summary=summary) for number, title, summary in entries)
    return FEED.format("".join(rows)).encode()


MOE = feed(
    ("2401.00001", "Mixture of Experts at\n scale", "routing tokens to experts"),
    ("2401.00002", "Cooking pasta", "water and salt"),
    ("2401.00003", "Sparse mixture of experts", "more on experts"),
)
ARXIV: Pages = {"/api/query": (200, MOE)}


class World:
    """Serves pages by their path, and remembers what was asked."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                world.asked.append((parts.path, parse_qs(parts.query), headers))
                status, body = world.pages.get(parts.path, (404, b"{}"))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def world(pages: Pages) -> Generator[World]:
    served = World(pages)
    with listening(served.server):
        yield served


def agents(home: Path, served: World, **more: str) -> Services:
    names = ("ARXIV", "GITHUB", "SEMANTIC_SCHOLAR", "OPENALEX")
    urls = {f"NEXUS_{name}_URL": served.url for name in names}
    return Services(environment(home, NEXUS_CUSTOM_API_ALLOW_PRIVATE="1", **urls, **more), cwd=home)


def json(value: object) -> tuple[int, bytes]:
    return 200, msgspec.json.encode(value)


async def test_what_fits_the_topic_is_found_the_best_first(tmp_path: Path):
    with world(ARXIV) as served:
        async with agents(tmp_path, served) as services:
            found = await services.research.discover("mixture of experts", source="arxiv")
    assert [item.title for item in found.items] == [
        "Mixture of Experts at scale",
        "Sparse mixture of experts",
    ]
    assert (found.total_found, found.filtered_by_relevance, found.new_items) == (3, 1, 2)
    assert found.items[0].url == "https://arxiv.org/abs/2401.00001"
    assert served.asked[0][1]["search_query"] == ["all:mixture AND all:of AND all:experts"]


async def test_places_that_fail_are_named_beside_what_the_others_gave(tmp_path: Path):
    pages: Pages = {
        **ARXIV,
        "/search/repositories": json(
            {
                "items": [
                    {
                        "full_name": "a/experts",
                        "html_url": "https://github.com/a/experts",
                        "description": "mixture of experts",
                    }
                ]
            }
        ),
        "/graph/v1/paper/search": (503, b"busy"),
        "/works": (200, b"not json"),
    }
    with world(pages) as served:
        async with agents(tmp_path, served) as services:
            found = await services.research.discover("mixture of experts")
    assert {one.source for one in found.failed_sources} == {"semantic_scholar", "openalex"}
    assert {one.source for one in found.items} == {"arxiv", "github"}


async def test_the_same_paper_of_two_places_is_one(tmp_path: Path):
    row = {
        "title": "Mixture of experts at scale!",
        "url": "https://s2/x",
        "externalIds": {"ArXiv": "2401.00001"},
    }
    with world({**ARXIV, "/graph/v1/paper/search": json({"data": [row]})}) as served:
        async with agents(tmp_path, served) as services:
            found = await services.research.discover("mixture of experts")
    assert [item.title for item in found.items].count("Mixture of Experts at scale") == 1
    assert found.total_found == 3


async def test_without_the_internet_the_error_is_clear(tmp_path: Path):
    names = ("ARXIV", "GITHUB", "SEMANTIC_SCHOLAR", "OPENALEX")
    nowhere = {f"NEXUS_{name}_URL": "http://127.0.0.1:1" for name in names}
    async with Services(
        environment(tmp_path, NEXUS_CUSTOM_API_ALLOW_PRIVATE="1", **nowhere), cwd=tmp_path
    ) as services:
        with pytest.raises(Unreachable, match="needs the internet"):
            await services.research.discover("experts")
        with pytest.raises(Unreachable):
            await services.research.add("2401.00001")


async def test_a_mirror_inside_the_network_needs_to_be_allowed(tmp_path: Path):
    async with Services(
        environment(tmp_path, NEXUS_ARXIV_URL="http://127.0.0.1:1"), cwd=tmp_path
    ) as services:
        with pytest.raises(Unreachable, match="loopback"):
            await services.research.discover("experts", source="arxiv")


async def test_a_paper_is_added_once_and_asked_for_by_its_number(tmp_path: Path):
    with world({"/api/query": (200, feed(("2401.00001", "Mixture of experts", "s")))}) as served:
        async with agents(tmp_path, served) as services:
            tried = await services.research.add(
                "arXiv:2401.00001v3", topic="routing", priority="P1", dry_run=True
            )
            assert services.research.query("stats").data["papers"] == 0
            added = await services.research.add(
                "https://arxiv.org/abs/2401.00001", topic="routing", priority="P1"
            )
            again = await services.research.add("2401.00001")
            found = await services.research.discover("mixture of experts", source="arxiv")
            stats = services.research.query("stats").data
    assert (tried.dry_run, added.already_in_registry, again.already_in_registry) == (True, False, True)
    assert stats == {
        "papers": 1,
        "byStatus": {"not-started": 1},
        "byPriority": {"P1": 1},
        "byTopic": {"routing": 1},
    }
    assert found.items[0].already_in_registry
    assert len([path for path, *_ in served.asked]) == 3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2401.00001", "2401.00001"),
        ("2401.00001v12", "2401.00001"),
        ("arXiv:2401.00001", "2401.00001"),
        ("https://arxiv.org/pdf/2401.00001v1.pdf", "2401.00001"),
        ("cs.CL/0001001", "cs.CL/0001001"),
        ("hep-th/9901001", "hep-th/9901001"),
        ("2401.1", None),
        ("2401.00001; drop", None),
        ("https://evil.test/abs/2401.00001", None),
        ("", None),
    ],
)
def test_numbers_are_read_in_every_spelling(text: str, number: str | None):
    assert arxiv_number(text) == number


async def test_a_paper_there_is_not_is_said_to_be_none(tmp_path: Path):
    with world({"/api/query": (200, feed())}) as served:
        async with agents(tmp_path, served) as services:
            with pytest.raises(Misuse, match="no paper"):
                await services.research.add("2401.99999")


@pytest.mark.parametrize(
    "body", [b"", b"<html", b"<!DOCTYPE x [<!ENTITY a 'a'><!ENTITY b '&a;&a;'>]><feed>&b;</feed>"]
)
async def test_a_feed_that_is_none_is_an_error_or_empty(tmp_path: Path, body: bytes):
    with world({"/api/query": (200, body)}) as served:
        async with agents(tmp_path, served) as services:
            with suppress(Unreachable):
                assert (await services.research.discover("x", source="arxiv")).items == ()


async def test_the_registry_can_be_asked(tmp_path: Path):
    with world({}) as served:
        async with agents(tmp_path, served) as services:
            for number, title in (
                ("2401.00001", "Sparse mixture of experts"),
                ("2401.00002", "Sparse mixture of experts, again"),
            ):
                served.pages["/api/query"] = (200, feed((number, title, "s")))
                await services.research.add(number, topic="routing", priority="P2")
            status = services.research.query("status", technique="2401.00001")
            overlap = services.research.query("overlap", threshold=0.5)
            search = services.research.query("search", query="mixture experts")
            gaps = services.research.analyze("gaps")
            assert services.research.analyze("coverage").data["topics"]["routing"]["papers"] == 2
            assert services.research.analyze("trends").data["byYear"] == {"2024": 2}
            assert len(services.research.analyze("priorities").data["papers"]) == 2
            assert services.research.analyze("stale").data["papers"] == []
    assert status.data["title"] == "Sparse mixture of experts"
    assert overlap.data["count"] == 1
    assert search.data["count"] == 2
    assert len(gaps.recommendations) == 2


async def test_what_searches_came_upon_is_reviewed(tmp_path: Path):
    with world(ARXIV) as served:
        async with agents(tmp_path, served) as services:
            await services.research.discover("mixture of experts", source="arxiv")
            assert services.research.review("list").data["count"] == 3
            services.research.review("approve", "arxiv-2401.00001")
            services.research.review("dismiss", "arxiv-2401.00002")
            assert services.research.review("list").data["count"] == 1
            assert services.research.review("flush").data["removed"] == 1
            await services.research.discover("mixture of experts", source="arxiv")
            pending = [row["id"] for row in services.research.review("list").data["pending"]]
            assert services.research.query("stats").data["papers"] == 1
            with pytest.raises(Misuse):
                services.research.review("approve", "arxiv-0000.00000")
    assert pending == ["arxiv-2401.00003"]  # what was dismissed stays away


async def test_what_cannot_be_asked_is_refused(tmp_path: Path):
    async with Services(environment(tmp_path)) as services:
        asked: list[Callable[[], object]] = [
            lambda: services.research.query("search"),
            lambda: services.research.query("status", status="great"),
            lambda: services.research.query("status", technique="none"),
            lambda: services.research.analyze("nothing"),
            lambda: services.research.review("nothing"),
        ]
        for ask in asked:
            with pytest.raises(Misuse):
                ask()


# GitHub


def repository(**contents: list[str]) -> Pages:
    names = {"": "/repos/o/r/contents/", "github": "/repos/o/r/contents/.github"}
    pages = {
        names[key.strip("_")]: json([{"name": name} for name in files]) for key, files in contents.items()
    }
    return {**pages, "/repos/o/r/languages": json({"Python": 100, "Go": 5})}


async def test_a_repository_is_described_from_what_lies_in_it(tmp_path: Path):
    pages = repository(
        _=["pyproject.toml", "Dockerfile", ".github", "README.md", "tests", "LICENSE"],
        github=["workflows", "dependabot.yml"],
    )
    with world(pages) as served:
        async with (
            agents(tmp_path, served, GITHUB_TOKEN="ghp_token") as services,
            services.github() as github,
        ):
            found = await github.analyze("https://github.com/o/r.git")
            plan = await github.plan_security("o/r", ["dependencies", "sast"])
    assert found.repo == "o/r"
    assert (found.languages, found.frameworks, found.ci) == (
        {"Python": 100, "Go": 5},
        ("Docker",),
        ("GitHub Actions",),
    )
    assert found.security == ("Dependabot",)
    assert found.gaps == ("no SECURITY.md",)
    assert plan.covered == ("Dependabot",)
    assert [one["name"] for one in plan.scanners] == [
        "CodeQL",
        "Semgrep",
        "Bandit",
        "gosec",
        "pip-audit",
        "govulncheck",
    ]
    assert served.asked[0][2]["authorization"] == "Bearer ghp_token"


async def test_an_issue_is_classed_and_nothing_is_changed(tmp_path: Path):
    issue = {
        "title": "Crash: traceback on start",
        "body": "it fails",
        "author_association": "FIRST_TIMER",
        "state": "open",
    }
    with world({"/repos/o/r/issues/7": json(issue)}) as served:
        async with agents(tmp_path, served) as services, services.github() as github:
            found = await github.triage("https://github.com/o/r/issues/7", dry_run=False)
    assert (found.trust, found.labels) == ("first-time", ("bug",))
    assert {"type": "label", "value": "bug"} in found.actions
    assert any(action["type"] == "ask" for action in found.actions)
    assert "Nothing was changed" in found.warnings[0]
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "https://evil.test/o/r/issues/7",
        "https://github.com/o/r/pull/7",
        "https://github.com/o/r/issues/7/../8",
    ],
)
async def test_what_is_no_issue_is_refused(tmp_path: Path, url: str):
    async with Services(environment(tmp_path)) as services, services.github() as github:
        with pytest.raises(Misuse):
            await github.triage(url)


@pytest.mark.parametrize("repo", ["", "o", "o/..", "o/r/x", "../..", "o/r?x", "https://evil.test/o/r"])
async def test_what_is_no_repository_is_refused(tmp_path: Path, repo: str):
    async with Services(environment(tmp_path)) as services, services.github() as github:
        with pytest.raises(Misuse):
            await github.analyze(repo)


async def test_a_limit_of_github_says_what_lifts_it(tmp_path: Path):
    with world({"/repos/o/r/contents/": (403, b"{}")}) as served:
        async with agents(tmp_path, served) as services, services.github() as github:
            with pytest.raises(Unreachable, match="GITHUB_TOKEN"):
                await github.analyze("o/r")
