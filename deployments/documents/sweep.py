"""Removes blobs that no document speaks of: leftovers of uploads and stages that were cut off in an unlucky moment."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from domain.errors import MedsearchError
from domain.lifecycle import Status
from stores.blobs import STALE_SECONDS, DiskBlobs
from stores.documents import Document, DocumentStore

LOCK = 7_305_128_403
FIRST_SECONDS = 60.0
EVERY_SECONDS = 6 * 3600.0
BATCH = 500

log = structlog.get_logger(__name__)


class OrphanSweep:
    """One sweep at a time over all replicas; blobs of work that may still be under way stay."""

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
            except MedsearchError as error:
                log.warning("orphan_sweep_failed", reason=error.code)

    async def run_once(self) -> int:
        """How many blobs were removed; 0 while another replica sweeps."""
        async with self._store.db.connection() as connection:  # outside a transaction: a sweep may take long
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return 0
            try:
                return await self._swept()
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)

    async def _swept(self) -> int:
        incoming = await self._blobs.keys("incoming", older_than_seconds=self._age)
        removed = sum([await self._blobs.delete(key) for key in incoming])
        for folder in ("originals", "artefacts"):
            names = [name for name in await self._blobs.names(folder) if _is_id(name)]
            for at in range(0, len(names), BATCH):
                removed += await self._sweep(folder, names[at : at + BATCH])
        return removed

    async def _sweep(self, folder: str, names: list[str]) -> int:
        known = await self._store.find_all([UUID(name) for name in names])
        removed = 0
        for name in names:
            document = known.get(UUID(name))
            for key in await self._blobs.keys(f"{folder}/{name}", older_than_seconds=self._age):
                if _orphaned(key, document):
                    removed += await self._remove(UUID(name), key)
        return removed

    async def _remove(self, document_id: UUID, key: str) -> int:
        """Under the document's lock, so that it cannot begin to speak of the blob meanwhile."""
        async with self._store.transaction() as connection:
            document = await self._store.locked(connection, document_id)
            return await self._blobs.delete(key) if _orphaned(key, document) else 0


def _orphaned(key: str, document: Document | None) -> bool:
    """Whether `document`, to which the blob would belong, does not and will not speak of it."""
    if document is None or document.state.status is Status.DELETED:
        return True
    if document.state.status is Status.DELETING:
        return False  # its deletion takes everything
    folder, _, version, *_ = key.split("/")
    if folder == "originals":
        return int(version) > document.version
    if int(version) != document.version:
        return True
    return document.state.status.terminal and key not in document.artefacts.values()


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
