"""What a check has to say, before it is known whether it may be said."""

from dataclasses import dataclass

from nexus.config.path import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or worth a warning, in a configuration the schema accepts."""

    path: Path
    message: str
    cure: str = ""
    """What to do about it; repeats no value of the file, only names of keys."""
    needs: tuple[Path, ...] = ()
    """Places it was concluded from; if one of them is itself mistaken the conclusion is worth nothing."""
