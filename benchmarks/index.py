"""How long a search takes over 100, 1,000 and 10,000 tools, and how long the index takes to build."""

import random
import statistics
import time

from nexus.mcp.index import Document, Index

QUERIES = (
    ["create", "issue"],
    ["string"],
    ["object", "properties"],
    ["databse", "query"],
    ["list files in directory"],
)
_VERBS = [
    "get",
    "list",
    "create",
    "update",
    "delete",
    "search",
    "read",
    "write",
    "move",
    "copy",
    "send",
    "fetch",
    "run",
]
_NOUNS = [
    "issue",
    "file",
    "user",
    "project",
    "table",
    "message",
    "branch",
    "calendar",
    "event",
    "page",
    "comment",
    "row",
]
_WORDS = _VERBS + _NOUNS + [f"{a}{b}" for a in ("sub", "pre", "meta", "auto") for b in _NOUNS]


def corpus(count: int, seed: int = 1) -> list[Document]:
    """Make tools that look like real ones: a verb and a noun, a sentence, a few parameters."""
    rng = random.Random(seed)
    tools: list[Document] = []
    for at in range(count):
        verb, noun = rng.choice(_VERBS), rng.choice(_WORDS)
        names = rng.sample(_WORDS, rng.randint(1, 6))
        fields = {
            name: {"type": "string", "description": " ".join(rng.choices(_WORDS, k=8))} for name in names
        }
        schema = {"type": "object", "properties": fields, "required": names[:1]}
        server, tool = f"server{at % 40}", f"{verb}_{noun}_{at // 40}"
        description = f"{verb.title()} a {noun}. " + " ".join(rng.choices(_WORDS, k=20))
        tools.append(Document(f"{server}__{tool}", server, tool, description, "", schema))
    return tools


def main() -> None:
    print("| tools | build, ms | query p50, ms | query p99, ms |")
    print("|---|---|---|---|")
    for count in (100, 1_000, 10_000):
        documents = corpus(count)
        start = time.perf_counter()
        index = Index(documents)
        built = time.perf_counter() - start
        times: list[float] = []
        for _ in range(40):
            for query in QUERIES:
                start = time.perf_counter()
                index.search(query)
                times.append((time.perf_counter() - start) * 1000)
        times.sort()
        p99 = times[int(len(times) * 0.99)]
        print(f"| {count:,} | {built * 1000:.0f} | {statistics.median(times):.2f} | {p99:.2f} |")


if __name__ == "__main__":
    main()
