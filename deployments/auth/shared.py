"""What the parts of the authentication application share, and what a part is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import APIRouter

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.credentials import Credentials
from deployments.auth.decoys import Decoys
from deployments.auth.hashing import PasswordHasher
from deployments.auth.mail_limits import MailLimits
from deployments.auth.second_factor import SecondFactor
from deployments.auth.session_start import SessionStarter
from deployments.auth.throttle import LoginThrottle
from deployments.auth.tokens import TokenIssuer
from deployments.auth.trail import AccountTrail
from deployments.edge.cursors import KEY
from deployments.edge.environment import Edge
from stores.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Shared:
    """Built once a replica. `db` is `auth_db`; keys, audit and limits are the edge's."""

    settings: Settings
    secrets: SecretStore
    edge: Edge
    db: Postgres
    hasher: PasswordHasher
    trail: AccountTrail
    throttle: LoginThrottle
    mail_limits: MailLimits
    credentials: Credentials
    starter: SessionStarter
    factor: SecondFactor
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What parts have opened, to be closed with the application."""

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore, edge: Edge) -> Shared:
        db = Postgres.of(settings, secrets, "auth")
        hasher = PasswordHasher(settings.auth)
        trail = AccountTrail(edge.audit)
        throttle = LoginThrottle(edge.limiter, secrets, settings.auth.login)
        mail_limits = MailLimits(edge.limiter, secrets, settings.auth.login)
        factor = SecondFactor(edge.keys)
        credentials = Credentials(
            db,
            rules=settings.auth.password,
            hasher=hasher,
            decoys=Decoys(secrets.ensure(KEY).get_secret_value(), hasher.usual),
            throttle=throttle,
            trail=trail,
            factor=factor,
            known_address=timedelta(days=settings.auth.login.known_address_days),
        )
        starter = SessionStarter(
            TokenIssuer(edge.keys, settings),
            trail,
            session_seconds=settings.auth.session_seconds,
            mfa_roles=settings.auth.mfa_required_roles,
        )
        return cls(
            settings, secrets, edge, db, hasher, trail, throttle, mail_limits, credentials, starter, factor
        )

    async def close(self) -> None:
        self.hasher.close()
        for close in self.closing:
            await close()
        await self.db.close()


@dataclass(frozen=True, slots=True)
class Part:
    """A router and the services that its handlers find in `request.app.state`, by name."""

    router: APIRouter
    services: Callable[[Shared], Mapping[str, object]]
