"""Second factors in `auth_db`: the sealed TOTP secret of an account, and its recovery codes as SHA-256."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from stores.ports import Sealed


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A secret; `last_step` is the time step of the last code that was taken: it and earlier ones are used up."""

    sealed: Sealed
    confirmed: bool
    last_step: int | None


class SecondFactors:
    """The statements on second factors, on a connection that the caller has a transaction in."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def propose(self, account_id: UUID, sealed: Sealed) -> bool:
        """Keep a secret that waits to be confirmed; False, and nothing changed, when one is confirmed already."""
        kept = await self._connection.fetchval(
            """
            INSERT INTO totp AS t (account_id, sealed, nonce, key_name) VALUES ($1, $2, $3, $4)
            ON CONFLICT (account_id) DO UPDATE
                SET sealed = excluded.sealed, nonce = excluded.nonce, key_name = excluded.key_name,
                    created_at = now(), last_step = NULL
                WHERE t.confirmed_at IS NULL
            RETURNING true
            """,
            *(account_id, sealed.ciphertext, sealed.nonce, sealed.key_name),
        )
        return bool(kept)

    async def find(self, account_id: UUID) -> Enrolment | None:
        row = await self._connection.fetchrow("SELECT * FROM totp WHERE account_id = $1", account_id)
        if row is None:
            return None
        sealed = Sealed(row["sealed"], row["nonce"], row["key_name"])
        return Enrolment(sealed, row["confirmed_at"] is not None, row["last_step"])

    async def confirm(self, account_id: UUID) -> None:
        """From now on logins need a code."""
        await self._connection.execute(
            "UPDATE totp SET confirmed_at = now() WHERE account_id = $1", account_id
        )

    async def advance(self, account_id: UUID, step: int) -> bool:
        """Use up a time step: of parallel uses exactly one gets True; an earlier step never again."""
        moved = await self._connection.fetchval(
            """
            UPDATE totp SET last_step = $2 WHERE account_id = $1 AND coalesce(last_step, -1) < $2
            RETURNING true
            """,
            account_id,
            step,
        )
        return bool(moved)

    async def replace_codes(self, account_id: UUID, digests: Collection[bytes]) -> None:
        """New recovery codes; the former ones are void."""
        await self._connection.execute("DELETE FROM recovery_code WHERE account_id = $1", account_id)
        await self._connection.executemany(
            "INSERT INTO recovery_code (account_id, code_sha256) VALUES ($1, $2)",
            [(account_id, digest) for digest in digests],
        )

    async def use_code(self, account_id: UUID, digest: bytes) -> bool:
        """Use up a recovery code; True once."""
        used = await self._connection.fetchval(
            """
            UPDATE recovery_code SET used_at = now()
            WHERE account_id = $1 AND code_sha256 = $2 AND used_at IS NULL RETURNING true
            """,
            account_id,
            digest,
        )
        return bool(used)

    async def remove(self, account_id: UUID) -> None:
        """No second factor any more."""
        await self._connection.execute("DELETE FROM recovery_code WHERE account_id = $1", account_id)
        await self._connection.execute("DELETE FROM totp WHERE account_id = $1", account_id)
