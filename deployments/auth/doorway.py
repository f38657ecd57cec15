"""Refuses what strangers want hashed at once while much waits: before the body is read and anything is counted."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.auth.hashing import PasswordHasher
from deployments.edge.route_table import facts_of

HASHED = ("/api/v1/auth/login", "/api/v1/auth/oidc/link", "/api/v1/auth/register")


class Doorway:
    """Raises `Unavailable` (`auth.busy`)."""

    def __init__(self, app: ASGIApp, *, hasher: PasswordHasher) -> None:
        self.app = app
        self._hasher = hasher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_of(scope)
        if facts and facts.template in HASHED:
            self._hasher.insist_on_room()
        await self.app(scope, receive, send)
