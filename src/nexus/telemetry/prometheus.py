"""The text Prometheus scrapes.

https://prometheus.io/docs/instrumenting/exposition_formats/

Names follow https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ so that a dashboard fits what
is scraped here and what a collector writes.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from nexus.telemetry.instruments import AnyInstrument, Attributes, Counter, Gauge, Histogram, Number, Spread

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_]+")


def write(instruments: Iterable[AnyInstrument], resource: Mapping[str, str]) -> bytes:
    """Write every point of every instrument."""
    lines = [
        "# HELP target_info Who is measured.",
        "# TYPE target_info gauge",
        f"target_info{_labels(dict(resource))} 1",
    ]
    for one in instruments:
        lines += _family(one)
    return ("\n".join(lines) + "\n").encode()


def name(instrument: AnyInstrument) -> str:
    """Give what Prometheus calls an instrument."""
    plain = _plain(instrument.name)
    unit = _UNITS.get(instrument.unit)
    if unit is not None and not plain.endswith(f"_{unit}"):
        plain = f"{plain}_{unit}"
    return f"{plain}_total" if _grows(instrument) else plain


def _grows(instrument: AnyInstrument) -> bool:
    return isinstance(instrument, Counter) or (isinstance(instrument, Gauge) and instrument.kind == "counter")


def _family(one: AnyInstrument) -> Iterator[str]:
    called = name(one)
    kind = "counter" if _grows(one) else "histogram" if isinstance(one, Histogram) else "gauge"
    points = list(one.points())
    if not points:
        return
    yield f"# HELP {called} {one.description}"
    yield f"# TYPE {called} {kind}"
    for key, point in points:
        attributes = one.named(key)
        if isinstance(one, Histogram) and isinstance(point, Spread):
            yield from _histogram(called, one, attributes, point)
        elif not isinstance(point, Spread):
            yield f"{called}{_labels(attributes)} {_number(point)}"


def _histogram(called: str, one: Histogram, attributes: Attributes, point: Spread) -> Iterator[str]:
    labels = _pairs(attributes)
    before = f"{labels}," if labels else ""
    seen = 0
    for bound, count in zip((*one.bounds, math.inf), tuple(point.counts), strict=True):
        seen += count
        yield f'{called}_bucket{{{before}le="{_number(bound)}"}} {seen}'
    around = f"{{{labels}}}" if labels else ""
    yield f"{called}_sum{around} {_number(point.sum)}"
    yield f"{called}_count{around} {seen}"


def _labels(attributes: Mapping[str, str | int | bool]) -> str:
    pairs = _pairs(attributes)
    return f"{{{pairs}}}" if pairs else ""


def _pairs(attributes: Mapping[str, str | int | bool]) -> str:
    return ",".join(f'{_plain(key)}="{_escaped(value)}"' for key, value in attributes.items())


def _plain(text: str) -> str:
    plain = _NOT_PLAIN.sub("_", text)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _escaped(value: str | int | bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: Number) -> str:
    return "+Inf" if value == math.inf else repr(value)
