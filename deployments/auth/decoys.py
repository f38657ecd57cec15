"""What unknown addresses are compared with: hashes of the kinds that stored ones have, and as often.

The time of an answer tells the kind of a hash (a bcrypt hash of another system takes several times as long), so
unknown addresses must be of each kind too. Which kind an address has is drawn from a keyed digest: it stays the same
when somebody asks again, and looks slow only as often as an account does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping

import asyncpg
import bcrypt

SECONDS = 60.0
"""How long the proportions are believed."""

BCRYPT_HASH = 31
"""Characters of a bcrypt hash behind its salt."""

KINDS = r"""
    SELECT substring(password_hash FROM '^\$2[aby]?\$\d\d|^\$argon2id\$v=\d+\$[^$]+') AS kind, count(*) AS count
    FROM account WHERE kind = 'person' AND password_hash IS NOT NULL GROUP BY 1
"""


class Decoys:
    """`usual`: a hash as new ones are, while nothing is stored."""

    def __init__(self, secret: str, usual: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = hashlib.sha256(b"decoy:" + secret.encode()).digest()
        self._usual = usual
        self._clock = clock
        self._kinds: dict[str, int] = {}
        self._read_at = -SECONDS
        self._made: dict[str, str] = {}

    async def of(self, connection: asyncpg.Connection, identifier: str) -> str:
        """The hash that `identifier` has if it has no account."""
        if self._clock() - self._read_at >= SECONDS:
            self._read_at = self._clock()
            rows = await connection.fetch(KINDS)
            self._kinds = {row["kind"]: row["count"] for row in rows if row["kind"]}
        kind = drawn(self._kinds, hmac.digest(self._key, identifier.encode("utf-8", "replace"), "sha256"))
        return self._usual if kind is None else self._made.setdefault(kind, hash_of(kind))


def drawn(counts: Mapping[str, int], digest: bytes) -> str | None:
    """One of the kinds, each as often as its count says, argon2id first; None when there are none.

    The same digest is of the same kind as long as the proportions are, and leaves bcrypt once when they shrink.
    """
    place = int.from_bytes(digest[:8]) / 2**64 * sum(counts.values())
    for kind, count in sorted(counts.items(), reverse=True):  # $argon2id before $2b
        place -= count
        if place < 0:
            return kind
    return None


def hash_of(kind: str) -> str:
    """A hash of that kind that no password has, made without computing one."""
    if kind.startswith("$argon2"):
        salt, digest = (
            base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32)
        )
        return f"{kind}${salt}${digest}"
    salt = bcrypt.gensalt(int(kind[-2:])).decode()
    return salt + "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(BCRYPT_HASH))
