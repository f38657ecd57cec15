"""Proving an address and setting a forgotten password, by links in mails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deployments.auth import address_change
from deployments.auth.credentials import Credentials
from deployments.auth.identifiers import email_key
from deployments.auth.mail_limits import MailCause, MailLimits
from deployments.auth.trail import AccountTrail
from deployments.edge.context import address, request_id
from domain.audit import AuditEvent
from domain.errors import BadLink
from domain.mail import LinkPurpose, MailKind
from stores.accounts import Account, Accounts
from stores.addresses import AccountAddresses, Addresses
from stores.api_keys import ApiKeys
from stores.email_tokens import EmailTokens
from stores.mail.queue import MailQueue
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions

VERIFY, RESET = LinkPurpose.VERIFY_EMAIL, LinkPurpose.RESET_PASSWORD


class RecoveryService:
    """`unlock` starts the login window of an address anew. Asking for a link tells nobody who has an account."""

    def __init__(
        self,
        db: Postgres,
        *,
        credentials: Credentials,
        trail: AccountTrail,
        limits: MailLimits,
        unlock: Callable[[str], Awaitable[None]],
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._trail = trail
        self._limits = limits
        self._unlock = unlock

    async def resend_verification(self, email: str) -> None:
        """Mail another link, if the address waits for one. Raises `TooMany` for the sender's network address."""
        key = email_key(email)
        await self._limits.admit(address())
        allowed = await self._limits.take(key, MailCause.VERIFICATION)
        async with self._db.transaction() as connection:
            account = await Accounts(connection).by_email(key)
            waits = _reachable(account) and account is not None and account.email_verified_at is None
            if allowed:
                to = account.id if account and waits else None
                await MailQueue.add(connection, to, MailKind.VERIFY, request_id=request_id())
            await self._asked(
                connection, AuditEvent.VERIFICATION_REQUESTED, email, account, allowed=allowed, mailed=waits
            )

    async def forgot_password(self, email: str) -> None:
        """Mail a link to set a password, if the address has an account. Raises `TooMany` as above."""
        key = email_key(email)
        await self._limits.admit(address())
        allowed = await self._limits.take(key, MailCause.RESET)
        async with self._db.transaction() as connection:
            account = await Accounts(connection).by_email(key)
            known = account if _reachable(account) else None
            if allowed:
                to = known.id if known else None
                await MailQueue.add(connection, to, MailKind.RESET, request_id=request_id())
            await self._asked(
                connection,
                AuditEvent.RESET_REQUESTED,
                email,
                account,
                allowed=allowed,
                mailed=known is not None,
            )

    async def verify_email(self, token: str) -> None:
        """The address that the link went to is proven, or in force from now on. Raises `BadLink`."""
        user: UUID | None = None
        try:
            async with self._db.transaction() as connection:
                known = await _used(connection, token, VERIFY)
                user = known.account.id
                if known.address_key == known.account.email_key:
                    await self._proven(connection, user)
                else:
                    await self._moved(connection, known.account, known.address_key)
        except BadLink:
            await self._refused(AuditEvent.EMAIL_VERIFIED, user)
            raise

    async def reset_password(self, token: str, new: str) -> None:
        """Set the password, end every session and API key; the link works once. Raises `BadLink`, `Invalid`."""
        user: UUID | None = None
        try:
            async with self._db.connection() as connection:
                link = await EmailTokens(connection).look(token, RESET)
                account = await Accounts(connection).by_id(link.account_id) if link else None
            if account is None:
                raise bad_link()
            user = account.id
            hashed = await self._credentials.hash_new("new_password", new, own=account.own_words)
            async with self._db.transaction() as connection:
                known = await _used(connection, token, RESET)
                if known.address_key != known.account.email_key:
                    raise bad_link()
                await self._set(connection, user, hashed)
        except BadLink:
            await self._refused(AuditEvent.PASSWORD_RESET, user)
            raise
        await self._unlock(known.account.email_key)

    async def _asked(
        self,
        connection: asyncpg.Connection,
        event: AuditEvent,
        email: str,
        account: Account | None,
        *,
        allowed: bool,
        mailed: bool,
    ) -> None:
        """Somebody unknown asked for a link; the same work whether or not there is an account."""
        await self._trail.record(
            connection,
            event,
            action="E",
            outcome="success" if allowed and mailed else "failure",
            about=account.id if account else None,
            reason=None if allowed else "mail.limit",
            names={"identifier": email},
        )

    async def _proven(self, connection: asyncpg.Connection, user: UUID) -> None:
        await Addresses(connection).verify(user)
        await self._trail.record(connection, AuditEvent.EMAIL_VERIFIED, user=user)

    async def _moved(self, connection: asyncpg.Connection, known: AccountAddresses, key: str) -> None:
        if key != known.pending_email_key or not await address_change.carry_out(connection, known):
            raise bad_link()
        names = {"email": known.pending_email or "", "former_email": known.email}
        await self._trail.record(connection, AuditEvent.EMAIL_CHANGED, user=known.id, names=names)

    async def _set(self, connection: asyncpg.Connection, user: UUID, hashed: str) -> None:
        """The password, all that hangs on the former one, and a mail to the owner."""
        await Accounts(connection).set_password(user, hashed)
        await Sessions(connection).end_others(user, None, "password_reset")
        for prefix in await ApiKeys(connection).revoke_all(user):
            await self._trail.record(
                connection, AuditEvent.API_KEY_REVOKED, action="D", user=user, reason=prefix
            )
        addresses = Addresses(connection)
        await addresses.verify(user)
        await addresses.wish(user, None, None)  # wished for by whoever knew the former password
        await MailQueue.add(connection, user, MailKind.PASSWORD_CHANGED, request_id=request_id())
        await self._trail.record(connection, AuditEvent.PASSWORD_RESET, user=user)

    async def _refused(self, event: AuditEvent, user: UUID | None) -> None:
        async with self._db.transaction() as connection:
            await self._trail.record(connection, event, outcome="failure", about=user, reason=BadLink.code)


@dataclass(frozen=True, slots=True)
class _Used:
    """A link that was good, whose account is held until the end of the transaction."""

    account: AccountAddresses
    address_key: str


async def _used(connection: asyncpg.Connection, token: str, purpose: LinkPurpose) -> _Used:
    """Use the link up, if the transaction commits; raises `BadLink`. The account's row is taken first, as everywhere."""
    tokens = EmailTokens(connection)
    link = await tokens.look(token, purpose)
    account = await Addresses(connection).locked(link.account_id) if link else None
    used = await tokens.use(token, purpose) if account else None
    if account is None or used is None:
        raise bad_link()
    return _Used(account, used.address_key)


def _reachable(account: Account | None) -> bool:
    """Whether links are mailed to it."""
    return account is not None and account.active and account.kind == "person"


def bad_link() -> BadLink:
    return BadLink("This link was used, has ended, or was replaced by a newer one. Ask for another.")
