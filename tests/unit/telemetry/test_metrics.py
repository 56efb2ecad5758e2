"""What clients choose fills nobody's memory, and takes no place from what is real."""

import msgspec

from nexus.telemetry.instruments import MAX_POINTS
from nexus.telemetry.metrics import MAX_STRANGE, OTHER, Metrics
from nexus.telemetry.records import RequestRecord, ToolRecord, UsageRecord

KEY = "sk-proj-0123456789abcdefghij"
CALL = UsageRecord(0.1, None, 0.0, "chat.completions", "up/real", "up", "real", finish="stop")


def take(metrics: Metrics, *works: UsageRecord | ToolRecord, client: str | None = None) -> None:
    metrics.take([RequestRecord(0.0, "POST", "/x", 200, 0.1, client, None, work) for work in works])


def asked(metrics: Metrics) -> set[object]:
    return {key[2] for key, _ in metrics.model.duration.points() if key is not None}


def test_models_that_are_not_there_are_told_apart_up_to_a_point() -> None:
    metrics = Metrics()
    for number in range(MAX_POINTS * 2):
        take(metrics, msgspec.structs.replace(CALL, asked=f"x{number}", error="model_not_found", finish=None))
    take(metrics, CALL)
    names = asked(metrics)
    assert len(names) == MAX_STRANGE + 2
    assert {"up/real", OTHER, "x0"} <= names
    total = sum(sum(spread.counts) for _, spread in metrics.model.duration.points())
    assert total == MAX_POINTS * 2 + 1


def test_a_model_that_has_worked_keeps_its_name_when_it_fails() -> None:
    metrics = Metrics()
    take(metrics, CALL)
    for number in range(MAX_STRANGE + 1):
        take(metrics, msgspec.structs.replace(CALL, asked=f"x{number}", error="model_not_found", finish=None))
    take(metrics, msgspec.structs.replace(CALL, error="connection_error", finish=None))
    failed = {key[2]: key[-1] for key, _ in metrics.model.duration.points() if key is not None}
    assert failed["up/real"] == "connection_error"


def test_tools_that_are_not_there_are_told_apart_up_to_a_point() -> None:
    metrics = Metrics()
    for number in range(MAX_STRANGE + 50):
        take(metrics, ToolRecord(0.1, "method_not_found", "tools/call", f"s__{number}"))
    take(metrics, ToolRecord(0.1, None, "tools/call", "adder", server="math"))
    names = {key[1] for key, _ in metrics.tools.calls.points() if key is not None}
    assert len(names) == MAX_STRANGE + 2
    assert {"adder", OTHER} <= names


def test_clients_told_apart_by_their_keys_are_not_named_by_them() -> None:
    metrics = Metrics()
    tool = ToolRecord(0.1, None, "tools/call", "adder", server="math")
    take(metrics, msgspec.structs.replace(CALL, client=KEY, group=KEY), tool, client=KEY)
    points = [*metrics.model.duration.points(), *metrics.tools.calls.points()]
    assert len(points) == 2
    assert KEY not in str(points)
