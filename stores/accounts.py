"""Accounts in `auth_db`: who somebody is, with which role, in which departments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.errors import Conflict
from domain.ids import new_id
from domain.passwords import own_words

COLUMNS = """
    id, kind, email, username, password_hash, first_name, last_name, role, requested_role, status, specialty,
    institution, email_verified_at, token_version, created_at, requested_at
"""
EDITABLE = (
    "username",
    "username_key",
    "first_name",
    "last_name",
    "specialty",
    "institution",
)
LOCK = 7_305_128_410
"""Advisory lock of those who change roles and states."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account. `role` is the approved one, `requested_role` what waits for approval."""

    id: UUID
    kind: str
    email: str
    username: str
    password_hash: str | None = field(repr=False)
    first_name: str
    last_name: str
    role: str
    requested_role: str | None
    status: str
    specialty: str | None
    institution: str | None
    email_verified_at: datetime | None
    token_version: int
    created_at: datetime
    requested_at: datetime | None = None

    @property
    def active(self) -> bool:
        return self.status == "active"

    @property
    def own_words(self) -> tuple[str, ...]:
        """What its password may not contain."""
        return own_words(self.username, self.email, self.first_name, self.last_name)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account begins with. The keys are normal forms: two accounts never share one."""

    email: str
    email_key: str
    username: str
    username_key: str
    password_hash: str | None = field(repr=False)
    first_name: str
    last_name: str
    role: str
    requested_role: str | None = None
    specialty: str | None = None
    institution: str | None = None
    verified: bool = False
    kind: str = "person"
    id: UUID = field(default_factory=new_id)


class Accounts:
    """The statements on accounts, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, new: NewAccount) -> bool:
        """False when the address or the name is taken; nothing is changed then."""
        added = await self._connection.fetchval(
            """
            INSERT INTO account (
                id, kind, email, email_key, username, username_key, password_hash, first_name, last_name,
                role, requested_role, specialty, institution, email_verified_at, password_changed_at,
                requested_at
            )
            VALUES (
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $14 THEN now() END, now(),
                CASE WHEN $11::text IS NOT NULL THEN now() END
            )
            ON CONFLICT DO NOTHING RETURNING id
            """,
            new.id, new.kind, new.email, new.email_key, new.username, new.username_key, new.password_hash,
            new.first_name, new.last_name, new.role, new.requested_role, new.specialty, new.institution,
            new.verified,
        )  # fmt: skip
        return added is not None

    async def by_email(self, email_key: str) -> Account | None:
        return await self._one("email_key = $1", email_key)

    async def by_username(self, username_key: str) -> Account | None:
        return await self._one("username_key = $1", username_key)

    async def by_id(self, account_id: UUID, *, lock: bool = False) -> Account | None:
        """With `lock` until the end of the transaction."""
        return await self._one("id = $1" + (" FOR UPDATE" if lock else ""), account_id)

    async def departments(self, account_id: UUID) -> list[str]:
        """Sorted names."""
        rows = await self._connection.fetch(
            "SELECT department FROM account_department WHERE account_id = $1 ORDER BY department", account_id
        )
        return [row["department"] for row in rows]

    async def set_departments(self, account_id: UUID, departments: Sequence[str]) -> None:
        """These and no others."""
        await self._connection.execute(
            "DELETE FROM account_department WHERE account_id = $1 AND department <> ALL ($2::text[])",
            account_id,
            list(departments),
        )
        await self.join_departments(account_id, departments)

    async def join_departments(self, account_id: UUID, departments: Sequence[str]) -> None:
        await self._connection.executemany(
            "INSERT INTO account_department (account_id, department) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(account_id, department) for department in departments],
        )

    async def update(self, account_id: UUID, changes: Mapping[str, str | None]) -> None:
        """Set columns of `EDITABLE`; raises `Conflict` when the user name is taken."""
        names = [name for name in EDITABLE if name in changes]
        assignments = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, 2))
        try:
            await self._connection.execute(
                f"UPDATE account SET {assignments}, updated_at = now() WHERE id = $1",  # noqa: S608 - names of ours
                account_id,
                *(changes[name] for name in names),
            )
        except asyncpg.UniqueViolationError:
            raise Conflict("This name cannot be used; choose another.", code="account.taken") from None

    async def set_password(self, account_id: UUID, password_hash: str) -> None:
        await self._connection.execute(
            """
            UPDATE account SET password_hash = $2, password_changed_at = now(), updated_at = now()
            WHERE id = $1
            """,
            account_id,
            password_hash,
        )

    async def upgrade_hash(self, account_id: UUID, old: str, new: str) -> None:
        """Another hash of the same password; nothing happens when the password was changed meanwhile."""
        await self._connection.execute(
            "UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2", account_id, old, new
        )

    async def set_role(self, account_id: UUID, role: str) -> None:
        """Give a role; every access token issued before is refused from now on."""
        await self._connection.execute(
            """
            UPDATE account SET role = $2, requested_role = NULL, requested_at = NULL,
                               token_version = token_version + 1, updated_at = now() WHERE id = $1
            """,
            account_id,
            role,
        )

    async def drop_request(self, account_id: UUID) -> None:
        """The role asked for is not given; the present one stays."""
        await self._connection.execute(
            """
            UPDATE account SET requested_role = NULL, requested_at = NULL, updated_at = now() WHERE id = $1
            """,
            account_id,
        )

    async def one_administration_at_a_time(self) -> None:
        """Wait for whoever else changes roles or states, until both transactions have ended.

        So that of two administrators who remove one another one stays.
        """
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)

    async def other_administrators(self, account_id: UUID) -> int:
        """How many active administrators there are besides this account."""
        count: int = await self._connection.fetchval(
            """
            SELECT count(*) FROM account
            WHERE role = 'admin' AND status = 'active' AND kind = 'person' AND id <> $1
            """,
            account_id,
        )
        return count

    async def active_in_role(self, role: str) -> list[UUID]:
        """Persons who act in the role now."""
        rows = await self._connection.fetch(
            "SELECT id FROM account WHERE role = $1 AND status = 'active' AND kind = 'person' ORDER BY id",
            role,
        )
        return [row["id"] for row in rows]

    async def set_status(self, account_id: UUID, status: str) -> None:
        """active, suspended or closed; only an active account's sessions are active."""
        await self._connection.execute(
            "UPDATE account SET status = $2, updated_at = now() WHERE id = $1", account_id, status
        )

    async def set_own_record(self, account_id: UUID, patient: str, set_by: UUID | None) -> None:
        """The patient whose own record this account may see (`self:`); set by staff only."""
        await self._connection.execute(
            """
            INSERT INTO own_record (account_id, patient, set_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
            """,
            account_id,
            patient,
            set_by,
        )

    async def remove_own_records(self, account_id: UUID) -> list[str]:
        """The patients that were set; there are none from now on."""
        rows = await self._connection.fetch(
            "DELETE FROM own_record WHERE account_id = $1 RETURNING patient", account_id
        )
        return [row["patient"] for row in rows]

    async def _one(self, condition: str, value: Any) -> Account | None:
        row = await self._connection.fetchrow(
            f"SELECT {COLUMNS} FROM account WHERE {condition}",  # noqa: S608 - conditions of ours
            value,
        )
        return None if row is None else Account(**row)
