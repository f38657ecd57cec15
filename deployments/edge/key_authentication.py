"""Who calls with an API key: found by its prefix, proven by its secret, limited to its scopes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from config.account_settings import Role
from config.policy import AccessPolicy
from deployments.edge.context import address
from deployments.edge.identity import network_of
from domain.access import Caller, counting
from domain.api_keys import SCHEME, ApiKey
from domain.errors import TooMany
from domain.tokens import TokenRefused
from stores.ports import ApiKeyDirectory, ApiKeyState, RateLimiter

FAILURES = 60
WINDOW_SECONDS = 60


def is_key(token: bytes) -> bool:
    return token.startswith(SCHEME.encode())


class KeyAuthentication:
    """Refusals count by address. Where many were refused, keys are looked up one after the other.

    So made-up keys keep one connection busy at most, and no key that proves is refused for what its neighbours send.

    `mfa_roles`: who needs a second factor. A key whose owner has none is restricted as the owner's session is.
    """

    def __init__(
        self,
        directory: ApiKeyDirectory,
        limiter: RateLimiter,
        policy: AccessPolicy,
        *,
        mfa_roles: Collection[Role],
    ) -> None:
        self._directory = directory
        self._limiter = limiter
        self._policy = policy
        self._mfa_roles = frozenset[str](mfa_roles)
        self._in_turn = asyncio.Lock()

    async def caller(self, token: bytes) -> Caller:
        """Raises `TokenRefused` for every reason, `TooMany`."""
        key = ApiKey.parse(token.decode("latin-1"))
        if key is None:
            raise TokenRefused("key form")
        counted = f"apikey:refused:{network_of(address())}"
        state = await self._state(key.prefix, counted)
        if state is None or not key.proves(state.secret_sha256) or not state.active:
            raise await self._refusal(counted)
        users = [p.removeprefix("user:") for p in state.principals if p.startswith("user:")]
        roles = [p.removeprefix("role:") for p in state.principals if p.startswith("role:")]
        if len(users) != 1 or len(roles) != 1:
            raise TokenRefused("subject")
        await self._directory.used(key.prefix)
        principals = counting(state.principals, self._policy.kinds(roles[0]))
        restriction = "mfa" if roles[0] in self._mfa_roles and not state.second_factor else None
        return Caller(
            users[0],
            roles[0],
            principals,
            restriction=restriction,
            scopes=state.scopes,
            api_key=key.prefix,
        )

    async def _state(self, prefix: str, counted: str) -> ApiKeyState | None:
        allowance = await self._limiter.peek(counted, limit=FAILURES, seconds=WINDOW_SECONDS)
        if allowance.allowed:
            return await self._directory.lookup(prefix)
        async with self._in_turn:
            return await self._directory.lookup(prefix)

    async def _refusal(self, counted: str) -> TokenRefused | TooMany:
        allowance = await self._limiter.take(counted, limit=FAILURES, seconds=WINDOW_SECONDS)
        if allowance.allowed:
            return TokenRefused("key")
        return TooMany("Too many wrong keys. Try again later.", retry_after=allowance.reset_seconds)
