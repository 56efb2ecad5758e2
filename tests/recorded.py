"""Recorded provider traffic, where it is present: the folder of `NEXUS_RECORDED`, else `../shared/recorded`."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("NEXUS_RECORDED") or Path(__file__).parents[2] / "shared" / "recorded")

needed = pytest.mark.skipif(not ROOT.is_dir(), reason="the recorded traffic is not here (NEXUS_RECORDED)")


@dataclass(frozen=True)
class Exchange:
    """One request with its answer."""

    folder: Path

    @property
    def request(self) -> bytes:
        return (self.folder / "request.json").read_bytes()

    @property
    def answer(self) -> bytes:
        return next(self.folder.glob("response.*")).read_bytes()

    @property
    def streamed(self) -> bool:
        return (self.folder / "response.sse").exists()

    @property
    def is_json(self) -> bool:
        return (self.folder / "response.json").exists()

    @property
    def meta(self) -> bytes:
        return (self.folder / "meta.json").read_bytes()

    def __str__(self) -> str:
        return str(self.folder.relative_to(ROOT))


def exchanges(*wires: str) -> list[Exchange]:
    """All exchanges of some wires, sorted by name."""
    if not ROOT.is_dir():
        return []
    folders = (meta.parent for wire in wires for meta in sorted((ROOT / wire).rglob("meta.json")))
    return [Exchange(folder) for folder in folders if (folder / "request.json").exists()]
