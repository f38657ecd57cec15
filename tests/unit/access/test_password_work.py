"""Row A6: whoever logs in costs one hash of the same kind, whether or not there is an account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.account_settings import AuthSettings, PasswordSettings
from deployments.auth.hashing import PasswordHasher, Verification

CHEAP = AuthSettings(password=PasswordSettings(argon2_memory_kib=64, argon2_time=1))


class Watched:
    """The real hashes, with a list of what they compared with."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.compared: list[str] = []

    def verify_and_update(self, password: str, stored: str) -> tuple[bool, str | None]:
        self.compared.append(stored)
        found: tuple[bool, str | None] = self._inner.verify_and_update(password, stored)
        return found

    def hash(self, password: str) -> str:
        return str(self._inner.hash(password))


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(CHEAP)
    yield hasher
    hasher.close()


async def test_a6_without_an_account_the_same_work_is_done(hasher: PasswordHasher) -> None:
    known = await hasher.hash("copper-lantern-meadow-64")
    watched = Watched(hasher._hashes)
    hasher._hashes = watched  # type: ignore[assignment]
    assert await hasher.verify("wrong", known) == Verification(False)
    assert await hasher.verify("wrong", None) == Verification(False)
    costs = [stored.split("$")[1:4] for stored in watched.compared]
    assert costs == [["argon2id", "v=19", "m=64,t=1,p=1"]] * 2


async def test_a6_the_decoy_opens_nothing(hasher: PasswordHasher) -> None:
    for password in ("", "decoy", "None"):
        assert not (await hasher.verify(password, None)).right
