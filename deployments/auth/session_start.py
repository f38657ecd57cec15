"""What every kind of login ends in: a session with its first tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import asyncpg

from config.account_settings import Role
from deployments.auth.tokens import TokenIssuer, TokenPair
from deployments.auth.trail import AccountTrail
from deployments.edge.context import address, user_agent
from domain.audit import AuditEvent
from domain.events import EventType
from stores.accounts import Account
from stores.refresh_tokens import NewSession, Sessions, fresh_token

Method = Literal["password", "oidc"]


class SessionStarter:
    """`session_seconds`: how long a session lasts at most, by role. `mfa_roles`: who needs a second factor."""

    def __init__(
        self,
        issuer: TokenIssuer,
        trail: AccountTrail,
        *,
        session_seconds: Mapping[Role, int],
        mfa_roles: Collection[Role],
    ) -> None:
        self._issuer = issuer
        self._trail = trail
        self._lives = {str(role): timedelta(seconds=seconds) for role, seconds in session_seconds.items()}
        self._mfa_roles = frozenset[str](mfa_roles)

    def life(self, role: str) -> timedelta:
        """How long a session of the role lasts at most."""
        return self._lives[role]

    async def begin(
        self, connection: asyncpg.Connection, account: Account, *, method: Method, mfa: bool
    ) -> TokenPair:
        """Start a session in the caller's transaction, which has the account's row locked.

        `mfa`: whether a second factor was shown. Without one a role that needs it gets a session that may only set
        one up.
        """
        token = fresh_token()
        new = NewSession(
            account.id,
            expires_at=datetime.now(UTC) + self.life(account.role),
            address=address(),
            user_agent=user_agent(),
            method=method,
            mfa=mfa,
            restriction="mfa" if account.role in self._mfa_roles and not mfa else None,
        )
        session = await Sessions(connection).start(new, token=token)
        data = {"outcome": "success", "method": method}
        await self._trail.event(connection, EventType.USER_LOGIN, account.id, data)
        await self._trail.record(
            connection, AuditEvent.LOGIN, action="E", user=account.id, role=account.role, session=session.id
        )
        return self._issuer.issue(account, session, token)
