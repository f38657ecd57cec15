"""Row A6: whoever logs in costs one hash of the same kind, whether or not there is an account."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest

from config.account_settings import AuthSettings, PasswordSettings
from deployments.auth.decoys import drawn, hash_of
from deployments.auth.hashing import NICENESS, PasswordHasher, Verification
from domain.errors import Unavailable

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

    def verify(self, password: bytes, stored: str) -> bool:
        self.compared.append(stored)
        found: bool = self._inner.verify(password, stored)
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


ARGON2, BCRYPT = "$argon2id$v=19$m=64,t=1,p=1", "$2b$04"


@pytest.mark.parametrize("kind", [ARGON2, BCRYPT])
async def test_a6_a_decoy_costs_what_its_kind_does_and_opens_nothing(
    hasher: PasswordHasher, kind: str
) -> None:
    decoy = hash_of(kind)
    assert decoy.startswith(kind)
    watched = Watched(hasher._hashes)
    hasher._hashes = watched  # type: ignore[assignment]
    for password in ("wrong", "w" * 100):
        assert await hasher.verify(password, None, decoy) == Verification(False)
    assert watched.compared == [decoy] * 2


def test_a6_unknown_addresses_are_of_each_kind_as_often_as_accounts() -> None:
    digests = [number.to_bytes(2) + bytes(6) for number in range(0, 2**16, 64)]
    few = [drawn({ARGON2: 3, BCRYPT: 1}, digest) for digest in digests]
    assert few.count(BCRYPT) == 256
    assert few.count(ARGON2) == 768
    fewer = [drawn({ARGON2: 7, BCRYPT: 1}, digest) for digest in digests]
    changed = {(one, other) for one, other in zip(few, fewer, strict=True) if one != other}
    assert changed == {(BCRYPT, ARGON2)}
    assert drawn({}, digests[0]) is None


async def test_id2_what_bcrypt_would_cut_off_is_wrong(hasher: PasswordHasher) -> None:
    stored = bcrypt.hashpw(b"p" * 72, bcrypt.gensalt(4)).decode()
    assert (await hasher.verify("p" * 72, stored)).right
    assert not (await hasher.verify("p" * 73, stored)).right


async def test_a_login_that_would_wait_long_is_refused_at_once(hasher: PasswordHasher) -> None:
    hasher.insist_on_room()
    waiting = [asyncio.create_task(hasher.hash("copper-lantern-meadow-64")) for _ in range(20)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="Too many people"):
        hasher.insist_on_room()
    await asyncio.gather(*waiting)
    hasher.insist_on_room()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
@pytest.mark.parametrize("more", [0, NICENESS + 5])
def test_hashing_gives_way_and_never_less_than_its_process(more: int) -> None:
    """Also where the platform was started with a niceness above that of the threads."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []

    async def asked(hasher: PasswordHasher) -> int:
        return await hasher._in_thread(lambda: os.getpriority(os.PRIO_PROCESS, 0))

    def started() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), before + more)
        hasher = PasswordHasher(CHEAP)
        found.append(asyncio.run(asked(hasher)))
        hasher.close()

    thread = threading.Thread(target=started)
    thread.start()
    thread.join()
    assert found == [max(NICENESS, min(19, before + more))]
