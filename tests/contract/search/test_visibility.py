"""What search may show, in the real `search_db`: rows only rise; revocations hold before the index follows."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from domain.access import Sensitivity
from domain.documents import DocumentState
from domain.events import Event, EventType, LoggedEvent, Position
from domain.ids import new_id
from stores.postgres import Postgres
from stores.visibility import PostgresVisibility, Visible, raise_visibility, visibility_subscription

ANNA = "user:anna"
BERT = "user:bert"


@pytest.fixture
def visibility(db: Postgres) -> PostgresVisibility:
    return PostgresVisibility(db)


def row(document_id: UUID, revision: int, *, version: int = 1, access: tuple[str, ...] = (ANNA,)) -> Visible:
    return Visible(document_id, version, revision, access)


async def test_a_document_is_visible_in_its_version_to_those_on_its_list(
    visibility: PostgresVisibility,
) -> None:
    one, other, unknown = new_id(), new_id(), new_id()
    await visibility.raise_to([row(one, 1), row(other, 4, version=2, access=(BERT, ANNA))])
    asked = {one: 1, other: 1, unknown: 1}
    assert await visibility.visible(asked, [ANNA, "role:doctor"]) == {one}
    assert await visibility.visible({one: 1, other: 2}, [BERT]) == {other}
    assert await visibility.visible({one: 1, other: 2}, []) == frozenset()
    assert await visibility.visible({}, [ANNA]) == frozenset()


async def test_what_is_deleted_is_not_visible(visibility: PostgresVisibility) -> None:
    one = new_id()
    await visibility.raise_to([row(one, 1)])
    await visibility.raise_to([replace(row(one, 2), deleted=True)])
    assert await visibility.visible({one: 1}, [ANNA]) == frozenset()


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_the_highest_revision_wins_in_any_order(
    visibility: PostgresVisibility, order: tuple[int, ...]
) -> None:
    one = new_id()
    access = {1: (ANNA,), 2: (BERT,), 3: (ANNA, BERT)}
    for revision in order:
        await visibility.raise_to([row(one, revision, version=revision, access=access[revision])])
    assert await visibility.visible({one: 3}, [BERT]) == {one}
    assert await visibility.visible({one: 1}, [ANNA]) == frozenset()


async def test_writers_in_opposite_orders_do_not_block_each_other(
    db: Postgres, visibility: PostgresVisibility
) -> None:
    one, other = sorted([new_id(), new_id()])
    async with db.transaction() as subscriber:
        await raise_visibility(subscriber, [row(other, 1)])
        writer = asyncio.create_task(visibility.raise_to([row(one, 2), row(other, 2)]))
        await asyncio.sleep(0.3)
        await raise_visibility(subscriber, [row(one, 1)])
    await writer
    assert await visibility.visible({one: 1, other: 1}, [ANNA]) == {one, other}


async def test_an_equal_revision_changes_nothing(visibility: PostgresVisibility) -> None:
    one = new_id()
    await visibility.raise_to([row(one, 2)])
    await visibility.raise_to([row(one, 2, access=(BERT,))])
    assert await visibility.visible({one: 1}, [BERT]) == frozenset()


class Directory:
    """The document service's published view, as a dictionary."""

    def __init__(self, *states: DocumentState) -> None:
        self.states = {state.document_id: state for state in states}

    async def state(self, document_id: UUID) -> DocumentState | None:
        return self.states.get(document_id)


def state(**changes: object) -> DocumentState:
    base = DocumentState(
        new_id(), 1, 1, False, "a.pdf", "A", "other", date(2024, 1, 1), None, None, new_id(),
        Sensitivity.NORMAL,
        frozenset({ANNA, "department:icu"}),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def logged(kind: EventType, subject: UUID, offset: int, **data: object) -> LoggedEvent:
    event = Event(kind, str(subject), {"document_id": str(subject), **data}, "/medsearch/documents")
    return LoggedEvent(event, Position(kind.topic, 0, offset))


async def test_the_first_version_waits_for_the_index(db: Postgres, visibility: PostgresVisibility) -> None:
    one = state()
    subscription = visibility_subscription(db, Directory(one))
    await subscription.handle(
        [logged(EventType.DOCUMENT_UPLOADED, one.document_id, 1, version=1, revision=1)]
    )
    assert await visibility.visible({one.document_id: 1}, [ANNA]) == frozenset()


async def test_a_new_version_hides_the_old_one(db: Postgres, visibility: PostgresVisibility) -> None:
    one = state(version=2, revision=2)
    await visibility.raise_to([row(one.document_id, 1)])
    event = logged(EventType.DOCUMENT_UPLOADED, one.document_id, 1, version=2, revision=2)
    await visibility_subscription(db, Directory(one)).handle([event])
    assert await visibility.visible({one.document_id: 1}, [ANNA]) == frozenset()
    assert await visibility.visible({one.document_id: 2}, [ANNA]) == {one.document_id}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"access_list": frozenset({BERT})}, set()),
        ({"sensitivity": Sensitivity.RESTRICTED}, {"anna"}),
        ({}, {"anna", "icu"}),
    ],
)
async def test_access_changes_hold_at_once(
    db: Postgres, visibility: PostgresVisibility, change: dict[str, object], seen: set[str]
) -> None:
    one = state(revision=2, **change)
    await visibility.raise_to([row(one.document_id, 1)])
    event = logged(EventType.DOCUMENT_ACCESS_CHANGED, one.document_id, 1, revision=2)
    await visibility_subscription(db, Directory(one)).handle([event])
    callers = {"anna": ANNA, "icu": "department:icu"}
    shown = {
        name
        for name, principal in callers.items()
        if await visibility.visible({one.document_id: 1}, [principal])
    }
    assert shown == seen


@pytest.mark.parametrize("known", [True, False])
async def test_a_deletion_holds_at_once(db: Postgres, visibility: PostgresVisibility, known: bool) -> None:
    one = state(revision=3, deleted=True)
    await visibility.raise_to([row(one.document_id, 2)])
    directory = Directory(one) if known else Directory()
    event = logged(EventType.DOCUMENT_DELETED, one.document_id, 1, revision=3)
    await visibility_subscription(db, directory).handle([event])
    await visibility.raise_to([row(one.document_id, 2)])
    assert await visibility.visible({one.document_id: 1}, [ANNA]) == frozenset()


async def test_a_late_event_lowers_nothing(db: Postgres, visibility: PostgresVisibility) -> None:
    one = state(revision=2)
    await visibility.raise_to([row(one.document_id, 5, version=3)])
    event = logged(EventType.DOCUMENT_ACCESS_CHANGED, one.document_id, 1, revision=2)
    await visibility_subscription(db, Directory(one)).handle([event])
    assert await visibility.visible({one.document_id: 3}, [ANNA]) == {one.document_id}
