"""Text for the index: cutting it into tokens, cutting names into words, finding tokens one typing mistake away."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

MAX_TOKEN = 40
"""Tokens of this many bytes or more are noise (hashes, encoded data) and are not indexed."""

_TOKENS = re.compile(r"[^\W_]+")


def analyse(text: str) -> list[str]:
    """Cut at everything that is no letter and no digit; lower-case. Nothing is stemmed, no word is left out."""
    return [token.lower() for token in _TOKENS.findall(text) if _short(token)]


def _short(token: str) -> bool:
    return len(token) < MAX_TOKEN and (token.isascii() or len(token.encode()) < MAX_TOKEN)


def split(text: str) -> list[str]:
    """Cut a name into its words: `getUserInfo`, `get_user-info` and `XMLHttp2` alike. Words of one byte are dropped."""
    words: list[str] = []
    for piece in re.split(r"[\s_-]+", text):
        words += (word.lower() for word in _humps(piece) if len(word) > 1 or not word.isascii())
    return words


def _humps(piece: str) -> Iterator[str]:
    start = 0
    for at, (before, char) in enumerate(pairwise(piece), 1):
        after = piece[at + 1 : at + 2]
        if _boundary(before, char, after):
            yield piece[start:at]
            start = at
    if start < len(piece):
        yield piece[start:]


def _boundary(before: str, char: str, after: str) -> bool:
    if before.islower() and char.isupper():
        return True
    if before.isdigit() != char.isdigit() and (before.isalpha() or char.isalpha()):
        return True
    # the last capital of an acronym begins the next word: XML|Http
    return before.isupper() and char.isupper() and after.islower()


class Neighbours:
    """Find the tokens of a vocabulary that are at most one edit from a word: a letter more, less, other, or two swapped.

    Two words are that close only if they have a common form after taking away at most one letter of each, so those forms are
    the key (symmetric deletes, https://github.com/wolfgarbe/SymSpell).
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._forms: dict[str, list[str]] = {}
        for token in vocabulary:
            for form in _forms(token):
                self._forms.setdefault(form, []).append(token)

    def near(self, word: str) -> set[str]:
        """Find tokens at distance 0 or 1."""
        found = {token for form in _forms(word) for token in self._forms.get(form, ())}
        return {token for token in found if within_one(word, token)}


def _forms(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def within_one(one: str, other: str) -> bool:
    """Tell whether one edit at most leads from one word to the other; swapping two neighbours is one edit."""
    if one == other:
        return True
    if len(one) > len(other):
        one, other = other, one
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    if one[at + 1 :] == other[at + 1 :]:
        return True
    return one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]


def stem(token: str) -> str:
    """Take the commonest English endings away; good enough to see `Adds` and `adding` as `add`."""
    for ending, least in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if token.endswith(ending) and len(token) >= least and not token.endswith("ss"):
            root = token[: -len(ending)]
            if ending == "ies":
                return f"{root}y"
            if ending in ("ing", "ed") and len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
                return root[:-1]
            return root.removesuffix("e")
    return token.removesuffix("e") if len(token) > 3 else token
