"""Removes blobs that no document speaks of: leftovers of uploads that were cut off in an unlucky moment."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import structlog

from domain.errors import MedsearchError
from stores.blobs import STALE_SECONDS, DiskBlobs
from stores.documents import DocumentStore

LOCK = 7_305_128_403
FIRST_SECONDS = 60.0
EVERY_SECONDS = 6 * 3600.0
BATCH = 500

log = structlog.get_logger(__name__)


class OrphanSweep:
    """One sweep at a time over all replicas; blobs of uploads that may still be under way stay."""

    def __init__(
        self, store: DocumentStore, blobs: DiskBlobs, *, older_than_seconds: float = STALE_SECONDS
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._age = older_than_seconds

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        wait = FIRST_SECONDS
        while True:
            await asyncio.sleep(wait)
            wait = EVERY_SECONDS
            try:
                removed = await self.run_once()
                log.info("orphans_removed", blobs=removed)
            except (MedsearchError, OSError) as error:
                log.warning("orphan_sweep_failed", reason=type(error).__name__)

    async def run_once(self) -> int:
        """How many blobs were removed; 0 while another replica sweeps."""
        async with self._store.transaction() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return 0
            incoming = await self._blobs.keys("incoming", older_than_seconds=self._age)
            removed = sum([await self._blobs.delete(key) for key in incoming])
            originals = await self._blobs.keys("originals", older_than_seconds=self._age)
            for at in range(0, len(originals), BATCH):
                for key in await self._orphans(originals[at : at + BATCH]):
                    removed += await self._remove(connection, key)
        return removed

    async def _orphans(self, keys: list[str]) -> list[str]:
        wanted = {_place(key): key for key in keys}
        known = await self._store.versions_among(list(wanted))
        return [key for place, key in wanted.items() if place not in known]

    async def _remove(self, connection: asyncpg.Connection, key: str) -> int:
        """Under the document's lock, so that no version of that number can come in meanwhile."""
        document_id, version = _place(key)
        document = await self._store.locked(connection, document_id)
        if document is not None and not document.deleted and version <= document.version:
            return 0
        return await self._blobs.delete(key)


def _place(key: str) -> tuple[UUID, int]:
    _, document_id, version = key.split("/")
    return UUID(document_id), int(version)
