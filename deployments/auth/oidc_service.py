"""Logins through a provider: there, back, and once the proof that the account is one's own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from deployments.auth.logins import LoginService
from deployments.auth.oidc_provider import Person, Provider, refused
from deployments.auth.second_factor import SecondFactor
from deployments.auth.session_start import SessionStarter
from deployments.auth.tokens import TokenPair
from deployments.auth.trail import AccountTrail
from deployments.edge.context import request_id
from domain.audit import AuditEvent
from domain.errors import Conflict, Forbidden, MedsearchError, NotFound, Unauthenticated
from domain.mail import MailKind
from stores.accounts import Account, Accounts
from stores.mail.queue import MailQueue
from stores.oidc_identities import OidcIdentities
from stores.oidc_states import Arrival, Journey, OidcStates
from stores.postgres import Postgres

COOKIE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and the cookie it is known by when it comes back."""

    url: str = field(repr=False)
    cookie: str = field(repr=False)


class OidcService:
    """An account is linked by a verified address of the provider and a login of ours; then the provider suffices.

    Where the account has a second factor and the provider saw none, our own login is asked for each time.
    """

    def __init__(
        self,
        db: Postgres,
        *,
        providers: Mapping[str, Provider],
        states: OidcStates,
        logins: LoginService,
        starter: SessionStarter,
        factor: SecondFactor,
        trail: AccountTrail,
    ) -> None:
        self._db = db
        self._providers = providers
        self._states = states
        self._logins = logins
        self._starter = starter
        self._factor = factor
        self._trail = trail

    async def start(self, name: str | None) -> Departure:
        """Send a browser away. Raises `NotFound` for a provider that is not set, `Unavailable`."""
        provider = self._provider(name)
        cookie, state = secrets.token_urlsafe(COOKIE_BYTES), secrets.token_urlsafe(COOKIE_BYTES)
        journey = Journey(
            provider.name, _digest(cookie), secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        )
        url = await provider.authorization_url(state, journey)
        await self._states.depart(state, journey)
        return Departure(url, cookie)

    async def back(
        self, *, cookie: str | None, state: str, code: str | None, issuer: str | None
    ) -> TokenPair:
        """The session of who came back.

        Raises `Unauthenticated` (not this browser, not in time, refused there), `Forbidden` (address not verified),
        `Conflict` (`auth.oidc_link_required`: prove the account first).
        """
        try:
            provider, person = await self._arrived(cookie, state, code, issuer)
            pair = await self._known(person)
        except (Unauthenticated, Forbidden) as error:
            await self._failed(error)
            raise
        if pair:
            return pair
        if person.email is None:
            unverified = Forbidden(
                "The provider has not verified your e-mail address.", code="auth.oidc_email_unverified"
            )
            await self._failed(unverified)
            raise unverified
        arrival = Arrival(provider.name, person.issuer, person.subject, person.email)
        await self._states.hold(str(cookie), arrival)
        raise Conflict(
            "Log in once with your password, so that this login belongs to your account.",
            code="auth.oidc_link_required",
        )

    async def link(self, cookie: str | None, password: str, otp: str | None) -> TokenPair:
        """Prove the account that has the provider's address: a login as any, that also links.

        Raises what logins raise, and `Unauthenticated` when nobody arrived in this browser.
        """
        arrival = await self._states.held(cookie) if cookie else None
        if not cookie or arrival is None:
            raise refused()

        async def link(connection: asyncpg.Connection, account: Account) -> None:
            await self._link(connection, account, arrival)

        pair = await self._logins.login(arrival.email, password, otp, method="oidc", before=link)
        await self._states.release(cookie)
        return pair

    def _provider(self, name: str | None) -> Provider:
        if name is None and len(self._providers) == 1:
            return next(iter(self._providers.values()))
        found = self._providers.get(name or "")
        if found is None:
            raise NotFound("There is no such login provider.")
        return found

    async def _arrived(
        self, cookie: str | None, state: str, code: str | None, issuer: str | None
    ) -> tuple[Provider, Person]:
        journey = await self._states.arrive(state)
        if journey is None or not cookie or not hmac.compare_digest(journey.browser, _digest(cookie)):
            raise refused()
        provider = self._provider(journey.provider)
        if code is None or issuer not in (None, provider.issuer):
            raise refused()
        return provider, await provider.person(code, journey)

    async def _known(self, person: Person) -> TokenPair | None:
        """A session for the account that the person is linked to; None when it is still to be proven."""
        async with self._db.transaction() as connection:
            account_id = await OidcIdentities(connection).account(person.issuer, person.subject)
            if account_id is None:
                return None
            account = await Accounts(connection).by_id(account_id, lock=True)
            if account is None or not account.active or account.kind != "person":
                raise refused()
            if account.email_verified_at is None:
                raise Forbidden("Confirm your e-mail address first.", code="auth.email_not_verified")
            if not person.mfa and await self._factor.enrolled(connection, account.id):
                return None
            return await self._starter.begin(connection, account, method="oidc", mfa=person.mfa)

    async def _link(self, connection: asyncpg.Connection, account: Account, arrival: Arrival) -> None:
        identities = OidcIdentities(connection)
        before = await identities.account(arrival.issuer, arrival.subject)
        if not await identities.link(arrival.issuer, arrival.subject, account.id):
            raise refused()
        if before is None:
            await self._record_link(connection, account.id, account.role, arrival.provider)

    async def _record_link(
        self, connection: asyncpg.Connection, account_id: UUID, role: str, provider: str
    ) -> None:
        await self._trail.record(
            connection, AuditEvent.OIDC_LINKED, user=account_id, role=role, reason=provider
        )
        await MailQueue.add(connection, account_id, MailKind.OIDC_LINKED, request_id=request_id())

    async def _failed(self, error: MedsearchError) -> None:
        async with self._db.transaction() as connection:
            await self._trail.record(
                connection, AuditEvent.LOGIN, action="E", outcome="failure", reason=error.code
            )


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
