"""The search over tools: the published ranking first, then whatever that one cannot see. Pure: no I/O, no clock.

Scores follow the published contract: per keyword the best of its words, per word the best of the fields, keywords added up.
Exact words count by BM25, words one edit away by a constant. A second tier adds tools that the first does not find at all
(word stems, beginnings of words, short parameter names); it never changes the order of the first.
"""

import heapq
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from nexus.mcp.words import Neighbours, analyse, split, stem

LIMIT = 10

_K1, _B = 1.2, 0.75
_NAME, _TITLE, _DESCRIPTION, _SERVER = 3.0, 2.0, 1.2, 0.8
_NEAR_DESCRIPTION, _NEAR_PARAMETERS, _NEAR_TOKENS = 0.6, 0.4, 0.3
_SECOND_TIER = 0.2
"""Best score of the second tier, if the first tier does not end below it."""
_EQUAL = 1e-9
"""Scores no further apart are equal: the same sum in another order."""

Scores = dict[int, float]


class Document(NamedTuple):
    """What the index reads of one tool."""

    name: str
    """As clients call it; breaks ties."""
    server: str
    tool: str
    description: str
    title: str
    """`annotations.title`; the published ranking does not read any other."""
    schema: Mapping[str, Any]


class Match(NamedTuple):
    """One hit: the position of its document and how well it fits."""

    position: int
    score: float


