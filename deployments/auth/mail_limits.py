"""How many mails strangers may cause: by the address that was asked for, and by the network address that asks."""

from __future__ import annotations

import hashlib
import hmac
import math
from enum import StrEnum

from config.account_settings import LoginSettings
from config.secrets import SecretStore
from deployments.edge.cursors import KEY
from deployments.edge.identity import network_of
from domain.errors import TooMany
from stores.ports import RateLimiter


class MailCause(StrEnum):
    """What somebody does that an address gets a mail for."""

    REGISTRATION = "registration"
    VERIFICATION = "verification"
    RESET = "reset"
    ADDRESS_CHANGE = "address_change"


class MailLimits:
    """Counts whether or not the address belongs to anybody. Addresses are only kept as a keyed hash.

    Each cause has a window of its own, so that no other one uses up the links that let an owner in again.
    """

    def __init__(self, limiter: RateLimiter, secrets: SecretStore, limits: LoginSettings) -> None:
        self._limiter = limiter
        self._limits = limits
        self._key = hashlib.sha256(b"mail:" + secrets.ensure(KEY).get_secret_value().encode()).digest()

    async def admit(self, address: str) -> None:
        """Count a request from a network address; raises `TooMany`."""
        limit, seconds = self._limits.address_attempts, self._limits.window_seconds
        allowance = await self._limiter.take(
            f"mail:address:{network_of(address)}", limit=limit, seconds=seconds
        )
        if not allowance.allowed:
            raise _too_many(allowance.reset_seconds)

    async def take(self, email_key: str, cause: MailCause) -> bool:
        """Count a mail to that address; whether it may be sent."""
        digest = hmac.digest(self._key, email_key.encode("utf-8", "replace"), "sha256").hex()
        key = f"mail:{cause}:{digest}"
        allowance = await self._limiter.take(
            key, limit=self._limits.mails, seconds=self._limits.window_seconds
        )
        return allowance.allowed

    async def insist(self, email_key: str, cause: MailCause) -> None:
        """As `take`, for somebody who is logged in: raises `TooMany` where no mail may be sent."""
        if not await self.take(email_key, cause):
            raise _too_many(self._limits.window_seconds)


def _too_many(seconds: float) -> TooMany:
    wait = max(1, math.ceil(seconds))
    return TooMany(f"Too many mails. Try again in {wait} s.", code="auth.throttled", retry_after=wait)
