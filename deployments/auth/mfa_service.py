"""Setting a second factor up, and doing without it again; every step audited."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from config.account_settings import Role
from deployments.auth.credentials import Credentials, insist_on_account
from deployments.auth.second_factor import SecondFactor, otpauth_uri
from deployments.auth.trail import AccountTrail
from deployments.edge.context import request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Conflict, FieldError, Invalid
from domain.mail import MailKind
from stores.accounts import Account
from stores.mail.queue import MailQueue
from stores.postgres import Postgres
from stores.refresh_tokens import Sessions


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an authenticator application is given."""

    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)


class MfaService:
    """`required`: roles that may not be without a second factor."""

    def __init__(
        self,
        db: Postgres,
        *,
        credentials: Credentials,
        factor: SecondFactor,
        trail: AccountTrail,
        required: Collection[Role],
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._factor = factor
        self._trail = trail
        self._required = frozenset[str](required)

    async def propose(self, caller: Caller, password: str) -> Proposal:
        """A secret that counts once its first code was shown. Raises `Invalid`, `TooMany`, `Conflict` (enrolled)."""
        user = UUID(caller.user_id)
        confirmed = await self._credentials.confirm(user, password, session=caller.session_id)
        async with self._db.transaction() as connection:
            account = await insist_on_account(connection, caller, confirmed)
            secret = await self._factor.propose(connection, user)
        if secret is None:
            raise Conflict("A second factor is set up already. Disable it first.", code="mfa.enrolled")
        return Proposal(secret, otpauth_uri(secret, account.email))

    async def confirm(self, caller: Caller, code: str) -> Sequence[str]:
        """Begin with the first code: the recovery codes. Ends what the session was restricted to, and all others."""
        user = UUID(caller.user_id)
        await self._credentials.admit_session(user, caller.session_id)
        async with self._db.transaction() as connection:
            await insist_on_account(connection, caller)
            codes = await self._factor.begin(connection, user, code)
            if codes is None:
                raise _wrong_code()
            if caller.session_id:
                await Sessions(connection).lift(UUID(caller.session_id))
            await _end_others(connection, caller, "mfa_enabled")
            await self._record(connection, AuditEvent.MFA_ENABLED, caller)
            await MailQueue.add(connection, user, MailKind.MFA_ENABLED, request_id=request_id())
        return codes

    async def renew_codes(self, caller: Caller, password: str, otp: str) -> Sequence[str]:
        """Other recovery codes. Raises `Invalid`, `TooMany`, `Conflict` (no second factor)."""
        confirmed = await self._reauthenticated(caller, password, otp)
        async with self._db.transaction() as connection:
            await self._insist_on_enrolled(connection, caller, confirmed)
            codes = await self._factor.renew_codes(connection, confirmed.id)
            await self._record(connection, AuditEvent.RECOVERY_CODES_MADE, caller)
        return codes

    async def disable(self, caller: Caller, password: str, otp: str) -> None:
        """No second factor any more; ends all other sessions. Raises `Conflict` also where the role needs one."""
        if caller.role in self._required:
            raise Conflict("Your role needs a second factor.", code="mfa.required")
        confirmed = await self._reauthenticated(caller, password, otp)
        async with self._db.transaction() as connection:
            await self._insist_on_enrolled(connection, caller, confirmed)
            await self._factor.remove(connection, confirmed.id)
            await _end_others(connection, caller, "mfa_disabled")
            await self._record(connection, AuditEvent.MFA_DISABLED, caller)
            await MailQueue.add(connection, confirmed.id, MailKind.MFA_DISABLED, request_id=request_id())

    async def _reauthenticated(self, caller: Caller, password: str, otp: str) -> Account:
        return await self._credentials.confirm(UUID(caller.user_id), password, otp, session=caller.session_id)

    async def _insist_on_enrolled(
        self, connection: asyncpg.Connection, caller: Caller, confirmed: Account
    ) -> None:
        await insist_on_account(connection, caller, confirmed)
        if not await self._factor.enrolled(connection, confirmed.id):
            raise Conflict("There is no second factor.", code="mfa.not_enrolled")

    async def _record(self, connection: asyncpg.Connection, event: AuditEvent, caller: Caller) -> None:
        await self._trail.record(
            connection, event, user=UUID(caller.user_id), role=caller.role, session=caller.session_id
        )


async def _end_others(connection: asyncpg.Connection, caller: Caller, reason: str) -> None:
    """Somebody else's login, made before the change, must not outlive it."""
    kept = UUID(caller.session_id) if caller.session_id else None
    await Sessions(connection).end_others(UUID(caller.user_id), kept, reason)


def _wrong_code() -> Invalid:
    error = FieldError("otp", "wrong", "This is not the code of now; each code works once.")
    return Invalid("The code is wrong.", code="auth.wrong_otp", errors=(error,))
