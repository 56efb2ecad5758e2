"""The files that are shipped to run Nexus agree with it and with each other; by `make deploy-check` other tools read them."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

import nexus
from gateway import gateway
from nexus import config

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/nexus"
COMPOSE = [ROOT / "docker-compose.yml", ROOT / "deploy/compose/redis.yml"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def patience(toml: str, **environ: str) -> float:
    server = config.loads(toml, {"OPENAI_API_KEY": "k", **environ}).config.server
    return server.shutdown_delay + server.shutdown_timeout


def test_the_chart_is_of_this_version() -> None:
    chart = read(CHART / "Chart.yaml")
    assert chart["appVersion"] == nexus.__version__


def test_the_charts_values_are_all_in_their_schema_and_only_they() -> None:
    values, schema = (
        read(CHART / "values.yaml"),
        msgspec.json.decode((CHART / "values.schema.json").read_bytes()),
    )
    jsonschema.validate(values, schema)
    assert set(schema["properties"]) - {"global"} == set(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "replicas": 3}, schema)


def test_every_value_of_the_chart_is_used() -> None:
    templates = "".join(path.read_text() for path in CHART.glob("templates/**/*.*"))
    for name in read(CHART / "values.yaml"):
        assert f".Values.{name}" in templates, name


def test_whoever_stops_nexus_waits_longer_than_it_drains() -> None:
    values = read(CHART / "values.yaml")
    assert values["terminationGracePeriodSeconds"] > patience(values["config"])
    replicas = (ROOT / "deploy/compose/nexus.toml").read_text()
    grace = read(COMPOSE[1])["services"]["nexus-1"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > patience(replicas, REDIS_URL="redis://redis")
    echo = '[llm.providers.try]\ntype = "echo"\n'
    assert int(read(COMPOSE[0])["services"]["nexus"]["stop_grace_period"].removesuffix("s")) > patience(echo)
    unit = (ROOT / "deploy/systemd/nexus.service").read_text()
    found = re.search(r"TimeoutStopSec=(\d+)s", unit)
    assert found is not None
    assert int(found[1]) > patience(echo)


def test_nginx_lets_go_of_idle_connections_before_nexus_does() -> None:
    nginx = (ROOT / "deploy/nginx/nginx.conf").read_text()
    upstream = nginx[nginx.index("upstream nexus") :]
    kept = re.search(r"keepalive_timeout (\d+)s;", upstream)
    assert kept is not None
    replicas = config.loads((ROOT / "deploy/compose/nexus.toml").read_text(), {"REDIS_URL": "redis://redis"})
    assert int(kept[1]) < replicas.config.server.shutdown_delay
    names = re.findall(r"server (nexus-\d):8000", nginx)
    assert names == [name for name in read(COMPOSE[1])["services"] if name.startswith("nexus-")]


def test_the_image_serves_whom_the_environment_has_a_key_for() -> None:
    loaded = config.loads((ROOT / "deploy/docker/nexus.toml").read_text(), {"OPENAI_API_KEY": "k"})
    assert list(loaded.config.llm.providers) == ["openai"]


def test_the_image_runs_without_root_and_installs_only_what_is_locked() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 1000:1000" in lines
    assert "EXPOSE 8000" in lines
    installs = "\n".join(lines).replace("\\\n", " ").split("&&")
    for one in installs:
        if "pip" in one and " install" in one:
            assert "--require-hashes" in one or "--no-index" in one, one


async def test_the_health_check_of_the_image_tells_alive_from_dead(tmp_path: Path) -> None:

    async with gateway('[llm.providers.try]\ntype = "echo"\n') as running:
        assert await _checked(running.port) == 0
    assert await _checked(running.port) == 1


async def _checked(port: int) -> int:

    check = [sys.executable, "-I", str(ROOT / "deploy/docker/healthcheck.py")]
    environment = {"NEXUS_LISTEN_ADDRESS": f"0.0.0.0:{port}"}
    done = await asyncio.to_thread(
        subprocess.run, check, env=environment, capture_output=True, timeout=10, check=False
    )
    return done.returncode
