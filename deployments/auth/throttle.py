"""Against guessing: wrong passwords are counted by the submitted identifier, by address, and all together.

An attempt is counted against its identifier before the password is looked at, so that parallel attempts
cannot slip through; a right password starts that window anew. Nothing locks for ever, and from an address
that the account's owner has used lately the owner has a window of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Awaitable, Callable

from config.account_settings import LoginSettings
from config.secrets import SecretStore
from deployments.edge.cursors import KEY
from domain.errors import TooMany
from stores.ports import RateLimiter

LONGEST_PENALTY_SECONDS = 900
REMEMBERED_REFUSALS = 64


class LoginThrottle:
    """Identifiers are only kept as a keyed hash."""

    def __init__(self, limiter: RateLimiter, secrets: SecretStore, limits: LoginSettings) -> None:
        self._limiter = limiter
        self._limits = limits
        self._key = hashlib.sha256(b"identifier:" + secrets.ensure(KEY).get_secret_value().encode()).digest()

    async def admit(self, identifier: str, address: str, known: Callable[[], Awaitable[bool]]) -> None:
        """Count an attempt; raises `TooMany` with a wait that grows with every refused one.

        `known` says whether the account's owner has logged in from this address lately.
        """
        limits = self._limits
        for key, limit in (
            (f"login:address:{address}", limits.address_attempts),
            ("login:everybody", limits.everybody_attempts),
        ):
            allowance = await self._limiter.peek(key, limit=limit, seconds=limits.window_seconds)
            if not allowance.allowed:
                raise await self._refusal(key, allowance.reset_seconds)
        key = self._identifier(identifier)
        allowance = await self._limiter.take(
            key, limit=limits.identifier_attempts, seconds=limits.window_seconds
        )
        if not allowance.allowed and await known():
            own = self._identifier(identifier, address)
            allowance = await self._limiter.take(
                own, limit=limits.identifier_attempts, seconds=limits.window_seconds
            )
        if not allowance.allowed:
            raise await self._refusal(key, allowance.reset_seconds)

    async def failed(self, address: str) -> None:
        """The password was wrong."""
        limits = self._limits
        await self._limiter.take(
            f"login:address:{address}", limit=limits.address_attempts, seconds=limits.window_seconds
        )
        await self._limiter.take(
            "login:everybody", limit=limits.everybody_attempts, seconds=limits.window_seconds
        )

    async def succeeded(self, identifier: str, address: str) -> None:
        """The password was right: the identifier's windows start anew."""
        for key in (self._identifier(identifier), self._identifier(identifier, address)):
            await self._limiter.forget(
                key, limit=self._limits.identifier_attempts, seconds=self._limits.window_seconds
            )

    async def forget(self, identifier: str) -> None:
        """Start the identifier's window anew: the owner used a mailed link."""
        limits = self._limits
        await self._limiter.forget(
            self._identifier(identifier), limit=limits.identifier_attempts, seconds=limits.window_seconds
        )

    async def _refusal(self, key: str, reset_seconds: float) -> TooMany:
        refused = await self._limiter.take(
            f"{key}:refused", limit=REMEMBERED_REFUSALS, seconds=self._limits.window_seconds
        )
        penalty = min(2 ** (REMEMBERED_REFUSALS - 1 - refused.remaining), LONGEST_PENALTY_SECONDS)
        seconds = math.ceil(reset_seconds) + penalty
        return TooMany(
            f"Too many attempts. Try again in {seconds} s.", code="auth.throttled", retry_after=seconds
        )

    def _identifier(self, identifier: str, address: str = "") -> str:
        return (
            "login:"
            + hmac.digest(self._key, f"{identifier}\n{address}".encode("utf-8", "replace"), "sha256").hex()
        )