class Index:
    """An immutable index; build another one when the tools change."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(documents)
        names = [_name_tokens(one.tool) for one in self._documents]
        self._fields = (
            _Field(_NAME, names),
            _Field(_TITLE, [analyse(one.title) for one in self._documents]),
            _Field(_DESCRIPTION, [analyse(one.description) for one in self._documents]),
            _Field(_SERVER, [analyse(one.server) for one in self._documents]),
        )
        parameters = [analyse(_text(one.schema)) for one in self._documents]
        keys = [_keys(one.schema) for one in self._documents]
        tokens = [_search_tokens(one, own) for one, own in zip(self._documents, keys, strict=True)]
        self._near = (
            (_NEAR_TOKENS, _postings(tokens)),
            (_NEAR_PARAMETERS, _postings(parameters)),
            (_NEAR_DESCRIPTION, self._fields[2].postings),
        )
        self._neighbours = Neighbours(
            {token for _, postings in self._near for token in postings if len(token) > 3}
        )
        self._recall = _Recall(names, self._fields[2].postings, keys)
        ordered = sorted(range(len(self._documents)), key=lambda one: self._documents[one].name)
        self._ranks = dict(zip(ordered, range(len(ordered)), strict=True))
        self._exact: dict[str, list[int]] = defaultdict(list)
        for position, one in enumerate(self._documents):
            for name in {one.name.lower(), f"{one.server}__{one.tool}".lower(), one.tool.lower()}:
                self._exact[name].append(position)

    def __len__(self) -> int:
        return len(self._documents)

    def search(self, keywords: Sequence[str], limit: int = LIMIT) -> list[Match]:
        """Rank the tools that match any keyword, the best first; no more than `limit`."""
        total: Scores = {}
        cover: Scores = {}
        terms = [split(keyword) for keyword in keywords]
        for words in terms:
            best: Scores = {}
            for word in words:
                found = self._term(word)
                _raise(best, found)
                if len(words) > 1:
                    _add(cover, found)
            _add(total, best)
        self._pin(keywords, total)
        matches = self._best(total, cover, limit)
        if len(matches) < limit:
            ceiling = min(_SECOND_TIER, min(total.values(), default=1.0) / 2)
            matches += self._second(keywords, total, ceiling, limit - len(matches))
        return matches

    def _term(self, term: str) -> Scores:
        """Score every document for one word."""
        scores: Scores = {}
        if len(term.encode()) > 4 and not term.isdigit():
            near = self._neighbours.near(term)
            for constant, postings in self._near:  # ascending, so the best constant stays
                for token in near:
                    if (found := postings.get(token)) is not None:
                        scores.update(dict.fromkeys(found, constant))
        for field in self._fields:
            field.score(term, scores)
        return scores

    def _pin(self, keywords: Sequence[str], total: Scores) -> None:
        """Let a tool called by its whole name, of several words, come first."""
        for keyword in keywords:
            name = keyword.strip().lower()
            if (owners := self._exact.get(name)) and (len(split(keyword)) > 1 or not split(keyword)):
                first = max(total.values(), default=1.0)
                for position in owners:
                    total[position] = first + total.get(position, 0.0)

    def _best(self, total: Scores, cover: Scores, limit: int) -> list[Match]:
        """Take the best; of equals the one more of whose words were asked for, then by name."""
        if len(total) > limit:
            least = sorted(total.values())[-limit]
            better = [position for position, score in total.items() if score > least + _EQUAL]
            equal = [position for position, score in total.items() if abs(score - least) <= _EQUAL]
            missing = limit - len(better)
            chosen = better + heapq.nsmallest(
                missing, equal, self._order(cover) if cover else self._ranks.__getitem__
            )
        else:
            chosen = list(total)
        chosen.sort(key=self._order(cover))
        chosen.sort(key=lambda position: -round(total[position], 7))
        return [Match(position, round(total[position], 7)) for position in chosen]

    def _order(self, cover: Scores) -> Callable[[int], tuple[float, int]]:
        ranks = self._ranks
        return lambda position: (-round(cover.get(position, 0.0), 7), ranks[position])

    def _second(self, keywords: Sequence[str], taken: Scores, ceiling: float, limit: int) -> list[Match]:
        scores: Scores = {}
        for keyword in keywords:
            _add(scores, self._recall.find(keyword))
        left = {position: score for position, score in scores.items() if position not in taken}
        if not left:
            return []
        scale = ceiling / max(left.values())
        found = heapq.nsmallest(limit, left, key=lambda one: (-round(left[one], 7), self._ranks[one]))
        return [Match(position, round(left[position] * scale, 7)) for position in found]


class _Field:
    """One field with exact matching: postings, and per document what its length makes of a hit."""

    def __init__(self, boost: float, tokens: Sequence[Sequence[str]]) -> None:
        self.postings = _postings(tokens)
        count = len(tokens)
        average = sum(map(len, tokens)) / count if count else 0.0
        self._norms = [
            boost * (_K1 + 1) / (1 + _K1 * (1 - _B + _B * len(one) / average)) if average else 0.0
            for one in tokens
        ]
        self._count = count

    def score(self, term: str, scores: Scores) -> None:
        """Raise the scores of the documents that hold a word; how often they do does not matter."""
        if (found := self.postings.get(term)) is None:
            return
        idf = math.log(1 + (self._count - len(found) + 0.5) / (len(found) + 0.5))
        norms = self._norms
        for position in found:
            score = idf * norms[position]
            if score > scores.get(position, 0.0):
                scores[position] = score


class _Recall:
    """The second tier: what the published ranking has no way to find."""

    def __init__(
        self,
        names: Sequence[Sequence[str]],
        descriptions: Mapping[str, Sequence[int]],
        keys: Sequence[Sequence[str]],
    ) -> None:
        self._names = _postings([[stem(token) for token in one] for one in names])
        self._words = _postings(names)
        self._descriptions = _stemmed(descriptions)
        self._keys = _postings([[word.lower() for key in one for word in (key, *split(key))] for one in keys])
        self._sorted = sorted({*self._words, *descriptions})
        self._all = (self._words, descriptions)

    def find(self, keyword: str) -> Scores:
        """Score documents for one keyword, in a scale of its own."""
        best: Scores = {}
        whole = [word.lower() for word in keyword.split() if len(word) > 1]
        for word in {*split(keyword), *whole}:
            _raise(best, dict.fromkeys(self._names.get(stem(word), ()), 1.0))
            _raise(best, dict.fromkeys(self._words.get(word, ()), 1.0))
            _raise(best, dict.fromkeys(self._descriptions.get(stem(word), ()), 0.6))
            _raise(best, dict.fromkeys(self._keys.get(word, ()), 0.4))
            if len(word) > 2:
                _raise(best, dict.fromkeys(self._beginning(word), 0.3))
        return best

    def _beginning(self, word: str) -> Iterator[int]:
        at = bisect_left(self._sorted, word)
        while at < len(self._sorted) and self._sorted[at].startswith(word):
            for postings in self._all:
                yield from postings.get(self._sorted[at], ())
            at += 1


def _postings(tokens: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    postings: dict[str, list[int]] = defaultdict(list)
    for position, one in enumerate(tokens):
        for token in set(one):
            postings[token].append(position)
    return dict(postings)


def _stemmed(postings: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
    stems: dict[str, set[int]] = defaultdict(set)
    for token, positions in postings.items():
        stems[stem(token)].update(positions)
    return dict(stems)


def _name_tokens(tool: str) -> list[str]:
    """Cut a tool's name; names written with capitals or digits are also known by their parts."""
    tokens = analyse(tool)
    return tokens + [word for word in split(tool) if word not in tokens]


def _text(schema: Mapping[str, Any]) -> str:
    return msgspec.json.encode(schema).decode() if schema else ""


def _search_tokens(one: Document, keys: Sequence[str]) -> list[str]:
    words = [
        *split(one.server),
        *split(one.tool),
        one.description,
        *(word for key in keys for word in split(key)),
    ]
    return analyse(" ".join(words))


def _keys(schema: object) -> list[str]:
    """List the keys of a schema, of the objects in it too; arrays are not looked into."""
    found: list[str] = []
    left = [schema]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            entries = cast("dict[str, object]", node)
            found += entries
            left += entries.values()
    return found


def _raise(scores: Scores, other: Scores) -> None:
    if not scores:
        scores.update(other)
        return
    for position, score in other.items():
        if score > scores.get(position, 0.0):
            scores[position] = score


def _add(scores: Scores, other: Scores) -> None:
    if not scores:
        scores.update(other)
        return
    get = scores.get
    for position, score in other.items():
        scores[position] = get(position, 0.0) + score
