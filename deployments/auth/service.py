"""What people do with their accounts, as one transaction each. Tested without HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from deployments.auth import address_change
from deployments.auth.credentials import ENDED, Credentials, insist_on_account
from deployments.auth.identifiers import email_address, folded
from deployments.auth.mail_limits import MailCause, MailLimits
from deployments.auth.trail import AccountTrail
from deployments.edge.context import address, request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict, TooMany, Unauthenticated
from domain.events import EventType
from domain.mail import MailKind
from domain.passwords import own_words
from stores.accounts import Account, Accounts, NewAccount
from stores.addresses import Addresses
from stores.mail.queue import MailQueue
from stores.ports import RateLimiter
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions
from stores.totp import SecondFactors

NAME_CHANGES = 5
NAME_WINDOW_SECONDS = 900
"""How often an account may try another user name: whether one is free is nobody's to ask in bulk."""


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
    pending_email: str | None
    mfa_enabled: bool


class AccountService:
    """`verified`: whether addresses count as verified without mail (the local profile)."""

    def __init__(
        self,
        db: Postgres,
        *,
        credentials: Credentials,
        trail: AccountTrail,
        limits: MailLimits,
        limiter: RateLimiter,
        verified: bool,
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._trail = trail
        self._limits = limits
        self._limiter = limiter
        self._verified = verified

    async def register(self, wish: Registration) -> None:
        """Make an account that is active as a patient; the role asked for waits for approval.

        Whether the address or the name was free is said in a mail alone, to that address. Raises `Invalid`, and
        `TooMany` for the sender's network address.
        """
        await self._limits.admit(address())
        new = await self._new_account(wish)
        may_mail = await self._limits.take(new.email_key, MailCause.REGISTRATION)
        async with self._db.transaction() as connection:
            added = await Accounts(connection).add(new)
            if added:
                data = {"outcome": "success", "requested_role": new.requested_role}
                await self._trail.event(connection, EventType.USER_REGISTERED, new.id, data)
            if may_mail:
                await self._answer(connection, new, added=added)
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
        """Change what is given. Another address needs the password, and waits for its mailed link.

        Raises `Invalid`, `Conflict` (the user name is taken; recorded), `TooMany`.
        """
        user = UUID(caller.user_id)
        email = changes.get("email")
        new = email_address(email) if email else None
        confirmed = None
        if new:
            confirmed = await self._credentials.confirm(user, current_password, session=caller.session_id)
            await self._limits.insist(new.key, MailCause.ADDRESS_CHANGE)
        try:
            async with self._db.transaction() as connection:
                before = await insist_on_account(connection, caller, confirmed)
                changed = await self._change(connection, before, _columns(changes))
                if new and await address_change.wish(connection, user, new):
                    changed.append("pending_email")
                await self._record_update(connection, caller, reason=",".join(sorted(changed)))
                return await _profile(connection, user)
        except Conflict as taken:
            names = {"username": changes.get("username") or ""}
            async with self._db.transaction() as connection:
                await self._record_update(
                    connection, caller, outcome="failure", reason=taken.code, names=names
                )
            raise

    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """Set another password, end every other session, and mail the owner. Raises `Invalid`, `TooMany`."""
        user = UUID(caller.user_id)
        confirmed = await self._credentials.confirm(user, current, session=caller.session_id)
        hashed = await self._credentials.hash_new("new_password", new, own=confirmed.own_words)
        async with self._db.transaction() as connection:
            await insist_on_account(connection, caller, confirmed)
            await Accounts(connection).set_password(user, hashed)
            kept = UUID(caller.session_id) if caller.session_id else None
            await Sessions(connection).end_others(user, kept, "password_changed")
            await Addresses(connection).wish(
                user, None, None
            )  # wished for by whoever knew the former password
            await MailQueue.add(connection, user, MailKind.PASSWORD_CHANGED, request_id=request_id())
            await self._trail.record(
                connection,
                AuditEvent.PASSWORD_CHANGED,
                user=user,
                role=caller.role,
                session=caller.session_id,
            )

    async def _change(
        self, connection: asyncpg.Connection, before: Account, columns: Mapping[str, str | None]
    ) -> list[str]:
        """Which of the columns were changed. Raises `Conflict`, and `TooMany` for the user name."""
        named = columns.keys() - {"username_key"}
        changed = [name for name in named if columns[name] != getattr(before, name)]
        if "username" in changed:
            await self._admit_name(before.id)
        if changed:
            await Accounts(connection).update(before.id, columns)
        return changed

    async def _admit_name(self, user: UUID) -> None:
        allowance = await self._limiter.take(
            f"account:name:{user}", limit=NAME_CHANGES, seconds=NAME_WINDOW_SECONDS
        )
        if not allowance.allowed:
            wait = max(1, math.ceil(allowance.reset_seconds))
            raise TooMany(f"Too many changes of the name. Try again in {wait} s.", retry_after=wait)

    async def _record_update(
        self,
        connection: asyncpg.Connection,
        caller: Caller,
        *,
        reason: str,
        outcome: str = "success",
        names: Mapping[str, str] | None = None,
    ) -> None:
        await self._trail.record(
            connection,
            AuditEvent.ACCOUNT_UPDATED,
            outcome=outcome,
            user=UUID(caller.user_id),
            role=caller.role,
            session=caller.session_id,
            reason=reason,
            names=names,
        )

    async def _answer(self, connection: asyncpg.Connection, new: NewAccount, *, added: bool) -> None:
        """Tell the address what became of the registration: one mail, whatever that is.

        A second registration of an unproven address gets no link that proves it: the first may have been a
        stranger's, whose password would count then. A reset does both.
        """
        owner = await Accounts(connection).by_email(new.email_key)
        if added:
            kind = MailKind.WELCOME if self._verified else MailKind.VERIFY
        else:
            kind = MailKind.ALREADY_REGISTERED if owner else MailKind.NAME_TAKEN
        account, to = (owner.id, None) if owner else (None, new.email)
        await MailQueue.add(connection, account, kind, address=to, request_id=request_id())

    async def _new_account(self, wish: Registration) -> NewAccount:
        mail = email_address(wish.email)
        own = own_words(wish.username, mail.stored, wish.first_name, wish.last_name)
        hashed = await self._credentials.hash_new("password", wish.password, own=own)
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
        raise Unauthenticated(ENDED)
    factor = await SecondFactors(connection).find(user)
    departments = tuple(await accounts.departments(user))
    pending = await Addresses(connection).pending(user)
    return Profile(account, departments, pending, factor is not None and factor.confirmed)


def _columns(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """The changes as columns, but for the address: the user name with its unique key."""
    columns = {name: value for name, value in changes.items() if name != "email"}
    if username := columns.get("username"):
        columns["username_key"] = folded(username)
    return columns
