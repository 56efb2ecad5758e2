"""The registry of papers, what can be asked of it, and the search for more of them."""

import asyncio
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any, get_args

import msgspec

from nexus_agents.errors import Misuse, Unreachable
from nexus_agents.options import PaperStatus, Source
from nexus_agents.results import Added, Answered, Discovered, Discovery, FailedSource, Paper
from nexus_agents.sources import OFFLINE, Sources, arxiv_number
from nexus_agents.trace import now

_STATUSES: tuple[PaperStatus, ...] = get_args(PaperStatus)
_SOURCES: tuple[Source, ...] = get_args(Source)
_ALL: tuple[Source, ...] = ("arxiv", "github", "semantic_scholar", "openalex")
"""What `all` asks: the others are the same places again, or closed."""
STALE_DAYS = 180
_WORD = re.compile(r"[a-z0-9]+")
_DULL = frozenset("a an and are as at by for from in is of on or that the to with via using".split())  # noqa: SIM905  # words


class Research:
    """The registry in the data file."""

    def __init__(self, database: sqlite3.Connection, environ: Mapping[str, str]) -> None:
        self._database = database
        self._environ = environ

    async def discover(
        self,
        topic: str,
        *,
        source: str = "all",
        limit: int = 10,
        since: str | None = None,
        threshold: float = 0.3,
    ) -> Discovery:
        """Search for a topic; places that fail are named beside what the others gave.

        Raises:
            Misuse: an unknown source, or a date that is none.
            Unreachable: every place failed.
        """
        if not 1 <= len(topic.strip()) <= 200:
            raise Misuse("A topic has 1 to 200 characters.")
        if source != "all" and source not in _SOURCES:
            raise Misuse(f'There is no source "{source}".', f"There are {', '.join((*_SOURCES, 'all'))}.")
        after = _date(since)
        asked = _ALL if source == "all" else (source,)
        limit = max(1, min(20, limit))
        async with Sources(self._environ) as sources:
            answers = await asyncio.gather(*(_search(sources, one, topic, limit) for one in asked))
        failed = tuple(answer for answer in answers if isinstance(answer, FailedSource))
        if len(failed) == len(asked):
            raise Unreachable(
                "No source could be asked: "
                + " ".join(one.error.removesuffix(OFFLINE).rstrip() for one in failed),
                OFFLINE,
            )
        found = [
            (name, paper)
            for name, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, FailedSource)
            for paper in answer
            if after is None or paper.published[:10] >= after
        ]
        return self._discovery(topic, asked, failed, _once(found), limit, threshold)

    def _discovery(
        self,
        topic: str,
        asked: tuple[str, ...],
        failed: tuple[FailedSource, ...],
        found: list[tuple[str, Paper]],
        limit: int,
        threshold: float,
    ) -> Discovery:
        known = {row["id"] for row in self._database.execute("SELECT id FROM papers")}
        at = now()
        items = [
            Discovered(
                source=name,
                title=paper.title,
                url=paper.url,
                description=paper.summary[:500],
                already_in_registry=paper.id in known,
                discovered_at=at,
                relevance_score=relevance(topic, paper),
            )
            for name, paper in found
        ]
        self._suggest(topic, found, known, at)
        fitting = sorted(
            (one for one in items if one.relevance_score >= threshold), key=lambda one: -one.relevance_score
        )
        shown = fitting[:limit]
        return Discovery(
            topic=topic,
            sources_queried=asked,
            failed_sources=failed,
            items=tuple(shown),
            total_found=len(items),
            already_in_registry=sum(one.already_in_registry for one in items),
            new_items=sum(not one.already_in_registry for one in shown),
            filtered_by_relevance=len(items) - len(fitting),
        )

    def _suggest(self, topic: str, found: list[tuple[str, Paper]], known: set[str], at: str) -> None:
        """Keep new papers for a later review of the catalogue."""
        self._database.executemany(
            "INSERT INTO pending (id, title, url, source, topic, state, found) VALUES (?, ?, ?, ?, ?, 'pending', ?)"
            " ON CONFLICT (id) DO NOTHING",
            [
                (paper.id, paper.title, paper.url, name, topic, at)
                for name, paper in found
                if paper.id.startswith("arxiv-") and paper.id not in known
            ],
        )

    async def add(
        self, arxiv_id: str, *, topic: str | None = None, priority: str | None = None, dry_run: bool = False
    ) -> Added:
        """Add a paper of arXiv to the registry.

        Raises:
            Misuse: no such number, or an unknown priority.
            Unreachable: arXiv cannot be asked.
        """
        number = arxiv_number(arxiv_id)
        if number is None:
            raise Misuse(f'"{arxiv_id[:60]}" is no arXiv number.', "It looks like 2401.00001.")
        if priority is not None and priority not in ("P1", "P2", "P3", "P4"):
            raise Misuse(f'There is no priority "{priority}".', "There are P1, P2, P3 and P4.")
        known = self._find(f"arxiv-{number}")
        if known is not None:
            return Added(success=True, dry_run=dry_run, already_in_registry=True, paper=known)
        async with Sources(self._environ) as sources:
            paper = await sources.paper(number)
        if paper is None:
            raise Misuse(f"arXiv has no paper {number}.")
        paper = msgspec.structs.replace(paper, topics=(topic,) if topic else (), priority=priority)
        if not dry_run:
            self._keep(paper)
        return Added(success=True, dry_run=dry_run, already_in_registry=False, paper=paper)

    def query(
        self,
        action: str,
        *,
        technique: str | None = None,
        query: str | None = None,
        status: str = "all",
        threshold: float = 0.3,
    ) -> Answered:
        """Ask the registry: `status`, `overlap`, `stats` or `search`.

        Raises:
            Misuse: an unknown action or status, or something it needs is missing.
        """
        if status != "all" and status not in _STATUSES:
            raise Misuse(f'There is no status "{status}".', f"There are {', '.join((*_STATUSES, 'all'))}.")
        papers = [paper for paper in self._papers() if status in ("all", paper.status)]
        match action:
            case "status":
                return self._status(papers, technique)
            case "stats":
                return Answered(action=action, success=True, data=_stats(papers))
            case "search":
                if not query:
                    raise Misuse("A search needs a query.")
                scored = sorted(((relevance(query, one), one) for one in papers), key=lambda one: -one[0])
                found = [{**_shown(one), "relevance": score} for score, one in scored if score >= threshold]
                return Answered(action=action, success=True, data={"papers": found, "count": len(found)})
            case "overlap":
                pairs = _overlaps(papers, technique, threshold)
                return Answered(action=action, success=True, data={"pairs": pairs, "count": len(pairs)})
            case _:
                raise Misuse(
                    f'There is no action "{action}".', "There are status, overlap, stats and search."
                )

    def analyze(self, focus: str, topic: str | None = None) -> Answered:
        """Count what the registry says about `gaps`, `trends`, `priorities`, `stale` or `coverage`."""
        papers = [paper for paper in self._papers() if topic is None or relevance(topic, paper) >= 0.3]
        match focus:
            case "gaps":
                open_ = [paper for paper in papers if paper.status == "not-started"]
                told = tuple(
                    f"Decide about {one.title} ({one.priority or 'no priority'})."
                    for one in _urgent(open_)[:5]
                )
                return Answered(
                    action=focus, success=True, data={"notStarted": len(open_)}, recommendations=told
                )
            case "trends":
                years = Counter(paper.published[:4] for paper in papers if paper.published)
                words = Counter(word for paper in papers for word in set(_words(paper.title)))
                data = {"byYear": dict(sorted(years.items())), "words": dict(words.most_common(10))}
                return Answered(action=focus, success=True, data=data)
            case "priorities":
                urgent = _urgent([paper for paper in papers if paper.status != "implemented"])
                return Answered(action=focus, success=True, data={"papers": [_shown(one) for one in urgent]})
            case "stale":
                old = [
                    _shown(one) for one in self._papers(older_than=STALE_DAYS) if one.status == "not-started"
                ]
                told = (f"Start or reject {len(old)} papers.",) if old else ()
                return Answered(
                    action=focus, success=True, data={"papers": old, "days": STALE_DAYS}, recommendations=told
                )
            case "coverage":
                by_topic = Counter(one for paper in papers for one in paper.topics)
                done = Counter(
                    one for paper in papers for one in paper.topics if paper.status == "implemented"
                )
                data = {one: {"papers": count, "implemented": done[one]} for one, count in by_topic.items()}
                return Answered(action=focus, success=True, data={"topics": data})
            case _:
                raise Misuse(
                    f'There is no focus "{focus}".', "There are gaps, trends, priorities, stale and coverage."
                )

    def review(self, action: str, identifier: str | None = None, topic: str | None = None) -> Answered:
        """Review what searches came upon: `list`, `approve`, `dismiss` or `flush`."""
        if action == "list":
            rows = self._database.execute(
                "SELECT * FROM pending WHERE state = 'pending' AND topic = coalesce(?, topic) ORDER BY found, id",
                (topic,),
            )
            pending = [dict(row) for row in rows]
            return Answered(action=action, success=True, data={"pending": pending, "count": len(pending)})
        if action == "flush":
            done = self._database.execute(
                "DELETE FROM pending WHERE state = 'pending' AND topic = coalesce(?, topic)", (topic,)
            )
            return Answered(action=action, success=True, data={"removed": done.rowcount})
        if action not in ("approve", "dismiss"):
            raise Misuse(f'There is no action "{action}".', "There are list, approve, dismiss and flush.")
        row = self._database.execute("SELECT * FROM pending WHERE id = ?", (identifier or "",)).fetchone()
        if row is None:
            raise Misuse(f'Nothing pending is called "{identifier}".', "`list` shows what is.")
        if action == "approve":
            self._keep(Paper(id=row["id"], title=row["title"], url=row["url"], topics=(row["topic"],)))
        self._database.execute(
            "UPDATE pending SET state = ? WHERE id = ?",
            ("approved" if action == "approve" else "dismissed", row["id"]),
        )
        return Answered(action=action, success=True, data={"id": row["id"], "title": row["title"]})

    def _status(self, papers: list[Paper], technique: str | None) -> Answered:
        if technique is not None:
            paper = self._find(technique) or self._find(f"arxiv-{technique}")
            if paper is None:
                raise Misuse(f'The registry has no "{technique}".')
            return Answered(action="status", success=True, data=_shown(paper))
        data = {"papers": [_shown(paper) for paper in papers], "count": len(papers)}
        return Answered(action="status", success=True, data=data)

    def _find(self, paper_id: str) -> Paper | None:
        row = self._database.execute("SELECT * FROM papers WHERE id = ?", (paper_id,)).fetchone()
        return _paper(row) if row else None

    def _papers(self, older_than: int = 0) -> list[Paper]:
        rows = self._database.execute(
            "SELECT * FROM papers WHERE julianday('now') - julianday(added) >= ? ORDER BY added, id",
            (older_than,),
        )
        return [_paper(row) for row in rows]

    def _keep(self, paper: Paper) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO papers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                paper.id,
                paper.title,
                paper.url,
                paper.summary,
                msgspec.json.encode(paper.authors).decode(),
                paper.published,
                msgspec.json.encode(paper.topics).decode(),
                paper.priority,
                paper.status,
                now(),
            ),
        )


