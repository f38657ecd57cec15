"""Accounts made by the platform itself: demo accounts, the bulk identity, the first administrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from config.account_settings import PasswordSettings
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.hashing import PasswordHasher
from deployments.auth.identifiers import email_address, folded
from deployments.auth.trail import AccountTrail
from domain.audit import AuditEvent
from domain.errors import Invalid
from domain.events import EventType
from domain.passwords import own_words, refusal
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

    def __init__(
        self, db: Postgres, hasher: PasswordHasher, audit: AuditLog, rules: PasswordSettings
    ) -> None:
        self._db = db
        self._rules = rules
        self._hasher = hasher
        self._audit = audit
        self._trail = AccountTrail(audit)

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> Provisioning:
        return cls(
            Postgres.of(settings, secrets, "auth"),
            PasswordHasher(settings.auth),
            PostgresAudit.of(settings, secrets),
            settings.auth.password,
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
        by: str = "system",
    ) -> UUID:
        """An active, verified account with an approved role; one with that user name is left as it is.

        Without a password, and for kind `service`, nobody can log in to it. `by` is recorded as the actor. Raises
        `Invalid` for a password that may not be used, `ValueError` when the address belongs to another account.
        """
        mail = email_address(email)
        own = own_words(username, mail.stored, first_name, last_name)
        hashed = await self._hashed(password, own) if password is not None else None
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
                    connection,
                    AuditEvent.ACCOUNT_CREATED,
                    action="C",
                    about=new.id,
                    reason="provisioned",
                    names={"role": role, "username": username},
                    platform=by,
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

    async def _hashed(self, password: str, own: Sequence[str]) -> str:
        rules = self._rules
        error = refusal("password", password, own=own, shortest=rules.min_length, longest=rules.max_length)
        if error:
            raise Invalid(error.message, code="auth.password_refused", errors=(error,))
        return await self._hasher.hash(password)

    async def close(self) -> None:
        self._hasher.close()
        await self._db.close()
        await self._audit.close()
