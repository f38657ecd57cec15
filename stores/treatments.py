"""Treatment relations in `auth_db`: who treats which patient, from when until when (`treating:`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.ids import new_id

COLUMNS = "t.id, t.account_id, t.patient, t.starts_at, t.ends_at, t.set_by"


@dataclass(frozen=True, slots=True)
class Treatment:
    """One relation; it counts from `starts_at` until `ends_at`. `set_by` None: the platform."""

    id: UUID
    account_id: UUID
    patient: str
    starts_at: datetime
    ends_at: datetime
    set_by: UUID | None


@dataclass(frozen=True, slots=True)
class TreatmentFilters:
    """Conditions that must all hold; None is no condition. `departments`: of the account."""

    account_id: UUID | None = None
    patient: str | None = None
    current: bool | None = None
    departments: Collection[str] | None = None

    def said(self) -> dict[str, str]:
        """What somebody asked for, by the names of the request."""
        asked = {"account_id": self.account_id, "patient": self.patient, "current": self.current}
        return {name: str(value) for name, value in asked.items() if value is not None}


class Treatments:
    """The statements on treatment relations, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(
        self, account_id: UUID, patient: str, ends_at: datetime, set_by: UUID | None = None
    ) -> Treatment:
        """A relation from now until `ends_at`, which lies ahead."""
        row = await self._connection.fetchrow(
            f"""
            INSERT INTO treatment_relation AS t (id, account_id, patient, ends_at, set_by)
            VALUES ($1, $2, $3, $4, $5) RETURNING {COLUMNS}
            """,  # noqa: S608 - names of ours
            new_id(),
            account_id,
            patient,
            ends_at,
            set_by,
        )
        assert row is not None  # noqa: S101 - an INSERT always has its row
        return Treatment(**row)

    async def find(self, relation_id: UUID) -> Treatment | None:
        """The relation, which nobody else can change until the transaction ends."""
        row = await self._connection.fetchrow(
            f"SELECT {COLUMNS} FROM treatment_relation t WHERE id = $1 FOR UPDATE",  # noqa: S608 - names of ours
            relation_id,
        )
        return Treatment(**row) if row else None

    async def end(self, relation_id: UUID) -> Treatment | None:
        """End it now; None when it had ended before."""
        row = await self._connection.fetchrow(
            f"""
            UPDATE treatment_relation t SET ends_at = clock_timestamp()
            WHERE id = $1 AND ends_at > clock_timestamp() RETURNING {COLUMNS}
            """,  # noqa: S608 - names of ours
            relation_id,
        )
        return Treatment(**row) if row else None

    async def page(self, filters: TreatmentFilters, *, after: UUID | None, limit: int) -> list[Treatment]:
        """Newest first, behind `after`."""
        rows = await self._connection.fetch(
            f"""
            SELECT {COLUMNS} FROM treatment_relation t
            WHERE ($1::uuid IS NULL OR account_id = $1)
              AND ($2::text IS NULL OR patient = $2)
              AND ($3::boolean IS NULL OR (ends_at > now()) = $3)
              AND ($4::text[] IS NULL OR EXISTS (
                  SELECT 1 FROM account_department d
                  WHERE d.account_id = t.account_id AND d.department = ANY ($4)))
              AND ($5::uuid IS NULL OR id < $5)
            ORDER BY id DESC LIMIT $6
            """,  # noqa: S608 - names of ours
            filters.account_id,
            filters.patient,
            filters.current,
            None if filters.departments is None else sorted(filters.departments),
            after,
            limit,
        )
        return [Treatment(**row) for row in rows]
