"""The page lists what there is, and nothing else."""

import re
from pathlib import Path

from nexus import config
from nexus.server.app import Gateway
from nexus.telemetry.failures import DISCONNECTED

PAGE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text()
EVERYTHING = """
llm.providers.e.type = "echo"
mcp.servers.s.cmd = ["x"]
telemetry.prometheus.enabled = true
[server.rate_limits]
enabled = true
global = { limit = 1, interval = "1s" }
storage = { type = "redis", url = "redis://127.0.0.1:1" }
"""


def test_every_metric_is_documented_with_its_attributes_and_no_other() -> None:
    gateway = Gateway(config.loads(EVERYTHING, {}).config)
    for gauge in gateway.gauges:
        gateway.telemetry.metrics.show(gauge)
    there = {one.name: set(one.attributes) for one in gateway.telemetry.metrics.all()}
    rows = re.findall(
        r"^\| (`[a-z].*?`) \| \S*(?:histogram|counter|gauge)\S*.*? \|(.*)\|$", PAGE, re.MULTILINE
    )
    told = {name: row for names, row in rows for name in re.findall(r"`([^`]+)`", names)}
    assert set(told) == set(there)
    for name, row in told.items():
        if "as for" not in row:
            named = {word for word in re.findall(r"`([a-z_.]+)`", row) if word in _ATTRIBUTES}
            assert named == there[name], name


_ATTRIBUTES = {
    name
    for one in Gateway(config.loads(EVERYTHING, {}).config).telemetry.metrics.all()
    for name in one.attributes
} | {"server_name", "gen_ai.provider.name", "signal"}


def test_every_kind_of_failure_is_documented() -> None:
    from nexus.telemetry import failures

    words = re.findall(r'"([a-z_]+)"', Path(failures.__file__).read_text())
    told = PAGE.split("`error.type` of calls of models")[1].split("## ")[0]
    api = {
        "invalid_request_error",
        "authentication_error",
        "not_found_error",
        "rate_limit_error",
        "api_error",
    }
    assert {word for word in words if word not in api} <= set(re.findall(r"`([a-z_]+)`", told)) | {
        DISCONNECTED
    }
