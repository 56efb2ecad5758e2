"""Nexus as ever, but for one thing: on SIGUSR1 it writes down what it holds, into the file SOAK_HELD names: tasks and objects.

A program: `python -m benchmarks.soak.watched`, with the options of `nexus`.
"""

import asyncio
import gc
import os
import signal
from collections import Counter
from pathlib import Path

import msgspec

from nexus.cli import main


def _tell(_number: int, _frame: object) -> None:
    tasks = asyncio.all_tasks(asyncio.get_running_loop())
    names = Counter(getattr(task.get_coro(), "__qualname__", task.get_name()) for task in tasks)
    gc.collect()
    file = Path(os.environ["SOAK_HELD"])
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode({"tasks": names, "objects": len(gc.get_objects())}))
    fresh.rename(file)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    main()
