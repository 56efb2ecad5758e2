"""A process takes as many open files as it may have, not as few as its shell begins with."""

import subprocess
import sys

import pytest

_ASK = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from nexus.server import descriptors
print(descriptors.claim(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "taken"), [(64, 512, 512), (512, 512, 512)])
def test_what_the_system_gives_is_taken(soft: int, hard: int, taken: int) -> None:
    asked = [sys.executable, "-c", _ASK.format(soft=soft, hard=hard)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(taken), str(taken), str(hard)]
