"""Figures for Prometheus: a port, and Ray's implementation (every process exports through Ray's targets)."""

from __future__ import annotations

from typing import Any, Protocol


class Meter(Protocol):
    """Current values and counts, by name and tags."""

    def gauge(self, name: str, value: float, **tags: str) -> None: ...
    def count(self, name: str, **tags: str) -> None: ...


class RayMeter:
    """`ray.util.metrics`; a name is always used with the same tags."""

    def __init__(self, prefix: str = "medsearch_") -> None:
        self._prefix = prefix
        self._made: dict[str, Any] = {}

    def gauge(self, name: str, value: float, **tags: str) -> None:
        self._metric("Gauge", name, tags).set(value, tags)

    def count(self, name: str, **tags: str) -> None:
        self._metric("Counter", name, tags).inc(1, tags)

    def _metric(self, kind: str, name: str, tags: dict[str, str]) -> Any:
        from ray.util import metrics

        if name not in self._made:
            description = name.replace("_", " ")
            self._made[name] = getattr(metrics, kind)(self._prefix + name, description, tuple(tags))
        return self._made[name]
