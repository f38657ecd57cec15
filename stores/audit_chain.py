"""Verifies the audit chain, link by link, and names the first record that is not as it was sealed.

Everything is read in one snapshot, in pages; memory does not grow with the trail. What can be seen at all: a
change to any column, a record that was removed, added behind the sealer's back or put elsewhere, a chain whose
head nobody signed. A tail that was cut off together with its heads shows only against heads kept elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg

from config.secrets import SecretStore
from config.settings import Settings
from domain.tokens import PublicKeys
from stores.audit_diagnosis import Misfit, diagnose
from stores.audit_heads import COLUMNS as HEAD_COLUMNS
from stores.audit_heads import Head, Signed
from stores.audit_rows import COLUMNS, GENESIS, link_hash
from stores.audit_sealing import LAST_SEALED
from stores.keyring import SecretKeys
from stores.ports import Keys, Purpose
from stores.postgres import Postgres

PAGE = 5000

_RECORD = ", ".join(f"r.{name}" for name in COLUMNS)
_LINKS = f"""
    SELECT l.seq, l.day, l.hash, l.record_id, {_RECORD}
    FROM audit_link l LEFT JOIN audit_record r ON r.id = l.record_id
    WHERE l.seq > $1 ORDER BY l.seq LIMIT $2
"""  # noqa: S608 - column names of ours
_HEADS = f"SELECT {HEAD_COLUMNS} FROM audit_head WHERE seq > $1 AND seq <= $2 ORDER BY seq"  # noqa: S608 - names of ours

# Sealing takes all records below the oldest transaction: one without a link before the last sealed one was added later.
_BEHIND = f"""
    WITH last AS ({LAST_SEALED})
    SELECT r.id FROM audit_record r, last
    WHERE last.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
      AND ((r.transaction_id, r.position) < (last.transaction_id, last.position)
           OR r.transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
      AND NOT EXISTS (SELECT FROM audit_link l WHERE l.record_id = r.id)
    ORDER BY r.position LIMIT 1
"""  # noqa: S608 - a constant
_WAITING = (
    "SELECT count(*) FROM audit_record r WHERE NOT EXISTS (SELECT FROM audit_link l WHERE l.record_id = r.id)"
)


class Fault(StrEnum):
    """What is wrong at the first place where something is."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_START = "cut_start"
    CUT_TAIL = "cut_tail"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    BAD_HEAD = "bad_head"
    """A head, signed or exported, says something else than the chain."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the trail is not as it was sealed. `record_id`: as far as it is known."""

    fault: Fault
    seq: int
    message: str
    record_id: UUID | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at. `waiting`: records that are not sealed yet; `earlier`: exported heads before the start."""

    links: int
    heads: int
    first_day: date | None
    last_day: date | None
    last_seq: int
    waiting: int
    earlier: int
    broken: Break | None


class Broken(Exception):
    """Ends a verification."""

    def __init__(self, found: Break) -> None:
        super().__init__(found.message)
        self.found = found


class AuditChain:
    """Reads as the role that may read the trail."""

    def __init__(self, db: Postgres, keys: Keys, *, retention: timedelta, page: int = PAGE) -> None:
        self._db = db
        self._keys = keys
        self._retention = retention
        self._page = page

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> AuditChain:
        db = Postgres.of(settings, secrets, "audit", "audit-reader")
        days = timedelta(days=settings.audit.retention_days)
        return cls(db, SecretKeys.of(settings, secrets), retention=days)

    async def verify(self, exported: Iterable[Head] = ()) -> Verification:
        """Check all of it against itself, the signatures, and heads that were exported earlier.

        Raises `Unavailable`; a broken chain is an answer.
        """
        keys = self._keys.public(Purpose.AUDIT_HEAD)
        async with (
            self._db.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            walk = Walk(keys, list(exported))
            broken = None
            try:
                await self._walk(connection, walk)
            except Broken as error:
                broken = error.found
            waiting = await connection.fetchval(_WAITING, timeout=600)
        return walk.result(waiting, broken)

    async def heads(self, *, since: date | None = None) -> list[Head]:
        """The last head of every day from `since` on (of all days when None), oldest first."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                f"""
                SELECT DISTINCT ON (day) {HEAD_COLUMNS} FROM audit_head
                WHERE day >= coalesce($1, '-infinity'::date) ORDER BY day, seq DESC
                """,  # noqa: S608 - column names of ours
                since,
            )
        return [Head.of(row) for row in rows]

    async def close(self) -> None:
        await self._db.close()

    async def _walk(self, connection: asyncpg.Connection, walk: Walk) -> None:
        walk.check_exported()
        walk.begin(await self._start(connection), datetime.now(UTC).date() - self._retention)
        async for rows in self._pages(connection, walk.seq):
            heads = await connection.fetch(_HEADS, walk.seq, rows[-1]["seq"])
            try:
                walk.take(rows, {head["seq"]: Head.of(head) for head in heads})
            except Misfit as misfit:
                fault, record_id, message = await diagnose(connection, misfit)
                found = Break(Fault(fault), misfit.seq, message, record_id, misfit.day)
                raise Broken(found) from None
        beyond = await connection.fetchval("SELECT min(seq) FROM audit_head WHERE seq > $1", walk.seq)
        walk.end(beyond)
        behind = await connection.fetchval(_BEHIND, timeout=600)
        if behind is not None:
            message = "This record was added behind records that are sealed."
            raise Broken(Break(Fault.INSERTED, walk.seq, message, behind))

    async def _pages(self, connection: asyncpg.Connection, after: int) -> AsyncIterator[list[asyncpg.Record]]:
        while rows := await connection.fetch(_LINKS, after, self._page):
            yield rows
            after = rows[-1]["seq"]

    async def _start(self, connection: asyncpg.Connection) -> Head | None:
        """The head before the first link; None when the chain begins with its first link, or with a gap."""
        first = await connection.fetchval("SELECT min(seq) FROM audit_link")
        row = await connection.fetchrow(
            f"""
            SELECT {HEAD_COLUMNS} FROM audit_head WHERE seq = coalesce($1 - 1, (SELECT min(seq) FROM audit_head))
            """,  # noqa: S608 - column names of ours
            first,
        )
        return Head.of(row) if row else None


class Walk:
    """The state of one verification: how far the chain is good."""

    def __init__(self, keys: PublicKeys, exported: Sequence[Head]) -> None:
        self.seq = 0
        self._keys = keys
        self._given = exported
        self._exported = {head.seq: head for head in exported}
        self._hash = GENESIS
        self._day: date | None = None
        self._first_day: date | None = None
        self._in_day = 0
        self._links = 0
        self._heads = 0
        self._signed_to = 0
        self._start = 0

    def begin(self, head: Head | None, oldest: date) -> None:
        """Begin after `head`; what went before it must have been older than `oldest`."""
        if head is None:
            return
        self._check_signature(head)
        if head.day >= oldest:
            message = f"Everything up to {head.day} was removed, before its time."
            raise Broken(Break(Fault.CUT_START, head.seq, message, day=head.day))
        self.seq = self._start = self._signed_to = head.seq
        self._hash, self._day = head.hash, head.day

    def check_exported(self) -> None:
        for head in self._given:
            self._check_signature(head)
            if head.hash != self._exported[head.seq].hash:
                message = "Two heads that were exported say different things."
                raise Broken(Break(Fault.BAD_HEAD, head.seq, message, day=head.day))

    def take(self, rows: list[asyncpg.Record], heads: Mapping[int, Head]) -> None:
        """Go on over a page. Raises `Misfit` at the link that does not fit, `Broken` at a head."""
        for row in rows:
            seq, day = row["seq"], row["day"]
            if seq != self.seq + 1:
                raise Misfit(self.seq + 1, self._hash, day, None, self.seq + 1)
            previous = self._day
            late = previous is not None and day < previous
            if row["id"] is None or late or link_hash(self._hash, day, row) != row["hash"]:
                raise Misfit(seq, self._hash, day, row["record_id"], None)
            self._in_day = self._in_day + 1 if day == previous else 1
            self.seq, self._hash, self._day = seq, row["hash"], day
            self._first_day = self._first_day or day
            self._links += 1
            if head := heads.get(seq):
                self._check_head(head)
            if (kept := self._exported.get(seq)) and kept.hash != self._hash:
                message = "The chain is another one than when this head was exported."
                raise Broken(Break(Fault.BAD_HEAD, seq, message, row["record_id"], day))

    def end(self, beyond: int | None) -> None:
        """`beyond`: a head after the last link."""
        kept = [seq for seq in self._exported if seq > self.seq]
        if beyond is not None or kept:
            until = max([*kept, beyond or 0])
            message = f"The end was cut off: a head covers the links up to {until}."
            raise Broken(Break(Fault.CUT_TAIL, self.seq + 1, message, day=self._day))
        if self._signed_to < self.seq:
            message = f"No head covers the links after {self._signed_to}: the sealer did not make them."
            raise Broken(Break(Fault.UNSIGNED, self._signed_to + 1, message, day=self._day))

    def result(self, waiting: int, broken: Break | None) -> Verification:
        earlier = sum(seq < self._start for seq in self._exported)
        return Verification(
            self._links, self._heads, self._first_day, self._day, self.seq, waiting, earlier, broken
        )

    def _check_head(self, head: Head) -> None:
        self._check_signature(head)
        if (head.hash, head.day, head.count) != (self._hash, self._day, self._in_day):
            raise Broken(Break(Fault.BAD_HEAD, head.seq, "The head does not fit the chain.", day=head.day))
        self._heads += 1
        self._signed_to = head.seq

    def _check_signature(self, head: Head) -> None:
        said = head.check(self._keys)
        if said is Signed.BAD:
            message = "The signature of this head is not good."
            raise Broken(Break(Fault.BAD_SIGNATURE, head.seq, message, day=head.day))
        if said is Signed.UNKNOWN:
            message = f"This head was signed by a key that is not ours ({head.key_name})."
            raise Broken(Break(Fault.UNKNOWN_KEY, head.seq, message, day=head.day))
