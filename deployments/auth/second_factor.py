"""Time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s) and recovery codes: made and checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from uuid import UUID

import asyncpg
import pyotp

from stores.ports import Keys, Purpose
from stores.totp import Enrolment, SecondFactors

STEP_SECONDS = 30
LATE_STEPS = 1
"""Codes of the step before and after count too: clocks differ, and typing takes time."""

RECOVERY_CODES = 10
RECOVERY_BYTES = 15
ISSUER = "medsearch"


class Factor(StrEnum):
    """What was shown."""

    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"


class SecondFactor:
    """Secrets are sealed for the account that they belong to. Each code is taken once."""

    def __init__(self, keys: Keys, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock

    async def propose(self, connection: asyncpg.Connection, account_id: UUID) -> str | None:
        """A fresh secret (base32) that waits for its first code; None when the account has a second factor."""
        secret = pyotp.random_base32()
        sealed = self._keys.seal(Purpose.ACCOUNT_FIELD, secret.encode(), _context(account_id))
        return secret if await SecondFactors(connection).propose(account_id, sealed) else None

    async def begin(
        self, connection: asyncpg.Connection, account_id: UUID, code: str
    ) -> Sequence[str] | None:
        """Confirm the proposed secret by its first code: the recovery codes; None for a wrong code."""
        factors = SecondFactors(connection)
        found = await factors.find(account_id)
        if found is None or found.confirmed or not await self._totp(factors, account_id, found, code):
            return None
        await factors.confirm(account_id)
        return await self.renew_codes(connection, account_id)

    async def renew_codes(self, connection: asyncpg.Connection, account_id: UUID) -> Sequence[str]:
        """Ten recovery codes of 120 bits, shown once; the former ones are void."""
        codes = [_fresh_code() for _ in range(RECOVERY_CODES)]
        await SecondFactors(connection).replace_codes(account_id, [_digest(code) for code in codes])
        return codes

    async def remove(self, connection: asyncpg.Connection, account_id: UUID) -> None:
        await SecondFactors(connection).remove(account_id)

    async def enrolled(self, connection: asyncpg.Connection, account_id: UUID) -> bool:
        found = await SecondFactors(connection).find(account_id)
        return found is not None and found.confirmed

    async def accept(self, connection: asyncpg.Connection, account_id: UUID, code: str) -> Factor | None:
        """Which of the account's factors the code is, used up by that; None when it is none."""
        factors = SecondFactors(connection)
        found = await factors.find(account_id)
        if found is None or not found.confirmed:
            return None
        if await self._totp(factors, account_id, found, code):
            return Factor.TOTP
        if await factors.use_code(account_id, _digest(code)):
            return Factor.RECOVERY_CODE
        return None

    async def _totp(self, factors: SecondFactors, account_id: UUID, found: Enrolment, code: str) -> bool:
        digits = re.sub(r"\s", "", code)
        if not re.fullmatch(r"[0-9]{6}", digits):
            return False
        totp = pyotp.TOTP(self._keys.open(found.sealed, _context(account_id)).decode())
        now = int(self._clock()) // STEP_SECONDS
        steps = [
            step
            for step in range(now - LATE_STEPS, now + LATE_STEPS + 1)
            if hmac.compare_digest(totp.at(step * STEP_SECONDS), digits)
        ]
        return any([await factors.advance(account_id, step) for step in steps])


def otpauth_uri(secret: str, account: str) -> str:
    """What authenticator applications read as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=ISSUER)


def _context(account_id: UUID) -> bytes:
    return b"totp:" + account_id.bytes


def _fresh_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _digest(code: str) -> bytes:
    """Blanks, dashes and case do not matter."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
