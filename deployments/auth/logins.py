"""Sessions from login to logout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from config.account_settings import Role
from deployments.auth.credentials import Credentials
from deployments.auth.hashing import Verification
from deployments.auth.identifiers import email_key
from deployments.auth.second_factor import SecondFactor
from deployments.auth.session_start import Method, SessionStarter
from deployments.auth.tokens import TokenIssuer, TokenPair
from deployments.auth.trail import AccountTrail
from deployments.edge.context import arrived_at, request_id
from domain.access import Caller
from domain.audit import AuditEvent
from domain.errors import Forbidden, MedsearchError, Unauthenticated
from domain.events import EventType
from domain.mail import MailKind
from stores.accounts import Account, Accounts
from stores.mail.queue import MailQueue
from stores.ports import SessionActivity
from stores.postgres import Postgres
from stores.refresh_tokens import Rotated, Session, Sessions, Used, fresh_token

Before = Callable[[asyncpg.Connection, Account], Awaitable[None]]

OVERLAP_SECONDS = 0.3
"""How long the answer to a refresh is held back.

Who shows a rotated token before its rotation was answered raced with the rightful owner (parallel tabs) and
is only refused; who shows it later has a copy, and the family ends.
"""

ROUNDS = 2
"""Another look when the account changed while its password was compared (another login renewed an old hash)."""

WRONG = "auth.invalid_credentials"
WRONG_MESSAGE = "The e-mail address or the password is wrong."
OTP_REQUIRED = "auth.otp_required"
UNVERIFIED = "auth.email_not_verified"


class FactorRefused(Unauthenticated):
    """The code is missing (`auth.otp_required`), or wrong: answered as a wrong password is."""

    def __init__(self, *, missing: bool) -> None:
        super().__init__(
            "Give a code of your second factor." if missing else WRONG_MESSAGE,
            code=OTP_REQUIRED if missing else WRONG,
        )
        self.reason = OTP_REQUIRED if missing else "auth.wrong_otp"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was shown at a login was looked at, and does not do. `wrong`: not what the account's owner knows."""

    error: MedsearchError
    account: Account | None
    reason: str
    wrong: bool


