"""Builds the authentication application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.credentials import Credentials
from deployments.auth.hashing import PasswordHasher
from deployments.auth.logins import LoginService
from deployments.auth.routes import router
from deployments.auth.service import AccountService
from deployments.auth.signing import open_signing_key
from deployments.auth.throttle import LoginLimits, LoginThrottle
from deployments.auth.tokens import TokenIssuer
from deployments.auth.trail import AccountTrail
from deployments.edge.application import create_app
from deployments.edge.environment import Edge, open_edge
from stores.postgres import Postgres


def build_app(
    settings: Settings,
    secrets: SecretStore,
    *,
    edge: Edge | None = None,
    login_limits: LoginLimits = LoginLimits(),  # noqa: B008 - frozen
) -> FastAPI:
    """The application of `/api/v1/auth` and `/api/v1/users`; makes the signing key when there is none."""
    edge = edge or open_edge(settings, secrets)
    db = Postgres.of(settings, secrets, "auth")
    hasher = PasswordHasher(settings.auth)
    trail = AccountTrail(edge.audit)
    credentials = Credentials(
        db,
        rules=settings.auth.password,
        hasher=hasher,
        throttle=LoginThrottle(edge.limiter, secrets, login_limits),
        trail=trail,
    )
    accounts = AccountService(
        db, credentials=credentials, trail=trail, verified=not settings.email_verification
    )
    logins = LoginService(
        db,
        credentials=credentials,
        issuer=TokenIssuer(open_signing_key(settings, secrets), settings.auth),
        trail=trail,
        session_seconds=settings.auth.refresh_token_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            hasher.close()
            await db.close()

    state = {"accounts": accounts, "logins": logins}
    return create_app(edge, title="Accounts", routers=[router], state=state, lifespan=lifespan)