def relevance(topic: str, paper: Paper) -> float:
    """Weigh the share of the topic's words that are found 8, that found in the title 2."""
    words = set(_words(topic))
    if not words:
        return 0.0
    title = set(_words(paper.title))
    everything = title | set(_words(paper.summary)) | {word for one in paper.topics for word in _words(one)}
    return round(0.8 * len(words & everything) / len(words) + 0.2 * len(words & title) / len(words), 3)


async def _search(sources: Sources, source: str, topic: str, limit: int) -> list[Paper] | FailedSource:
    try:
        return await sources.search(source, topic, limit)
    except Unreachable as error:
        return FailedSource(source=source, error=str(error))


def _once(found: list[tuple[str, Paper]]) -> list[tuple[str, Paper]]:
    """Keep the first of what several places know."""
    kept = dict[str, tuple[str, Paper]]()
    for name, paper in found:
        kept.setdefault(" ".join(_words(paper.title)), (name, paper))
    return list(kept.values())


def _overlaps(papers: list[Paper], technique: str | None, threshold: float) -> list[dict[str, Any]]:
    """List pairs whose words are alike, by the share of words in common."""
    bags = [(paper, set(_words(f"{paper.title} {' '.join(paper.topics)}"))) for paper in papers]
    pairs = list[dict[str, Any]]()
    for at, (one, words) in enumerate(bags):
        for other, others in bags[at + 1 :]:
            if technique is not None and technique not in (one.id, other.id):
                continue
            alike = len(words & others) / max(1, len(words | others))
            if alike >= threshold:
                pairs.append({"a": one.id, "b": other.id, "similarity": round(alike, 3)})
    return sorted(pairs, key=lambda pair: -pair["similarity"])


def _stats(papers: list[Paper]) -> dict[str, Any]:
    return {
        "papers": len(papers),
        "byStatus": dict(Counter(paper.status for paper in papers)),
        "byPriority": dict(Counter(paper.priority or "none" for paper in papers)),
        "byTopic": dict(Counter(topic for paper in papers for topic in paper.topics)),
    }


def _urgent(papers: list[Paper]) -> list[Paper]:
    return sorted(papers, key=lambda paper: (paper.priority or "P9", paper.published))


def _shown(paper: Paper) -> dict[str, Any]:
    return msgspec.to_builtins(paper)


def _paper(row: sqlite3.Row) -> Paper:
    texts = tuple[str, ...]
    return Paper(
        id=row["id"],
        title=row["title"],
        url=row["url"],
        summary=row["summary"],
        authors=msgspec.json.decode(row["authors"], type=texts),
        published=row["published"],
        topics=msgspec.json.decode(row["topics"], type=texts),
        priority=row["priority"],
        status=row["status"],
    )


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _DULL]


def _date(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise Misuse(f'"{text[:40]}" is no date.', "It looks like 2026-01-31.") from None
