"""The pages list what there is, and nothing else."""

import re
from pathlib import Path

import signals
from nexus.telemetry import failures
from nexus.telemetry.failures import DISCONNECTED
from nexus.telemetry.metrics import MAX_STRANGE, OTHER

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "telemetry.md").read_text()


def test_the_reference_is_what_the_instruments_and_the_spans_say() -> None:
    written = (DOCS / "reference" / "metrics.md").read_text()
    assert written == signals.page(), "run `make docs`"


def test_metrics_and_spans_the_page_tells_of_are_there() -> None:
    names = {one.name for one in signals.instruments()} | {
        name for one in signals.SPANS for name in one.names
    }
    attributes = {name for one in (*signals.instruments(), *signals.SPANS) for name in one.attributes}
    told = set(re.findall(r"`((?:gen_ai|mcp|nexus|redis|http|llm)\.[a-z_.]+)`", PAGE))
    assert told <= names | attributes | {"http.tls.ca"}
    assert f"`{OTHER}`" in PAGE
    assert MAX_STRANGE == 100


def test_every_kind_of_failure_is_documented() -> None:
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
