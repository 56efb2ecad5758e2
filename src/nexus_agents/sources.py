"""Public places where papers and projects are found. One function each; a place that does not answer is said to have failed."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
import msgspec

from nexus_agents import guard
from nexus_agents.errors import Refused, Unreachable
from nexus_agents.results import Paper

TIMEOUT = 20.0
LARGEST = 8 * 1024 * 1024
OFFLINE = "Research needs the internet."
_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV_ID = re.compile(
    r"(?:arxiv[:\-]|https?://arxiv\.org/(?:abs|pdf)/)?"
    r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?",
    re.I,
)
_AFFILIATIONS = {
    "google_ai": "Google Research",
    "meta_fair": "Meta FAIR",
    "microsoft": "Microsoft Research",
    "deepmind": "DeepMind",
}
BASES = {
    "arxiv": ("NEXUS_ARXIV_URL", "https://export.arxiv.org"),
    "github": ("NEXUS_GITHUB_URL", "https://api.github.com"),
    "semantic_scholar": ("NEXUS_SEMANTIC_SCHOLAR_URL", "https://api.semanticscholar.org"),
    "openalex": ("NEXUS_OPENALEX_URL", "https://api.openalex.org"),
}
"""Where they are, and the variable that names a mirror."""


class Sources:
    """A client for all of them. The caller closes it by leaving `async with`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        policy = guard.Policy.of(environ)
        self._bases = {name: environ.get(variable) or base for name, (variable, base) in BASES.items()}
        self._policy = policy
        self._client = guard.client(policy, timeout=httpx2.Timeout(TIMEOUT, connect=10.0))
        self._client.headers["user-agent"] = "nexus-agents"
        if token := environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN"):
            self._github = {"authorization": f"Bearer {token}"}
        else:
            self._github = dict[str, str]()

    async def __aenter__(self) -> "Sources":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def github(self, path: str, **query: str | int) -> Any:
        """Ask GitHub's API; None for what is not there.

        Raises:
            Unreachable: it cannot be asked, or refuses.
        """
        headers = {
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
            **self._github,
        }
        body = await self._get("github", path, query, headers, missing=True)
        return None if body is None else _json("github", body)

    async def search(self, source: str, topic: str, limit: int) -> list[Paper]:
        """Search one place.

        Raises:
            Unreachable: it cannot be asked, or makes no sense.
        """
        if source == "papers_with_code":
            raise Unreachable("Papers with Code was closed in 2025.")
        if source in _AFFILIATIONS:
            return await self._arxiv(f'all:{_quoted(topic)} AND all:"{_AFFILIATIONS[source]}"', limit)
        searchers: dict[str, Callable[[str, int], Awaitable[list[Paper]]]] = {
            "arxiv": lambda topic, limit: self._arxiv(" AND ".join(f"all:{w}" for w in _words(topic)), limit),
            "github": self._repositories,
            "semantic_scholar": self._semantic_scholar,
            "openalex": self._openalex,
        }
        return await searchers[source](topic, limit)

    async def paper(self, arxiv_id: str) -> Paper | None:
        """Fetch one paper from arXiv; None if there is none of this number."""
        body = await self._get("arxiv", "/api/query", {"id_list": arxiv_id, "max_results": 1})
        return next(iter(_entries(body or b"")), None)

    async def _arxiv(self, query: str, limit: int) -> list[Paper]:
        asked: dict[str, str | int] = {"search_query": query, "max_results": limit, "sortBy": "relevance"}
        return _entries(await self._get("arxiv", "/api/query", asked) or b"")

    async def _repositories(self, topic: str, limit: int) -> list[Paper]:
        found = await self.github("/search/repositories", q=topic, sort="stars", per_page=limit)
        return [
            Paper(
                id=row["html_url"],
                title=row["full_name"],
                url=row["html_url"],
                summary=row.get("description") or "",
                published=row.get("created_at") or "",
            )
            for row in _rows(found, "items")
            if "html_url" in row and "full_name" in row
        ]

    async def _semantic_scholar(self, topic: str, limit: int) -> list[Paper]:
        fields = "title,url,abstract,publicationDate,externalIds"
        query: dict[str, str | int] = {"query": topic, "limit": limit, "fields": fields}
        found = _json(
            "semantic_scholar", await self._get("semantic_scholar", "/graph/v1/paper/search", query) or b""
        )
        return [
            Paper(
                id=_named(row.get("externalIds") or {}, row.get("url") or ""),
                title=row["title"],
                url=row.get("url") or "",
                summary=row.get("abstract") or "",
                published=row.get("publicationDate") or "",
            )
            for row in _rows(found, "data")
            if row.get("title")
        ]

    async def _openalex(self, topic: str, limit: int) -> list[Paper]:
        found = _json(
            "openalex", await self._get("openalex", "/works", {"search": topic, "per-page": limit}) or b""
        )
        return [
            Paper(
                id=row["id"],
                title=row["title"],
                url=row.get("doi") or row["id"],
                published=row.get("publication_date") or "",
            )
            for row in _rows(found, "results")
            if row.get("title") and row.get("id")
        ]

    async def _get(
        self,
        source: str,
        path: str,
        query: Mapping[str, str | int],
        headers: Mapping[str, str] | None = None,
        *,
        missing: bool = False,
    ) -> bytes | None:
        base = self._bases[source]
        try:
            guard.check(base, self._policy)
            async with self._client.stream(
                "GET", f"{base}{path}", params=dict(query), headers=dict(headers or {})
            ) as answer:
                if answer.status_code == 404 and missing:
                    return None
                if answer.status_code >= 400:
                    raise Unreachable(
                        f"{source} answered {answer.status_code}.", _cure(source, answer.status_code)
                    )
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > LARGEST:
                        raise Unreachable(f"{source} answered with more than 8 MB.")
                return bytes(body)
        except httpx2.HTTPError as error:
            slow = isinstance(error, httpx2.TimeoutException)
            raise Unreachable(
                f"{source} {'did not answer in time' if slow else 'cannot be reached'}.",
                OFFLINE,
            ) from error
        except Refused as error:
            raise Unreachable(f"{source}: {error}") from error


