"""The part with accounts and logins."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.auth.logins import LoginService
from deployments.auth.routes import router
from deployments.auth.service import AccountService
from deployments.auth.shared import Part, Shared
from deployments.auth.tokens import TokenIssuer


def services(shared: Shared) -> Mapping[str, object]:
    settings = shared.settings
    accounts = AccountService(
        shared.db,
        credentials=shared.credentials,
        trail=shared.trail,
        limits=shared.mail_limits,
        limiter=shared.edge.limiter,
        verified=not settings.email_verification,
    )
    return {"accounts": accounts, "logins": login_service(shared)}


def login_service(shared: Shared) -> LoginService:
    settings = shared.settings
    return LoginService(
        shared.db,
        credentials=shared.credentials,
        factor=shared.factor,
        starter=shared.starter,
        issuer=TokenIssuer(shared.edge.keys, settings),
        trail=shared.trail,
        activity=shared.edge.activity,
        idle_seconds=settings.auth.idle_seconds,
    )


PART = Part(router, services)
