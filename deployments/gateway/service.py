"""What the gateway knows of the whole platform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments.gateway.metadata import ServerMetadata
from deployments.gateway.metrics import Gauges, exposition
from deployments.gateway.pages import Assets
from deployments.gateway.readiness import Check, Finding, examine
from deployments.gateway.schemas import Readiness, StoreState


class PlatformView:
    """Readiness, metrics, documents."""

    def __init__(
        self,
        *,
        checks: Sequence[Check],
        gauges: Gauges,
        openapi: dict[str, Any],
        key_file: Path,
        issuer: ServerMetadata,
        assets: Assets,
    ) -> None:
        self._checks = checks
        self._gauges = gauges
        self.openapi = openapi
        self.key_file = key_file
        self.issuer = issuer
        self.assets = assets

    async def readiness(self) -> Readiness:
        findings = await examine(self._checks)
        return Readiness(status=_status(findings), checks=[_state(finding) for finding in findings])

    async def metrics(self) -> bytes:
        return exposition(await self._gauges.collect())


def _status(findings: Sequence[Finding]) -> Any:
    failed = [finding for finding in findings if finding.error]
    return "failing" if any(finding.needed for finding in failed) else "degraded" if failed else "ok"


def _state(finding: Finding) -> StoreState:
    return StoreState(
        name=finding.name,
        status="failing" if finding.error else "ok",
        needed=finding.needed,
        error=finding.error,
    )
