"""What a bulk load asks of `document_db`: where many documents stand, and whether one is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.access import Access
from domain.lifecycle import Status
from stores.documents import scope
from stores.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Standing:
    """A document's status, and the code of why it failed."""

    status: Status
    reason_code: str | None


class BulkReader:
    """Questions about many documents at once; shows nothing of what they are about."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def standings(self, document_ids: Sequence[UUID]) -> dict[UUID, Standing]:
        """Of those that exist."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, status, reason_code FROM document WHERE id = ANY ($1::uuid[])", list(document_ids)
            )
        return {row["id"]: Standing(Status(row["status"]), row["reason_code"]) for row in rows}

    async def known(self, owner_id: UUID, patient: str | None, sha256: str, access: Access) -> UUID | None:
        """The live document that an upload of these bytes would find in its way."""
        async with self._db.connection() as connection:
            found: UUID | None = await connection.fetchval(
                """
                SELECT id FROM document
                WHERE owner_id = $1 AND patient IS NOT DISTINCT FROM $2 AND sha256 = $3 AND upload_scope = $4
                AND status NOT IN ('deleting', 'deleted')
                """,
                *(owner_id, patient, sha256, scope(access)),
            )
        return found