def arxiv_number(text: str) -> str | None:
    """Take the number out of `2401.00001`, `arXiv:2401.00001v2` or a link."""
    found = _ARXIV_ID.fullmatch(text.strip())
    return found[1] if found else None


def _entries(body: bytes) -> list[Paper]:
    try:
        feed = ET.fromstring(body)
    except ET.ParseError as error:
        raise Unreachable("arxiv answered with something that is no feed.") from error
    return [paper for entry in feed.iter(f"{_ATOM}entry") if (paper := _entry(entry)) is not None]


def _entry(entry: ET.Element) -> Paper | None:
    link = (entry.findtext(f"{_ATOM}id") or "").strip()
    number, title = arxiv_number(link.replace("http://", "https://")), _line(entry.findtext(f"{_ATOM}title"))
    if number is None or not title:
        return None  # arXiv tells errors as entries
    return Paper(
        id=f"arxiv-{number}",
        title=title,
        url=f"https://arxiv.org/abs/{number}",
        summary=_line(entry.findtext(f"{_ATOM}summary")),
        authors=tuple(_line(name.text) for name in entry.iter(f"{_ATOM}name")),
        published=(entry.findtext(f"{_ATOM}published") or "").strip(),
    )


def _named(ids: Mapping[str, Any], url: str) -> str:
    arxiv = ids.get("ArXiv")
    return f"arxiv-{arxiv}" if isinstance(arxiv, str) else url


def _json(source: str, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"{source} answered with something that is no JSON.") from error


def _rows(found: Any, key: str) -> list[dict[str, Any]]:
    try:
        return msgspec.convert(found, dict[str, Any])[key]
    except (msgspec.ValidationError, KeyError):
        return []


def _words(topic: str) -> list[str]:
    return re.findall(r"\w+", topic) or ["nothing"]


def _quoted(topic: str) -> str:
    return '"' + " ".join(_words(topic)) + '"'


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _cure(source: str, status: int) -> str:
    if source == "github" and status in (401, 403, 429):
        return "Set GITHUB_TOKEN: without it GitHub answers few questions an hour."
    return "Try again later." if status in (429, 503) else ""
