"""Settings for every test."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# the machine is shared with the servers the other tests run: how long an example takes says nothing
settings.register_profile("nexus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nexus")

MAY_SKIP = ("recorded traffic", "empty parameter set")
"""Recorded traffic is not ours to bring along; everything else CI has to install."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where `NEXUS_NOTHING_SKIPS` is set, a test that skips has failed: what it needs was not installed."""
    report = yield
    if (
        report.skipped
        and os.environ.get("NEXUS_NOTHING_SKIPS")
        and not any(why in str(report.longrepr) for why in MAY_SKIP)
    ):
        report.outcome = "failed"
    return report
