"""Frozen windows in the real `search_db`: whole, their account's own, for a time."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from domain.errors import Gone
from domain.events import Event, EventType
from domain.ids import new_id
from domain.windows import Place, Window, WindowEntry
from stores.postgres import Postgres
from stores.windows import KEPT_PER_ACCOUNT, PostgresWindows, packed, unpacked

ENTRIES = (
    WindowEntry(new_id(), 3, 0.75, 0.5, Place(1, 1.0), Place(4, 0.625), 17),
    WindowEntry(new_id(), 1, 0.25, 1.0, Place(2, 0.5), None, None),
    WindowEntry(new_id(), 1, 0.125, 0.8125, None, Place(1, 1.0), 0),
)


def window(account: str = "anna", **changes: object) -> Window:
    return replace(Window(new_id(), account, 12, ("lexical", "semantic"), ENTRIES), **changes)  # type: ignore[arg-type]


def performed() -> Event:
    return Event(EventType.SEARCH_PERFORMED, str(new_id()), {"hits": 2}, "/medsearch/search")


def test_entries_survive_packing() -> None:
    assert unpacked(packed(ENTRIES)) == ENTRIES
    assert len(packed(ENTRIES)) == 48 * len(ENTRIES)
    assert unpacked(b"") == ()


async def test_a_window_comes_back_whole(db: Postgres) -> None:
    windows = PostgresWindows(db, seconds=900)
    kept = window()
    await windows.answered(performed(), kept)
    assert await windows.read(kept.id, "anna") == kept


async def test_a_window_is_its_accounts_own(db: Postgres) -> None:
    windows = PostgresWindows(db, seconds=900)
    kept = window()
    await windows.answered(performed(), kept)
    for window_id, account in ((kept.id, "bert"), (new_id(), "anna")):
        with pytest.raises(Gone) as gone:
            await windows.read(window_id, account)
        assert gone.value.code == "search.cursor_expired"


async def test_a_window_ends_and_is_cleared_away(db: Postgres, owner: asyncpg.Connection) -> None:
    windows = PostgresWindows(db, seconds=900)
    old = window()
    await windows.answered(performed(), old)
    await owner.execute("UPDATE search_window SET expires_at = now() - interval '1 second'")
    with pytest.raises(Gone):
        await windows.read(old.id, "anna")
    await windows.answered(performed(), window("bert"))
    assert await owner.fetchval("SELECT count(*) FROM search_window") == 1


async def test_an_account_keeps_its_newest_windows(db: Postgres, owner: asyncpg.Connection) -> None:
    windows = PostgresWindows(db, seconds=900)
    other = window("bert")
    await windows.answered(performed(), other)
    kept = [window() for _ in range(KEPT_PER_ACCOUNT + 3)]
    for one in kept:
        await windows.answered(performed(), one)
    rows: list[UUID] = [
        row["id"] for row in await owner.fetch("SELECT id FROM search_window WHERE account = 'anna'")
    ]
    assert sorted(rows) == [one.id for one in kept[3:]]
    assert await windows.read(other.id, "bert") == other


async def test_window_and_event_are_one_transaction(db: Postgres, owner: asyncpg.Connection) -> None:
    windows = PostgresWindows(db, seconds=900)
    event, kept = performed(), window()
    await windows.answered(event, kept)
    with pytest.raises(asyncpg.UniqueViolationError):
        await windows.answered(event, window())
    assert await owner.fetchval("SELECT count(*) FROM search_window") == 1
    body = await owner.fetchval("SELECT body FROM outbox WHERE id = $1", event.id)
    assert body["type"] == "search.performed"
    await windows.answered(performed(), None)
    assert await owner.fetchval("SELECT count(*) FROM search_window") == 1
    assert await owner.fetchval("SELECT count(*) FROM outbox") == 2
