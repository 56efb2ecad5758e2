"""How many files and connections the system lets this process have open at one time."""

import contextlib
import resource

_MOST = 65_536
"""More is not asked for: some programs we start go through as many as they may have, one by one."""


def claim() -> int:
    """Take as many as the system gives without being asked twice, and tell how many that are.

    Shells and services often begin with 1024, or 256, of far more that they may have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS gives less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return _MOST if soft == resource.RLIM_INFINITY else soft
