"""What a batch comes to: the highest revision wins, in any order of arrival."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from domain.search import DeleteDocument, IndexOperation, UpdateDocument
from stores.search.batch import Batch, Indexed, settle
from tests.contract.conformance.letters import Letter, letter
from tests.contract.conformance.search_steps import update

ONE = letter("fever", title="Old title", revision=5, version=2)


def after(batch: Batch) -> Indexed:
    (change,) = batch.changes
    return change.after


def versions(revision: int) -> Letter:
    return letter(f"text{revision}", id=ONE.id, version=revision, revision=revision)


@given(st.permutations([versions(r).put for r in range(1, 4)] + [DeleteDocument(ONE.id, r) for r in (4, 5)]))
def test_a_deletion_with_the_highest_revision_wins_in_any_order(operations: list[IndexOperation]) -> None:
    assert after(settle(operations, {})) == Indexed(5, None)


def test_puts_in_any_order_end_in_the_newest() -> None:
    for operations in permutations([versions(r).put for r in (1, 2, 3)]):
        batch = settle(operations, {})
        assert after(batch).revision == 3
        assert [one.text for one in batch.changes[0].passages or ()] == ["text3"]
        assert len(batch.stale) == sum(
            any(o.root.revision > p.root.revision for o in operations[:i]) for i, p in enumerate(operations)
        )


def test_what_the_index_holds_wins_over_a_late_operation() -> None:
    known = {ONE.id: Indexed(6, ONE.put.root, 1)}
    for late in (ONE.put, update(ONE, revision=5), DeleteDocument(ONE.id, 5)):
        assert settle([late], known) == Batch((), (ONE.id,))


def test_the_same_revision_is_written_again() -> None:
    known = {ONE.id: Indexed(5, ONE.put.root, 1)}
    assert after(settle([ONE.put], known)) == known[ONE.id]


def test_a_deleted_document_is_not_brought_back_by_its_own_revision() -> None:
    assert settle([ONE.put], {ONE.id: Indexed(5, None)}).stale == (ONE.id,)


def test_an_update_keeps_text_and_passages() -> None:
    known = {ONE.id: Indexed(5, ONE.put.root, 7)}
    (change,) = settle(
        [update(ONE, revision=6, title="New", title_stems="new", access=("user:x",))], known
    ).changes
    assert change.passages is None
    assert change.after.passages == 7
    assert change.after.root is not None
    assert (change.after.root.stems, change.after.root.title_stems) == ("new fever", 1)
    assert (change.after.root.title, change.after.root.access, change.after.root.version) == (
        "New",
        ("user:x",),
        2,
    )


def test_an_update_of_a_newer_version_leaves_the_older_to_nobody() -> None:
    known = {ONE.id: Indexed(5, ONE.put.root, 7)}
    for version, access in ((2, ("user:anna",)), (3, ())):
        (change,) = settle([update(ONE, revision=6, version=version)], known).changes
        assert change.after.root is not None
        assert (change.after.root.access, change.after.root.version, change.passages) == (access, 2, None)


def test_an_update_without_stems_keeps_the_words_of_the_title() -> None:
    known = {ONE.id: Indexed(5, ONE.put.root, 1)}
    root = after(settle([update(ONE, revision=6, title="New")], known)).root
    assert root is not None
    assert root.stems == ONE.put.root.stems


def test_an_update_behind_a_put_keeps_the_passages_of_the_put() -> None:
    (change,) = settle([ONE.put, update(ONE, revision=6, access=("user:x",))], {}).changes
    assert [one.text for one in change.passages or ()] == ["fever"]
    assert change.after.revision == 6


def test_an_update_of_nothing_changes_nothing() -> None:
    operation: UpdateDocument = update(ONE, revision=9)
    for known in ({}, {ONE.id: Indexed(5, None)}):
        assert settle([operation], known) == Batch((), ())
