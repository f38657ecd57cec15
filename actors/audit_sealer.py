"""Seals the audit trail: a duty of the leader of the event pump, turn by turn."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from config.secrets import SecretMissing

log = structlog.get_logger(__name__)


class Sealing(Protocol):
    """Adds records to the chain (`stores.audit_sealing.AuditSealing`)."""

    async def seal(self) -> int: ...


class AuditSealer:
    """A duty of the event pump's leader; a key that is away is a pause, and the next turn tries again."""

    name = "audit-sealer"

    def __init__(self, sealing: Sealing, *, seconds: float) -> None:
        self._sealing = sealing
        self._seconds = seconds

    async def run_once(self) -> int:
        """Seal one batch; how many records."""
        try:
            return await self._sealing.seal()
        except SecretMissing:
            log.error("sealing_without_key")
            return 0

    async def wait(self, seconds: float) -> None:
        """Nothing wakes it: what is not sealed yet is safe, only not yet proven."""
        await asyncio.sleep(max(seconds, self._seconds))