class LoginService:
    """`idle_seconds`: after how long without a request a session ends, by role."""

    def __init__(
        self,
        db: Postgres,
        *,
        credentials: Credentials,
        factor: SecondFactor,
        starter: SessionStarter,
        issuer: TokenIssuer,
        trail: AccountTrail,
        activity: SessionActivity,
        idle_seconds: Mapping[Role, int],
        overlap_seconds: float = OVERLAP_SECONDS,
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._issuer = issuer
        self._trail = trail
        self._factor = factor
        self._starter = starter
        self._activity = activity
        self._idle = {str(role): seconds for role, seconds in idle_seconds.items()}
        self._overlap = timedelta(seconds=overlap_seconds)

    async def login(
        self,
        email: str,
        password: str,
        otp: str | None = None,
        *,
        method: Method = "password",
        before: Before | None = None,
    ) -> TokenPair:
        """A new session. `otp`: a code of the second factor, or a recovery code.

        `before` is done in the session's transaction once everything was right; what it raises ends the login.

        Raises `Unauthenticated` for every reason (`auth.otp_required` only after the right password), `TooMany`,
        `Forbidden` (unverified).
        """
        key = email_key(email)
        attempt = await self._credentials.admit(key, email)
        found: TokenPair | Refusal | None = None
        try:
            found = await self._attempted(key, password, otp, method, before)
        finally:  # shielded: whoever hangs up, or is timed out, leaves nothing counted that was not wrong
            if isinstance(found, TokenPair):
                await asyncio.shield(self._credentials.succeeded(attempt, key))
            elif found is None or not found.wrong:
                await asyncio.shield(self._credentials.excuse(attempt))
        if isinstance(found, Refusal):
            await self._refused(found, email)
            raise found.error
        return found

    async def _attempted(
        self, key: str, password: str, otp: str | None, method: Method, before: Before | None
    ) -> TokenPair | Refusal:
        """As `login`, admitted; nothing is written down of a refusal."""
        for _ in range(ROUNDS):
            async with self._db.connection() as connection:
                account = await Accounts(connection).by_email(key)
                decoy = await self._credentials.decoy(connection, key)
            checked = await self._credentials.check(account, password, decoy)
            if account is None or not checked.right:
                break
            if account.email_verified_at is None:
                unverified = Forbidden("Confirm your e-mail address first.", code=UNVERIFIED)
                return Refusal(unverified, account, UNVERIFIED, wrong=False)
            try:
                pair = await self._entered(account, checked, otp, method, before)
            except FactorRefused as refusal:
                return Refusal(refusal, account, refusal.reason, wrong=refusal.code == WRONG)
            if pair:
                return pair
        return Refusal(Unauthenticated(WRONG_MESSAGE, code=WRONG), account, WRONG, wrong=True)

    async def refresh(self, token: str) -> TokenPair:
        """The next pair for a refresh token; one shown again ends its family. Raises `Unauthenticated`."""
        successor = fresh_token()
        async with self._db.transaction() as connection:
            found = await Sessions(connection).rotate(token, successor, now=datetime.now(UTC))
            renewed = await self._renewed(connection, found)
        if renewed is None:
            raise Unauthenticated("The session has ended. Log in again.", code="auth.invalid_refresh_token")
        await asyncio.sleep(self._overlap.total_seconds())
        return self._issuer.issue(*renewed, successor)

    async def logout(self, caller: Caller, token: str | None = None) -> None:
        """End the caller's session, and that of `token` when it is the caller's too."""
        user = UUID(caller.user_id)
        async with self._db.transaction() as connection:
            sessions = Sessions(connection)
            ending = {UUID(caller.session_id)} if caller.session_id else set()
            other = await sessions.of_token(token) if token else None
            if other and other.account_id == user:
                ending.add(other.id)
            for session_id in sorted(ending):
                if await sessions.end(session_id, "logout"):
                    await self._trail.event(connection, EventType.USER_LOGOUT, user, {"outcome": "success"})
                    await self._trail.record(
                        connection,
                        AuditEvent.LOGOUT,
                        action="E",
                        user=user,
                        role=caller.role,
                        session=session_id,
                    )

    async def _entered(
        self,
        account: Account,
        checked: Verification,
        otp: str | None,
        method: Method,
        before: Before | None,
    ) -> TokenPair | None:
        """A session, unless account or password were changed since the password was looked at."""
        async with self._db.transaction() as connection:
            accounts = Accounts(connection)
            current = await accounts.by_id(account.id, lock=True)
            if current is None or not current.active or current.password_hash != account.password_hash:
                return None
            mfa = await self._factor_shown(connection, current, otp)
            if checked.upgraded and current.password_hash:
                await accounts.upgrade_hash(current.id, current.password_hash, checked.upgraded)
            if before:
                await before(connection, current)
            return await self._starter.begin(connection, current, method=method, mfa=mfa)

    async def _factor_shown(self, connection: asyncpg.Connection, account: Account, otp: str | None) -> bool:
        """Whether a second factor was shown; raises `FactorRefused` where the account has one and it was not."""
        if not await self._factor.enrolled(connection, account.id):
            return False
        found = await self._factor.accept(connection, account.id, otp) if otp else None
        if found is None:
            raise FactorRefused(missing=not otp)
        await self._credentials.record_factor(connection, account, found)
        return True

    async def _refused(self, refusal: Refusal, submitted: str) -> None:
        async with self._db.transaction() as connection:
            await self._trail.record(
                connection,
                AuditEvent.LOGIN,
                action="E",
                outcome="failure",
                about=refusal.account.id if refusal.account else None,
                reason=refusal.reason,
                names={"identifier": submitted},
            )

    async def _renewed(
        self, connection: asyncpg.Connection, found: Rotated | Used | None
    ) -> tuple[Account, Session] | None:
        """Write down what became of a refresh token; whose and which session when it goes on."""
        if isinstance(found, Used):
            if found.rotated_at and arrived_at() > found.rotated_at + self._overlap:
                await self._stolen(connection, found.session)
            return None
        if found is None or not (account := await Accounts(connection).by_id(found.session.account_id)):
            return None
        session = found.session
        if not await self._activity.use(
            session.id, issued_at=found.issued_at, idle_seconds=self._idle[account.role]
        ):
            await self._over(connection, account, session, "idle")
            return None
        ends = min(session.expires_at, found.created_at + self._starter.life(account.role))
        if ends <= datetime.now(UTC):  # the role has changed to one whose sessions are shorter
            await self._over(connection, account, session, "expired")
            return None
        await self._trail.record(
            connection, AuditEvent.REFRESH, action="E", user=account.id, session=session.id
        )
        return account, replace(session, expires_at=ends)

    async def _over(
        self, connection: asyncpg.Connection, account: Account, session: Session, reason: str
    ) -> None:
        await Sessions(connection).end(session.id, reason)
        await self._trail.record(
            connection,
            AuditEvent.SESSION_ENDED,
            action="E",
            about=account.id,
            session=session.id,
            reason=reason,
        )

    async def _stolen(self, connection: asyncpg.Connection, session: Session) -> None:
        if await Sessions(connection).end(session.id, "refresh_token_reused"):
            await self._trail.record(
                connection,
                AuditEvent.REFRESH_REUSED,
                action="E",
                outcome="denied",
                about=session.account_id,
                session=session.id,
                reason="refresh_token_reused",
            )
            await MailQueue.add(
                connection, session.account_id, MailKind.REFRESH_REUSE, request_id=request_id()
            )
