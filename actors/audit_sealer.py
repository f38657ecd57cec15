"""Seals the audit trail: a duty of the leader of the event pump, turn by turn."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from config.secrets import SecretMissing
from domain.errors import MedsearchError

log = structlog.get_logger(__name__)


class Sealing(Protocol):
    """Adds records to the chain (`stores.audit_sealing.AuditSealing`)."""

    batch: int

    async def seal(self) -> int: ...


class AuditSealer:
    """`run` works until it is cancelled; a store or a key that is away is a pause, and the next turn tries again."""

    def __init__(self, sealing: Sealing, *, seconds: float) -> None:
        self._sealing = sealing
        self._seconds = seconds

    async def run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(self._seconds)

    async def turn(self) -> int:
        """Seal what there is, batch by batch; how many records."""
        sealed = 0
        try:
            while True:
                moved = await self._sealing.seal()
                sealed += moved
                if moved < self._sealing.batch:
                    return sealed
        except MedsearchError as error:
            log.warning("sealing_paused", reason=error.code)
        except SecretMissing:
            log.error("sealing_without_key")
        return sealed
