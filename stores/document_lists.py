"""Pages of documents that a caller may see, filtered and sorted in `document_db`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.documents import DocumentType
from domain.errors import Gone
from domain.lifecycle import Status
from stores.documents import Document, read
from stores.postgres import Postgres


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    TITLE = "title"


_KEYS = {
    Order.NEWEST: ("created_at, id", "<", "created_at DESC, id DESC"),
    Order.OLDEST: ("created_at, id", ">", "created_at, id"),
    Order.TITLE: ("lower(title), id", ">", "lower(title), id"),
}
"""Order -> columns, what comes behind, ORDER BY."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which documents a caller may see: one of the principals opens it, or the caller uploaded it."""

    principals: frozenset[str]
    uploaded_by: UUID | None = None
    """Set for those who may follow what they uploaded for others."""


@dataclass(frozen=True, slots=True)
class ListFilters:
    """Conditions that must all hold; within a list one is enough, an empty list is no condition."""

    status: Sequence[Status] = ()
    document_type: Sequence[DocumentType] = ()
    department: Sequence[str] = ()
    patient: str | None = None
    owner_id: UUID | None = None


class DocumentLists:
    """Reads pages."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def page(
        self, reach: Reach, filters: ListFilters, *, order: Order, after: UUID | None, limit: int
    ) -> list[Document]:
        """At most `limit` documents behind the document `after`; raises `Gone` when that one is deleted."""
        columns, behind, order_by = _KEYS[order]
        conditions = _Conditions()
        conditions.reach(reach)
        conditions.filters(filters)
        async with self._db.connection() as connection:
            if after is not None:
                if not await connection.fetchval(
                    "SELECT true FROM document WHERE id = $1 AND status NOT IN ('deleting', 'deleted')", after
                ):
                    raise Gone("The list has changed. Start again without the cursor.", code="cursor.gone")
                place = f"SELECT {columns} FROM document WHERE id = {{}}"  # noqa: S608 - names are ours
                conditions.add(f"({columns}) {behind} ({place})", after)
            rows = await connection.fetch(
                f"SELECT * FROM document WHERE {conditions} ORDER BY {order_by} LIMIT {int(limit)}",  # noqa: S608 - ours
                *conditions.arguments,
            )
        return [read(row) for row in rows]


class _Conditions:
    """A WHERE clause that grows; every value is a parameter."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []
        self._parts = ["status NOT IN ('deleting', 'deleted')"]

    def __str__(self) -> str:
        return " AND ".join(self._parts)

    def add(self, condition: str, *values: Any) -> None:
        """`{}` in the condition stands for the next value."""
        places = []
        for value in values:
            self.arguments.append(value)
            places.append(f"${len(self.arguments)}")
        self._parts.append(condition.format(*places))

    def reach(self, reach: Reach) -> None:
        if reach.uploaded_by is None:
            self.add("readers && {}::text[]", sorted(reach.principals))
        else:
            self.add(
                "(readers && {}::text[] OR uploaded_by = {})", sorted(reach.principals), reach.uploaded_by
            )

    def filters(self, filters: ListFilters) -> None:
        for name in ("status", "document_type", "department"):
            wanted = [str(value) for value in getattr(filters, name)]
            if wanted:
                self.add(f"{name} = ANY ({{}}::text[])", wanted)
        for name in ("patient", "owner_id"):
            value = getattr(filters, name)
            if value is not None:
                self.add(f"{name} = {{}}", value)
