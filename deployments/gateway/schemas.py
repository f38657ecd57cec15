"""Answers of the gateway."""

from __future__ import annotations

from typing import Literal

from deployments.edge.schemas import StrictModel


class Health(StrictModel):
    status: Literal["ok"] = "ok"


class StoreState(StrictModel):
    """One store; `error` names what went wrong."""

    name: str
    status: Literal["ok", "failing"]
    needed: bool
    error: str | None = None


class Readiness(StrictModel):
    """`degraded`: a store is away that the platform can do without."""

    status: Literal["ok", "degraded", "failing"]
    checks: list[StoreState]
