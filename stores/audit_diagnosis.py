"""Says what happened at the first link of the audit chain that does not fit."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import asyncpg

from stores.audit_rows import COLUMNS, link_hash

NEAR = 2000
"""How many links behind the broken one are tried."""

_COLUMNS = ", ".join(f"r.{name}" for name in COLUMNS)
_LINK = "SELECT record_id, day, hash FROM audit_link WHERE seq = $1"
_NEAR = f"""
    SELECT {_COLUMNS} FROM audit_link l JOIN audit_record r ON r.id = l.record_id
    WHERE l.seq > $1 ORDER BY l.seq LIMIT $2
"""  # noqa: S608 - column names of ours
_RECORD = f"SELECT {_COLUMNS} FROM audit_record r WHERE id = $1"  # noqa: S608 - column names of ours


class Misfit(Exception):
    """The link at `seq` is not what follows `previous`. `gap`: it is not there at all."""

    def __init__(self, seq: int, previous: bytes, day: date, record_id: UUID | None, gap: int | None) -> None:
        super().__init__(seq)
        self.seq = seq
        self.previous = previous
        self.day = day
        self.record_id = record_id
        self.gap = gap


async def diagnose(connection: asyncpg.Connection, misfit: Misfit) -> tuple[str, UUID | None, str]:
    """The fault's name, the record concerned, and a sentence."""
    if misfit.gap is not None:
        return "missing", None, "This link of the chain is gone."
    found = await connection.fetchrow(_RECORD, misfit.record_id)
    if found is None:
        return "missing", misfit.record_id, "This record was removed."
    link = await connection.fetchrow(_LINK, misfit.seq)
    assert link is not None  # noqa: S101 - the snapshot of the verification had it
    for other in await connection.fetch(_NEAR, misfit.seq, NEAR):
        if link_hash(misfit.previous, link["day"], other) == link["hash"]:
            return "reordered", misfit.record_id, f"In its place was the record {other['id']}."
    following = await connection.fetchrow(_LINK, misfit.seq + 1)
    after = await connection.fetchrow(_RECORD, following["record_id"]) if following else None
    if following and after and link_hash(misfit.previous, following["day"], after) == following["hash"]:
        if link_hash(following["hash"], link["day"], found) == link["hash"]:
            return "reordered", misfit.record_id, f"Its place was after the record {after['id']}."
        return "inserted", misfit.record_id, "This record was put into the chain later."
    return (
        "changed",
        misfit.record_id,
        "It is not as it was sealed, or one before it was taken out of the chain.",
    )
