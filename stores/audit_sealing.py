"""Adds new records of the audit trail to its chain, in the role that can do this and nothing else.

Only records below the oldest running transaction are taken: nothing can come before them any more, so their order
(`transaction_id`, `position`) is final. Links and the signed head of a batch are one transaction: a sealer that is
killed leaves a whole chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from config.secrets import SecretStore
from config.settings import Settings
from stores.audit_heads import Head
from stores.audit_rows import COLUMNS, GENESIS, link_hash
from stores.keyring import SecretKeys
from stores.ports import Keys, Purpose
from stores.postgres import Postgres

BATCH = 1000
SEALING = "audit-sealing"
"""Advisory lock of the transaction that adds to the chain."""

LAST_SEALED = """
    SELECT r.transaction_id, r.position FROM audit_link l JOIN audit_record r ON r.id = l.record_id
    ORDER BY l.seq DESC LIMIT 1
"""

_END = """
    SELECT seq, day, hash FROM (
        (SELECT seq, day, hash FROM audit_link ORDER BY seq DESC LIMIT 1)
        UNION ALL (SELECT seq, day, hash FROM audit_head ORDER BY seq DESC LIMIT 1)
    ) AS ends ORDER BY seq DESC LIMIT 1
"""

# Ids above the counter are those of the server that a restored copy was made on: nothing will be added there.
_READY = f"""
    SELECT {", ".join(f"r.{name}" for name in COLUMNS)} FROM audit_record r
    WHERE (r.transaction_id, r.position) > ($1::xid8, $2)
      AND (r.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
           OR $3 AND r.transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
      AND NOT EXISTS (SELECT FROM audit_link l WHERE l.record_id = r.id)
    ORDER BY r.transaction_id, r.position LIMIT $4
"""  # noqa: S608 - column names of ours


_UNSEALED = f"""
    WITH last AS ({LAST_SEALED}), waiting AS (
        SELECT r.recorded_at FROM audit_record r
        WHERE (r.transaction_id, r.position) > (
            coalesce((SELECT transaction_id FROM last), '0'), coalesce((SELECT position FROM last), 0))
        ORDER BY r.transaction_id, r.position LIMIT $1
    )
    SELECT count(*) AS count,
           coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8 AS oldest_seconds
    FROM waiting
"""  # noqa: S608 - a constant
COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Records behind the end of the chain, counted up to `COUNTED`, and the age of the oldest."""

    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class _End:
    """Where the chain ends."""

    seq: int
    day: date
    hash: bytes


class AuditSealing:
    """`seal` is harmless when run by several at once: one works, the others do nothing."""

    def __init__(
        self,
        db: Postgres,
        keys: Keys,
        *,
        batch: int = BATCH,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.batch = batch
        self._db = db
        self._keys = keys
        self._clock = clock

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> AuditSealing:
        db = Postgres.of(settings, secrets, "audit", "audit-sealer")
        return cls(db, SecretKeys.of(settings, secrets))

    async def seal(self) -> int:
        """Chain up to a batch of records and sign the head; how many. Raises `Unavailable`, `SecretMissing`."""
        async with self._db.transaction() as connection:
            mine = await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", SEALING
            )
            return await self._extend(connection) if mine else 0

    async def close(self) -> None:
        await self._db.close()

    async def _extend(self, connection: asyncpg.Connection) -> int:
        rows = await self._ready(connection)
        if not rows:
            return 0
        end = await _end(connection)
        day = max(end.day, self._clock().astimezone(UTC).date())
        links, hashed = [], end.hash
        for seq, row in enumerate(rows, end.seq + 1):
            hashed = link_hash(hashed, day, row)
            links.append((seq, row["id"], day, hashed))
        await connection.copy_records_to_table(
            "audit_link", records=links, columns=("seq", "record_id", "day", "hash")
        )
        before = await connection.fetchval(
            "SELECT count FROM audit_head WHERE day = $1 ORDER BY seq DESC LIMIT 1", day
        )
        await self._sign(
            connection, Head(links[-1][0], day, (before or 0) + len(links), hashed, self._clock())
        )
        return len(links)

    async def _ready(self, connection: asyncpg.Connection) -> list[asyncpg.Record]:
        """Records to chain next, in order.

        After a restore from a dump transaction ids begin below those of the records: then all records are looked
        through, until the chain ends below the counter again.
        """
        last = await connection.fetchrow(
            f"SELECT *, transaction_id >= pg_snapshot_xmax(pg_current_snapshot()) AS ahead FROM ({LAST_SEALED}) AS l"  # noqa: S608 - a constant
        )
        ahead = last is not None and last["ahead"]
        after = (last["transaction_id"], last["position"]) if last and not ahead else (0, 0)
        return await connection.fetch(_READY, *after, ahead, self.batch)

    async def _sign(self, connection: asyncpg.Connection, unsigned: Head) -> None:
        head = unsigned.signed(self._keys.signing(Purpose.AUDIT_HEAD))
        await connection.execute(
            """
            INSERT INTO audit_head (seq, day, count, hash, signature, key_name, at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            head.seq, head.day, head.count, head.hash, head.signature, head.key_name, head.at,
        )  # fmt: skip


async def _end(connection: asyncpg.Connection) -> _End:
    row = await connection.fetchrow(_END)
    return _End(row["seq"], row["day"], row["hash"]) if row else _End(0, date.min, GENESIS)


async def unsealed(db: Postgres) -> Unsealed:
    """What the sealer has still to do; `db` in any role that may read records and links."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_UNSEALED, COUNTED)
    return Unsealed(row["count"], row["oldest_seconds"]) if row else Unsealed(0, 0.0)
