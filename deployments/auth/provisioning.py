"""Accounts made by the platform itself: demo accounts, the bulk identity, the first administrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.hashing import PasswordHasher
from deployments.auth.identifiers import email_address, folded
from deployments.auth.trail import AccountTrail
from domain.audit import AuditEvent
from domain.events import EventType
from stores.accounts import Account, Accounts, NewAccount
from stores.audit import PostgresAudit
from stores.ports import AuditLog
from stores.postgres import Postgres


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """Whom somebody acts for."""

    id: UUID
    username: str
    role: str
    status: str
    departments: tuple[str, ...]


class Provisioning:
    """Works on `auth_db` directly, for the launcher and the command line; every account made is audited."""

    def __init__(self, db: Postgres, hasher: PasswordHasher, audit: AuditLog) -> None:
        self._db = db
        self._hasher = hasher
        self._audit = audit
        self._trail = AccountTrail(audit)

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> Provisioning:
        return cls(
            Postgres.of(settings, secrets, "auth"),
            PasswordHasher(settings.auth),
            PostgresAudit.of(settings, secrets),
        )

    async def create_account(
        self,
        *,
        email: str,
        username: str,
        password: str | None,
        first_name: str,
        last_name: str,
        role: str,
        departments: Sequence[str] = (),
        kind: str = "person",
    ) -> UUID:
        """An active, verified account with an approved role; one with that user name is left as it is.

        Without a password, and for kind `service`, nobody can log in to it. Raises `ValueError` when the
        address belongs to another account.
        """
        mail = email_address(email)
        hashed = await self._hasher.hash(password) if password else None
        new = NewAccount(
            email=mail.stored,
            email_key=mail.key,
            username=username,
            username_key=folded(username),
            password_hash=hashed,
            first_name=first_name,
            last_name=last_name,
            role=role,
            verified=True,
            kind=kind,
        )
        async with self._db.transaction() as connection:
            accounts = Accounts(connection)
            if await accounts.add(new):
                await accounts.join_departments(new.id, departments)
                data = {"outcome": "success"}
                await self._trail.event(connection, EventType.USER_REGISTERED, new.id, data)
                await self._trail.record(
                    connection, AuditEvent.ACCOUNT_CREATED, action="C", about=new.id, reason="provisioned"
                )
                return new.id
            existing = await accounts.by_username(new.username_key)
        if existing is None:
            raise ValueError(f"the address of '{username}' belongs to another account")
        return existing.id

    async def find_account(self, username: str) -> FoundAccount | None:
        async with self._db.connection() as connection:
            accounts = Accounts(connection)
            account: Account | None = await accounts.by_username(folded(username))
            if account is None:
                return None
            departments = await accounts.departments(account.id)
        return FoundAccount(account.id, account.username, account.role, account.status, tuple(departments))

    async def close(self) -> None:
        self._hasher.close()
        await self._db.close()
        await self._audit.close()
