"""Does this person know the password, and may the new one be it? Every guess goes through the throttle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

import asyncpg

from config.account_settings import PasswordSettings
from deployments.auth.decoys import Decoys
from deployments.auth.hashing import PasswordHasher, Verification
from deployments.auth.second_factor import Factor, SecondFactor
from deployments.auth.throttle import Attempt, LoginThrottle, Throttled
from deployments.auth.trail import AccountTrail
from deployments.edge.context import address, request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import FieldError, Invalid, Unauthenticated
from domain.mail import MailKind
from domain.passwords import refusal
from stores.accounts import Account, Accounts
from stores.mail.queue import MailQueue
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions

ENDED = "The session has ended. Log in again."


class Unasked(Enum):
    """In place of a code: the call does not ask for a second factor."""

    UNASKED = "unasked"


class Credentials:
    """Checks and makes password hashes. An address that an owner logged in from is theirs for `known_address`."""

    def __init__(
        self,
        db: Postgres,
        *,
        rules: PasswordSettings,
        hasher: PasswordHasher,
        decoys: Decoys,
        throttle: LoginThrottle,
        trail: AccountTrail,
        factor: SecondFactor,
        known_address: timedelta,
    ) -> None:
        self._factor = factor
        self._db = db
        self._rules = rules
        self._hasher = hasher
        self._decoys = decoys
        self._throttle = throttle
        self._trail = trail
        self._known_address = known_address

    async def admit(self, key: str, submitted: str) -> Attempt:
        """Count an attempt at the account of address `key`, until it is excused or succeeds, as a wrong one.

        Raises `TooMany`; a window's first refusal is audited.
        """

        async def known() -> bool:
            async with self._db.connection() as connection:
                since = datetime.now(UTC) - self._known_address
                return await Sessions(connection).known_address(key, address(), since)

        try:
            return await self._throttle.admit(key, address(), known)
        except Throttled as refusal:
            await self._locked_out(refusal, names={"identifier": submitted})
            raise

    async def decoy(self, connection: asyncpg.Connection, key: str) -> str:
        """What a password for address `key` is compared with if it has no account."""
        return await self._decoys.of(connection, key)

    async def check(self, account: Account | None, password: str, decoy: str | None = None) -> Verification:
        """Compare, after `admit`. The work is the same without an account that one may log in to."""
        checked = await self._hasher.verify(password, account.password_hash if account else None, decoy)
        if account is None or not checked.right or not account.active or account.kind != "person":
            return Verification(False)
        return checked

    async def excuse(self, attempt: Attempt) -> None:
        """Nothing that was shown at a login was wrong, or nobody looked at it."""
        await self._throttle.excuse(attempt)

    async def succeeded(self, attempt: Attempt, key: str) -> None:
        """Everything asked for at a login was right."""
        await self._throttle.succeeded(attempt, key, address())

    async def admit_session(self, user: UUID, session: str | None) -> None:
        """Count a password or code asked for again in a session; raises `TooMany`."""
        try:
            await self._throttle.admit_session(session or str(user))
        except Throttled as refusal:
            await self._locked_out(refusal, about=user)
            raise

    async def confirm(
        self,
        user: UUID,
        password: str | None,
        otp: str | Unasked | None = Unasked.UNASKED,
        *,
        session: str | None = None,
    ) -> Account:
        """The account, if whoever is logged in to it knows its password; else `Invalid`, `TooMany`.

        The transaction of what is done with that begins with `insist_on_account`.
        Where `otp` is given, if only as None, an account with a second factor must show it too. Counts by `session`:
        guessing from outside does not keep the owner from changing the password.
        """
        async with self._db.connection() as connection:
            account = await Accounts(connection).by_id(user)
        if account is None:
            raise Unauthenticated(ENDED)
        await self.admit_session(user, session)
        if not (await self.check(account, password or "")).right:
            await self._throttle.failed(address())
            error = FieldError(
                "current_password", "wrong", "The current password is needed, and must be right."
            )
            raise Invalid("The current password is wrong.", code="auth.wrong_password", errors=(error,))
        if not isinstance(otp, Unasked):
            await self._confirm_factor(account, otp)
        await self._throttle.confirmed(session or str(user))
        return account

    async def _confirm_factor(self, account: Account, otp: str | None) -> None:
        async with self._db.transaction() as connection:
            if not await self._factor.enrolled(connection, account.id):
                return
            if otp is None:
                missing = FieldError("otp", "missing", "The account has a second factor: give its code.")
                raise Invalid("A code is needed.", code="auth.otp_required", errors=(missing,))
            if found := await self._factor.accept(connection, account.id, otp):
                await self.record_factor(connection, account, found)
                return
        await self._throttle.failed(address())
        wrong = FieldError("otp", "wrong", "This is not the code of now; each code works once.")
        raise Invalid("The code is wrong.", code="auth.wrong_otp", errors=(wrong,))

    async def record_factor(self, connection: asyncpg.Connection, account: Account, factor: Factor) -> None:
        """A recovery code that was used is audited, and its owner is told."""
        if factor is Factor.RECOVERY_CODE:
            await self._trail.record(
                connection, AuditEvent.RECOVERY_CODE_USED, user=account.id, role=account.role
            )
            await MailQueue.add(connection, account.id, MailKind.RECOVERY_CODE_USED, request_id=request_id())

    async def _locked_out(
        self, refusal: Throttled, *, about: UUID | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        if not refusal.first:
            return
        async with self._db.transaction() as connection:
            await self._trail.record(
                connection,
                AuditEvent.LOCKOUT,
                action="E",
                outcome="denied",
                about=about,
                reason=refusal.code,
                names=names,
            )

    async def hash_new(self, field: str, password: str, *, own: Iterable[str]) -> str:
        """The hash of a new password; raises `Invalid` naming `field` when it may not be used.

        `own`: the person's own words (`domain.passwords.own_words`).
        """
        error = refusal(
            field,
            password,
            own=own,
            shortest=self._rules.min_length,
            longest=self._rules.max_length,
        )
        if error:
            raise Invalid(error.message, code="auth.password_refused", errors=(error,))
        return await self._hasher.hash(password)


async def insist_on_account(
    connection: asyncpg.Connection, caller: Caller, confirmed: Account | None = None
) -> Account:
    """The caller's account, its row held until the end of the transaction, if all that let the caller in still counts.

    `confirmed`: the account as its password was compared. Raises `Unauthenticated` where the account, its role, the
    session or that password was changed since: a request that was on its way does not undo what its owner or an
    administrator has done meanwhile.
    """
    account = await Accounts(connection).by_id(UUID(caller.user_id), lock=True)
    if account is None or not account.active or account.role != caller.role:
        raise Unauthenticated(ENDED)
    if confirmed and account.password_hash != confirmed.password_hash:
        raise Unauthenticated(ENDED)
    if caller.session_id and not await Sessions(connection).goes_on(UUID(caller.session_id)):
        raise Unauthenticated(ENDED)
    return account
