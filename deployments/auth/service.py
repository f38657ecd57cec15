"""What people do with their accounts, as one transaction each. Tested without HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from deployments.auth.credentials import Credentials
from deployments.auth.identifiers import email_address, folded
from deployments.auth.trail import AccountTrail
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Unauthenticated
from domain.events import EventType
from stores.accounts import Account, Accounts, NewAccount
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody asks for who wants an account. `role` is the role asked for."""

    email: str
    username: str
    password: str = field(repr=False)
    first_name: str
    last_name: str
    role: str
    specialty: str | None = None
    institution: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """An account as its owner sees it."""

    account: Account
    departments: tuple[str, ...]


class AccountService:
    """`verified`: whether addresses count as verified without mail (the local profile)."""

    def __init__(
        self, db: Postgres, *, credentials: Credentials, trail: AccountTrail, verified: bool
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._trail = trail
        self._verified = verified

    async def register(self, wish: Registration) -> None:
        """Make an account that is active as a patient; the role asked for waits for approval.

        Says nothing about whether the address or the name was free. Raises `Invalid`.
        """
        new = await self._new_account(wish)
        async with self._db.transaction() as connection:
            added = await Accounts(connection).add(new)
            if added:
                data = {"outcome": "success", "requested_role": new.requested_role}
                await self._trail.event(connection, EventType.USER_REGISTERED, new.id, data)
            await self._trail.record(
                connection,
                AuditEvent.REGISTERED,
                action="C",
                outcome="success" if added else "failure",
                user=new.id if added else None,
                reason=None if added else "account.taken",
                names={"email": new.email, "username": new.username},
            )

    async def profile(self, caller: Caller) -> Profile:
        async with self._db.connection() as connection:
            return await _profile(connection, UUID(caller.user_id))

    async def update_profile(
        self, caller: Caller, changes: Mapping[str, str | None], current_password: str | None
    ) -> Profile:
        """Change what is given; an address with the password. Raises `Invalid`, `Conflict`, `TooMany`."""
        user = UUID(caller.user_id)
        columns = _columns(changes)
        if "email" in columns:
            await self._credentials.confirm(user, current_password, session=caller.session_id)
        async with self._db.transaction() as connection:
            before = (await _profile(connection, user)).account
            changed = sorted(name for name in changes if columns[name] != getattr(before, name))
            if changed:
                await Accounts(connection).update(user, columns)
            if "email" in changed and not self._verified:
                await Accounts(connection).unverify(user)
            await self._trail.record(
                connection,
                AuditEvent.ACCOUNT_UPDATED,
                user=user,
                role=caller.role,
                session=caller.session_id,
                reason=",".join(changed),
            )
            return await _profile(connection, user)

    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """Set another password and end every other session. Raises `Invalid`, `TooMany`."""
        user = UUID(caller.user_id)
        account = await self._credentials.confirm(user, current, session=caller.session_id)
        hashed = await self._credentials.hash_new(
            "new_password", new, username=account.username, email=folded(account.email)
        )
        async with self._db.transaction() as connection:
            await Accounts(connection).set_password(user, hashed)
            kept = UUID(caller.session_id) if caller.session_id else None
            await Sessions(connection).end_others(user, kept, "password_changed")
            await self._trail.record(
                connection,
                AuditEvent.PASSWORD_CHANGED,
                user=user,
                role=caller.role,
                session=caller.session_id,
            )

    async def _new_account(self, wish: Registration) -> NewAccount:
        mail = email_address(wish.email)
        hashed = await self._credentials.hash_new(
            "password", wish.password, username=wish.username, email=mail.key
        )
        return NewAccount(
            email=mail.stored,
            email_key=mail.key,
            username=wish.username,
            username_key=folded(wish.username),
            password_hash=hashed,
            first_name=wish.first_name,
            last_name=wish.last_name,
            role="patient",
            requested_role=None if wish.role == "patient" else wish.role,
            specialty=wish.specialty,
            institution=wish.institution,
            verified=self._verified,
        )


async def _profile(connection: asyncpg.Connection, user: UUID) -> Profile:
    accounts = Accounts(connection)
    account = await accounts.by_id(user)
    if account is None:
        raise Unauthenticated("The session has ended. Log in again.")
    return Profile(account, tuple(await accounts.departments(user)))


def _columns(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """The changes as columns: addresses and names with their unique keys."""
    columns = dict(changes)
    if username := columns.get("username"):
        columns["username_key"] = folded(username)
    if email := columns.get("email"):
        mail = email_address(email)
        columns |= {"email": mail.stored, "email_key": mail.key}
    return columns
