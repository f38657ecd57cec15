"""Accounts as administrators see them, read from `auth_db` in one statement a page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from stores.accounts import COLUMNS, Account

SEEN = f"""
    SELECT {COLUMNS},
           ARRAY(SELECT d.department FROM account_department d WHERE d.account_id = a.id ORDER BY 1)
               AS departments,
           (SELECT o.patient FROM own_record o WHERE o.account_id = a.id ORDER BY o.set_at DESC LIMIT 1)
               AS own_record,
           (SELECT max(s.created_at) FROM session s WHERE s.account_id = a.id) AS last_login_at,
           EXISTS (SELECT 1 FROM totp t WHERE t.account_id = a.id AND t.confirmed_at IS NOT NULL)
               AS mfa_enabled
    FROM account a
"""  # noqa: S608 - names of ours
BESIDES = ("departments", "own_record", "last_login_at", "mfa_enabled")


@dataclass(frozen=True, slots=True)
class SeenAccount:
    """An account with what hangs on it. `own_record` is the patient number of the person, if set: PHI."""

    account: Account
    departments: tuple[str, ...]
    own_record: str | None
    last_login_at: datetime | None
    mfa_enabled: bool


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """Conditions that must all hold; None is no condition.

    `requested`: asks for that role, or `any`; `text` is part of a name, user name or address; `within`: only
    members of these departments.
    """

    status: str | None = None
    role: str | None = None
    requested: str | None = None
    department: str | None = None
    text: str | None = None
    within: Collection[str] | None = None

    def said(self) -> dict[str, str]:
        """What somebody asked for, by the names of the request."""
        asked = {
            "status": self.status,
            "role": self.role,
            "requested": self.requested,
            "department": self.department,
            "q": self.text,
        }
        return {name: value for name, value in asked.items() if value is not None}


class AccountLists:
    """Reads persons' accounts; those of services are not administered."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def one(self, account_id: UUID) -> SeenAccount | None:
        row = await self._connection.fetchrow(f"{SEEN} WHERE a.id = $1 AND a.kind = 'person'", account_id)
        return _seen(row) if row else None

    async def page(self, filters: AccountFilters, *, after: UUID | None, limit: int) -> list[SeenAccount]:
        """Newest first, behind `after`."""
        rows = await self._connection.fetch(
            f"""
            {SEEN} WHERE a.kind = 'person'
              AND ($1::text IS NULL OR a.status = $1)
              AND ($2::text IS NULL OR a.role = $2)
              AND ($3::text IS NULL OR a.requested_role = $3
                   OR ($3 = 'any' AND a.requested_role IS NOT NULL))
              AND ($4::text IS NULL OR EXISTS (
                  SELECT 1 FROM account_department d WHERE d.account_id = a.id AND d.department = $4))
              AND ($5::text IS NULL OR strpos(
                  lower(concat_ws(' ', a.first_name, a.last_name, a.username, a.email)), lower($5)) > 0)
              AND ($6::text[] IS NULL OR EXISTS (
                  SELECT 1 FROM account_department d WHERE d.account_id = a.id AND d.department = ANY ($6)))
              AND ($7::uuid IS NULL OR a.id < $7)
            ORDER BY a.id DESC LIMIT $8
            """,  # noqa: S608 - names of ours
            filters.status,
            filters.role,
            filters.requested,
            filters.department,
            filters.text,
            None if filters.within is None else sorted(filters.within),
            after,
            limit,
        )
        return [_seen(row) for row in rows]


def _seen(row: asyncpg.Record) -> SeenAccount:
    values = dict(row)
    besides = {name: values.pop(name) for name in BESIDES}
    return SeenAccount(
        Account(**values),
        tuple(besides["departments"]),
        besides["own_record"],
        besides["last_login_at"],
        besides["mfa_enabled"],
    )
