"""What is written to a search index, and in which order it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.errors import NotFound
from domain.ids import new_id
from domain.search import DeleteDocument, Filters, StoredRoot
from stores.ports import SearchIndex
from tests.contract.conformance.letters import (
    ANNA,
    BERT,
    PNEUMONIA,
    Letter,
    Part,
    direction,
    everything,
    letter,
    words,
)
from tests.contract.conformance.search_steps import AFFIRMED, found, live, put, update


class WritingConformance:
    """What is written, and in which order it counts."""

    async def test_a_late_revision_loses(self, index: SearchIndex) -> None:
        name = await live(index)
        new = letter("second", revision=5, version=2)
        await put(index, new)
        old = replace(letter("first"), id=new.id)
        late = [
            replace(old, revision=4).put,
            update(new, revision=4, access=("user:bert",)),
            DeleteDocument(new.id, 4),
        ]
        for operation in late:
            report = await index.write(name, [operation])
            assert (report.applied, report.stale) == (0, (new.id,))
        assert await found(index, words("second")) == {new.id}
        assert await found(index, words("first")) == set()

    async def test_a_deleted_document_does_not_come_back(self, index: SearchIndex) -> None:
        name = await live(index)
        gone = letter("fever", "cough", revision=3)
        await put(index, gone)
        await index.write(name, [DeleteDocument(gone.id, 4)])
        for revision in (3, 4):
            report = await index.write(name, [replace(gone, revision=revision).put])
            assert report.stale == (gone.id,)
        assert (await index.write(name, [update(gone, revision=5)])).stale == ()
        assert await self._traces(index, gone) == (set(), set(), [], {}, 0)

    async def test_a_deletion_before_the_document_counts(self, index: SearchIndex) -> None:
        early = letter("fever", revision=2)
        await index.write(await live(index), [DeleteDocument(early.id, 3)])
        assert (await index.write(await live(index), [early.put])).stale == (early.id,)
        assert await found(index, everything()) == set()

    async def test_repeating_a_batch_changes_nothing(self, index: SearchIndex) -> None:
        one, other = letter("fever", "cough"), letter("fever")
        batch = [one.put, other.put, update(other, revision=2, title="New"), DeleteDocument(new_id(), 1)]
        name = await live(index)
        first = await index.write(name, batch)
        before = await self._traces(index, one)
        again = await index.write(name, batch[2:])
        assert first.applied == 4
        assert again.applied == 2
        assert (await index.write(name, [one.put])).applied == 1
        assert await self._traces(index, one) == before
        assert await index.visible_passages(ANNA) == 3

    async def test_the_highest_revision_of_one_batch_wins(self, index: SearchIndex) -> None:
        one = letter("first", version=1, revision=1)
        newer = replace(letter("third", version=2, revision=3), id=one.id)
        batch = [newer.put, one.put, update(newer, revision=4, access=("user:bert",))]
        report = await index.write(await live(index), batch)
        assert (report.applied, report.stale) == (2, (one.id,))
        assert await found(index, words("third"), BERT) == {one.id}
        assert await found(index, everything()) == set()

    async def test_a_new_version_replaces_the_former_whole(self, index: SearchIndex) -> None:
        old = Letter([Part("alpha", vector=direction(1)), Part("beta", vector=direction(0, 1))])
        new = replace(old, version=2, revision=2, parts=[Part("gamma", vector=direction(0, 0, 1))])
        await put(index, old)
        await put(index, new)
        assert await found(index, words("alpha")) == set()
        near = await index.semantic(direction(1), ANNA, filters=Filters(), limit=5)
        assert [(hit.document_id, hit.version, hit.revision, hit.ordinal) for hit in near] == [
            (old.id, 2, 2, 0)
        ]
        assert near[0].similarity == pytest.approx(0, abs=0.01)
        shown = await index.passages(everything(), ANNA, documents=[old.id], ordinals={old.id: [0, 1]})
        assert [(one.version, one.text) for one in shown[old.id]] == [(2, "gamma")]
        assert await index.visible_passages(ANNA) == 1

    async def test_a_shorter_text_of_the_same_version_leaves_nothing_behind(self, index: SearchIndex) -> None:
        long = letter("a", "b", "c")
        await put(index, long)
        await put(index, replace(long, revision=2, parts=long.parts[:1]))
        shown = await index.passages(everything(), ANNA, documents=[long.id], ordinals={long.id: [1, 2]})
        assert [one.text for one in shown[long.id]] == ["a"]
        await put(index, replace(long, revision=3))
        shown = await index.passages(everything(), ANNA, documents=[long.id], ordinals={})
        assert [one.text for one in shown[long.id]] == ["a", "b", "c"]

    async def test_an_update_changes_access_and_metadata_but_not_the_text(self, index: SearchIndex) -> None:
        one = Letter(
            [Part("fever", "plan", [(PNEUMONIA, AFFIRMED)], direction(1))], title="Old name", department="a"
        )
        await put(index, one)
        changed = update(
            one,
            revision=2,
            access=("user:bert",),
            title="New name",
            title_stems="new name",
            document_type="referral",
            department="b",
            patient="H|9",
            date=date(2022, 2, 2),
        )
        await index.write(await live(index), [changed])
        assert await found(index, everything()) == set()
        assert await index.semantic(direction(1), ANNA, filters=Filters(), limit=5) == []
        every = Filters(("referral",), ("b",), "H|9", date(2022, 2, 2), date(2022, 2, 2), ("plan",))
        assert await found(index, words("fever", filters=every), BERT) == {one.id}
        near = await index.semantic(direction(1), BERT, filters=every, limit=5)
        assert [(hit.version, hit.revision) for hit in near] == [(1, 2)]
        assert near[0].similarity == pytest.approx(1, abs=0.01)
        assert await found(index, words("new"), BERT) == {one.id}
        assert await found(index, words("old"), BERT) == set()
        root = StoredRoot(one.id, 1, 2, "New name", "referral", "H|9", date(2022, 2, 2))
        assert await index.roots([one.id], BERT) == [root]
        counts = await index.facets(everything(), BERT, facets=["department", "concept", "year"])
        assert [counts[name][0].value for name in ("department", "concept", "year")] == [
            "b",
            "ICD10CM:J18.9#affirmed",
            "2022",
        ]
        shown = await index.passages(words("fever"), BERT, documents=[one.id], ordinals={})
        assert shown[one.id][0].text == "fever"

    async def test_an_update_of_an_unknown_document_does_nothing(self, index: SearchIndex) -> None:
        one = letter("fever", revision=1)
        report = await index.write(await live(index), [update(one, revision=2)])
        assert report.stale == ()
        await put(index, one)
        assert await found(index, words("fever")) == {one.id}

    async def test_a_replaced_version_is_in_no_number_before_the_new_one_comes(
        self, index: SearchIndex
    ) -> None:
        name = await live(index)
        old = Letter([Part("fever", "plan", [(PNEUMONIA, AFFIRMED)], direction(1))])
        new = replace(old, version=2, revision=2, parts=[Part("cough")])
        await put(index, old, letter("fever"))
        await index.write(name, [update(new, revision=2)])
        await index.write(name, [update(new, revision=3, access=("user:anna", "user:bert"))])
        for access, others in ((ANNA, 1), (BERT, 0)):
            assert (await index.lexical(everything(), access, limit=5)).total == others
            assert len(await index.semantic(direction(1), access, filters=Filters(), limit=5)) == others
            assert await index.visible_passages(access) == others
            counts = await index.facets(everything(), access, facets=["concept"], also=[old.id])
            assert counts == {"concept": []}
        await put(index, replace(new, revision=3))
        assert await found(index, words("cough")) == {new.id}

    async def test_empty_batches_and_documents_without_text(self, index: SearchIndex) -> None:
        assert (await index.write(await live(index), [])).applied == 0
        blank = Letter([], title="Scan")
        await put(index, blank)
        assert await found(index, words("scan")) == {blank.id}
        assert await index.passages(words("scan"), ANNA, documents=[blank.id], ordinals={}) == {blank.id: []}

    async def test_writing_to_an_unknown_generation_is_refused(self, index: SearchIndex) -> None:
        with pytest.raises(NotFound):
            await index.write("nowhere", [letter("x").put])

    async def _traces(self, index: SearchIndex, one: Letter) -> tuple[object, ...]:
        near = await index.semantic(direction(1), ANNA, filters=Filters(), limit=5)
        return (
            await found(index, everything()),
            {(hit.document_id, hit.version) for hit in near},
            await index.roots([one.id], ANNA),
            await index.passages(everything(), ANNA, documents=[one.id], ordinals={one.id: [0]}),
            await index.visible_passages(ANNA),
        )
