"""Password hashes: argon2id, and bcrypt hashes of another system until their owner's next login.

Hashing runs in a few threads of its own, never on the event loop, and leaves the processor to other work that wants
it; when too many wait, callers are refused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from config.account_settings import AuthSettings
from config.niceness import give_way
from domain.errors import Unavailable
from domain.passwords import normalised

WAITING_PER_THREAD = 32

LOGINS_PER_THREAD = 4
"""How many may wait when another login or registration comes in: answered late otherwise, it is refused at once."""

NICENESS = 10
"""Of the threads, on Linux: searches do not wait for logins."""

BCRYPT_BYTES = 72
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the password was right, and a better hash of it when the stored one is of an older kind."""

    right: bool
    upgraded: str | None = None


class PasswordHasher:
    """Raises `Unavailable` (`auth.busy`) at once when more callers wait than can be served soon."""

    def __init__(self, settings: AuthSettings) -> None:
        rules = settings.password
        argon2 = Argon2Hasher(time_cost=rules.argon2_time, memory_cost=rules.argon2_memory_kib, parallelism=1)
        self._hashes = PasswordHash((argon2, BcryptHasher()))
        self._bcrypt = BcryptHasher
        self._threads = ThreadPoolExecutor(
            settings.hash_workers, thread_name_prefix="password", initializer=give_way, initargs=(NICENESS,)
        )
        self._waiting = 0
        self._logins = settings.hash_workers * (LOGINS_PER_THREAD + 1)
        self._room = settings.hash_workers * (WAITING_PER_THREAD + 1)
        self.usual = self._hashes.hash(secrets.token_urlsafe(16))
        """A hash as new ones are, of no password."""

    async def hash(self, password: str) -> str:
        return await self._in_thread(lambda: self._hashes.hash(normalised(password)))

    async def verify(self, password: str, stored: str | None, decoy: str | None = None) -> Verification:
        """Compare; without a stored hash the work that `decoy` costs is done for nothing, and the answer is wrong."""
        checked = await self._in_thread(lambda: self._verify(password, stored or decoy or self.usual))
        return checked if stored is not None else Verification(False)

    def insist_on_room(self) -> None:
        """For a login or registration that begins; raises `Unavailable`."""
        if self._waiting >= self._logins:
            raise _busy()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str) -> Verification:
        if self._bcrypt.identify(stored):
            return self._verify_bcrypt(password, stored)
        right, upgraded = self._hashes.verify_and_update(normalised(password), stored)
        return Verification(right, upgraded)

    def _verify_bcrypt(self, password: str, stored: str) -> Verification:
        """The other system hashed what was typed, not its normal form. What is too long costs as much, and is wrong."""
        typed = password.encode()
        right = self._hashes.verify(typed[:BCRYPT_BYTES], stored)
        if not right or len(typed) > BCRYPT_BYTES:
            return Verification(False)
        return Verification(True, self._hashes.hash(normalised(password)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._room:
            raise _busy()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _busy() -> Unavailable:
    return Unavailable("Too many people are logging in. Try again.", code="auth.busy", retry_after=2)
