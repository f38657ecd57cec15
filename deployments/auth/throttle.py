"""Against guessing: attempts are counted by the submitted identifier, by address, and all together.

An attempt is counted before the password is looked at, so that parallel attempts cannot slip through; one that was
not wrong is taken back, and a complete login starts the identifier's window at its address anew, no other.
Nothing locks for ever, and nobody can keep an owner out: from an address that the owner has used lately only the
identifier's window at that address counts, whatever others do elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config.account_settings import LoginSettings
from config.secrets import SecretStore
from deployments.edge.cursors import KEY
from deployments.edge.identity import network_of
from domain.errors import TooMany
from stores.ports import Allowance, RateLimiter

LONGEST_PENALTY_SECONDS = 900
REMEMBERED_REFUSALS = 64
EVERYBODY = "login:everybody"


class Throttled(TooMany):
    """Too many attempts. `first`: no other was refused for the same cause in this window."""

    code = "auth.throttled"

    def __init__(self, seconds: int, *, first: bool) -> None:
        super().__init__(f"Too many attempts. Try again in {seconds} s.", retry_after=seconds)
        self.first = first


@dataclass(frozen=True, slots=True)
class Attempt:
    """An admitted attempt, which counts as wrong in these windows (key and limit) until it is excused."""

    held: tuple[tuple[str, int], ...]
    """Those of the address and of everybody, as far as it counts there."""
    identifiers: tuple[tuple[str, int], ...] = ()
    """That of the identifier, likewise."""


class LoginThrottle:
    """Identifiers are only kept as a keyed hash."""

    def __init__(self, limiter: RateLimiter, secrets: SecretStore, limits: LoginSettings) -> None:
        self._limiter = limiter
        self._limits = limits
        self._key = hashlib.sha256(b"identifier:" + secrets.ensure(KEY).get_secret_value().encode()).digest()

    async def admit(self, identifier: str, address: str, known: Callable[[], Awaitable[bool]]) -> Attempt:
        """Count an attempt; raises `Throttled` with a wait that grows with every refused one.

        `known` says whether the account's owner has logged in from this address lately.
        """
        attempts = self._limits.identifier_attempts
        own = await self._take(await self._own(identifier, address), attempts)
        if not own.allowed:
            raise await self._refusal(self._identifier(identifier), own.reset_seconds)
        held: list[tuple[str, int]] = []
        try:
            for key, limit in (*self._of_all(address), (self._identifier(identifier), attempts)):
                allowance = await self._take(key, limit)
                if allowance.allowed:
                    held.append((key, limit))
                    continue
                if not await known():
                    raise await self._refusal(key, allowance.reset_seconds)
                break
        except BaseException:
            await asyncio.shield(self.excuse(Attempt(tuple(held))))
            raise
        return Attempt(tuple(held[:2]), tuple(held[2:]))

    async def excuse(self, attempt: Attempt) -> None:
        """It was not wrong, or nobody looked at it: it does not count for the address, nor for all together."""
        await self._give_back(attempt.held)

    async def admit_session(self, session: str) -> None:
        """Count a password or code asked for again in a session: a window that nobody outside can use up."""
        key = f"login:session:{session}"
        allowance = await self._take(key, self._limits.session_attempts)
        if not allowance.allowed:
            raise await self._refusal(key, allowance.reset_seconds)

    async def failed(self, address: str) -> None:
        """A password or code that a session was asked for again was wrong."""
        for key, limit in self._of_all(address):
            await self._take(key, limit)

    async def succeeded(self, attempt: Attempt, identifier: str, address: str) -> None:
        """The login is complete: it counts nowhere, and the identifier's window at that address starts anew.

        What was tried elsewhere goes on counting: an owner who comes in gives nobody else another try.
        """
        await self._give_back(attempt.held + attempt.identifiers)
        await self._forget(await self._own(identifier, address), self._limits.identifier_attempts)

    async def confirmed(self, session: str) -> None:
        """The session knew the answer: its window starts anew."""
        await self._forget(f"login:session:{session}", self._limits.session_attempts)

    async def forget(self, identifier: str) -> None:
        """Start the identifier's window anew: the owner used a mailed link, or an administrator unlocks."""
        key = self._identifier(identifier)
        await self._forget(key, self._limits.identifier_attempts)
        await self._forget(f"{key}:refused", REMEMBERED_REFUSALS)
        await self._take(f"{key}:epoch", REMEMBERED_REFUSALS)

    def _of_all(self, address: str) -> tuple[tuple[str, int], ...]:
        """The windows that others use up too: those at one address, and everybody."""
        return (
            (f"login:address:{network_of(address)}", self._limits.address_attempts),
            (EVERYBODY, self._limits.everybody_attempts),
        )

    async def _own(self, identifier: str, address: str) -> str:
        """The window of one address; another one after `forget`, which does not know the addresses."""
        epoch = await self._peek(f"{self._identifier(identifier)}:epoch", REMEMBERED_REFUSALS)
        return self._identifier(f"{identifier}\n{epoch.used}", network_of(address))

    async def _give_back(self, windows: tuple[tuple[str, int], ...]) -> None:
        for key, limit in windows:
            await self._limiter.give_back(key, limit=limit, seconds=self._limits.window_seconds)

    async def _peek(self, key: str, limit: int) -> Allowance:
        return await self._limiter.peek(key, limit=limit, seconds=self._limits.window_seconds)

    async def _take(self, key: str, limit: int) -> Allowance:
        return await self._limiter.take(key, limit=limit, seconds=self._limits.window_seconds)

    async def _forget(self, key: str, limit: int) -> None:
        await self._limiter.forget(key, limit=limit, seconds=self._limits.window_seconds)

    async def _refusal(self, key: str, reset_seconds: float) -> Throttled:
        refused = await self._take(f"{key}:refused", REMEMBERED_REFUSALS)
        penalty = min(2 ** min(max(0, refused.used - 1), 10), LONGEST_PENALTY_SECONDS)
        told = await self._take(f"{key}:told", 1)
        return Throttled(math.ceil(reset_seconds) + penalty, first=told.allowed)

    def _identifier(self, identifier: str, address: str = "") -> str:
        return (
            "login:"
            + hmac.digest(self._key, f"{identifier}\n{address}".encode("utf-8", "replace"), "sha256").hex()
        )
