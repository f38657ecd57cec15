"""The published view of the document service: what other services may know of a document."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from domain.access import Sensitivity
from domain.documents import DocumentState
from stores.postgres import Postgres


class PostgresDocumentDirectory:
    """`stores.ports.DocumentDirectory` over `api.document_state`, read as the role `document-reader`."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def state(self, document_id: UUID) -> DocumentState | None:
        return (await self.states([document_id])).get(document_id)

    async def states(self, document_ids: Sequence[UUID]) -> dict[UUID, DocumentState]:
        """The states of those that exist, by id; deleted ones among them."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM api.document_state WHERE document_id = ANY ($1::uuid[])", list(document_ids)
            )
        return {row["document_id"]: _state(row) for row in rows}


def _state(row: asyncpg.Record) -> DocumentState:
    return DocumentState(
        document_id=row["document_id"],
        version=row["version"],
        revision=row["revision"],
        deleted=row["deleted"],
        filename=row["filename"],
        title=row["title"],
        document_type=row["document_type"],
        document_date=row["document_date"],
        patient=row["patient"],
        department=row["department"],
        owner_id=row["owner_id"],
        sensitivity=Sensitivity(row["sensitivity"]),
        access_list=frozenset(row["access"]),
    )
