"""Refuses logins at once while many wait for their hash: before the body is read and anything is counted."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.auth.hashing import PasswordHasher
from deployments.edge.route_table import facts_of

LOGINS = ("/api/v1/auth/login", "/api/v1/auth/oidc/link")


class Doorway:
    """Raises `Unavailable` (`auth.busy`)."""

    def __init__(self, app: ASGIApp, *, hasher: PasswordHasher) -> None:
        self.app = app
        self._hasher = hasher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        if facts and facts.template in LOGINS:
            self._hasher.insist_on_room()
        await self.app(scope, receive, send)
