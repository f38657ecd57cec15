"""What every search index must do, whatever it is made of. Ranks are compared, never scores.

A subclass provides the fixtures `index`, whose live generation is empty, and `reader`, another process's view of
the same index.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from domain.access import effective_principals, may_read
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.search import (
    AccessFilter,
    Clause,
    DeleteDocument,
    EntityFilter,
    FacetCount,
    Filters,
    Generation,
    GenerationState,
    LexicalQuery,
    Occur,
    SortKey,
    StoredRoot,
    UpdateDocument,
)
from domain.text import Assertion, AssertionLabel
from stores.ports import SearchIndex
from tests.access_cases import MINE, POLICY, reading, single_accesses
from tests.contract.conformance.crowd import Crowd
from tests.contract.conformance.letters import (
    ANNA,
    ASTHMA,
    BERT,
    DIMENSION,
    FAMILY,
    NEGATED,
    NOBODY,
    PNEUMONIA,
    Letter,
    Part,
    direction,
    everything,
    letter,
    phrase,
    words,
)

AFFIRMED = Assertion()


def generation(name: str) -> Generation:
    return Generation(name, "seeded@1", DIMENSION, "1", source="/models/seeded")


async def live(index: SearchIndex) -> str:
    return next(one.name for one in await index.generations() if one.state is GenerationState.LIVE)


async def put(index: SearchIndex, *letters: Letter) -> None:
    report = await index.write(await live(index), [one.put for one in letters])
    assert report.applied == len(letters)
    assert not report.stale


async def found(index: SearchIndex, query: LexicalQuery, access=ANNA) -> set[UUID]:
    result = await index.lexical(query, access, limit=50)
    ids = [hit.document_id for hit in result.hits]
    assert len(ids) == len(set(ids)) == result.total
    return set(ids)


class WordsConformance:
    """What words find."""

    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("Recurrent pneumonias were seen.", "pneumonia"),
            ("MÉNIÈRE disease", "meniere"),
            ("HbA1c of 7.5%", "hba1c 7.5"),
            ("Tested for COVID-19.", "covid 19"),
            ("Given 10mg of it", "10 mg"),
            ("A 2/6 murmur", "2/6"),
            ("β-blocker stopped", "beta blockers"),
        ],
    )
    async def test_analysed_words_are_found(self, index: SearchIndex, text: str, query: str) -> None:
        wanted = letter(text)
        await put(index, wanted, letter("nothing of that kind"))
        assert await found(index, words(query)) == {wanted.id}

    async def test_a_phrase_needs_its_words_in_a_row(self, index: SearchIndex) -> None:
        wanted = letter("There was a large pleural effusion.")
        await put(index, wanted, letter("effusion, pleural thickening"), letter("pleural", "effusion"))
        assert wanted.id in await found(index, phrase("pleural effusion"))
        assert await found(index, phrase("large pleural effusion")) == {wanted.id}

    async def test_the_title_is_searched(self, index: SearchIndex) -> None:
        wanted = letter("text", title="Echocardiography")
        await put(index, wanted, letter("other"))
        assert await found(index, words("echocardiography")) == {wanted.id}

    async def test_clauses_are_required_optional_or_excluded(self, index: SearchIndex) -> None:
        fever, cough, both = letter("fever"), letter("cough"), letter("fever and cough")
        await put(index, fever, cough, both)
        assert await found(index, words("fever cough")) == {both.id}
        assert await found(index, words("fever cough", Occur.SHOULD)) == {fever.id, cough.id, both.id}
        either = words("fever cough", Occur.SHOULD)
        assert await found(index, replace(either, minimum=2)) == {both.id}
        without = LexicalQuery((*words("fever").clauses, *words("cough", Occur.MUST_NOT).clauses))
        assert await found(index, without) == {fever.id}
        assert await found(index, words("cough", Occur.MUST_NOT)) == {fever.id}
        assert await found(index, everything()) == {fever.id, cough.id, both.id}

    async def test_required_and_optional_clauses_must_both_be_met(self, index: SearchIndex) -> None:
        fever, both = letter("fever"), letter("fever and cough")
        await put(index, fever, both)
        mixed = LexicalQuery((*words("fever").clauses, *words("cough rash", Occur.SHOULD).clauses))
        assert await found(index, mixed) == {both.id}

    async def test_alternatives_count_as_the_clause_itself(self, index: SearchIndex) -> None:
        short, long = letter("MI in 2019"), letter("a myocardial infarction in 2019")
        await put(index, short, long, letter("infarction, not myocardial"))
        query = LexicalQuery((Clause(("mi",), Occur.MUST, alternatives=(("myocardi", "infarct"),)),))
        assert await found(index, query) == {short.id, long.id}

    async def test_more_and_rarer_words_rank_higher(self, index: SearchIndex) -> None:
        rare, twice, once = (
            letter("asthma cough today"),
            letter("cough cough today"),
            letter("cough today again"),
        )
        await put(index, once, twice, rare, *(letter(f"cough filler {n}") for n in range(5)))
        result = await index.lexical(words("cough asthma", Occur.SHOULD), ANNA, limit=3)
        assert [hit.document_id for hit in result.hits[:2]] == [rare.id, twice.id]
        assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)

    async def test_a_boosted_clause_weighs_more(self, index: SearchIndex) -> None:
        one, other = letter("alpha filler"), letter("gamma filler")
        await put(index, one, other)
        for boosted, first in (("alpha", one), ("gamma", other)):
            clauses = tuple(
                Clause((stem,), boost=3.0 if stem == boosted else 1.0) for stem in ("alpha", "gamma")
            )
            result = await index.lexical(LexicalQuery(clauses), ANNA, limit=2)
            assert result.hits[0].document_id == first.id

    async def test_within_restricts_to_the_given_documents(self, index: SearchIndex) -> None:
        one, other = letter("fever"), letter("fever")
        await put(index, one, other)
        assert await found(index, replace(words("fever"), within=frozenset({other.id}))) == {other.id}
        assert await found(index, replace(everything(), within=frozenset())) == set()


class FiltersConformance:
    """What filters select."""

    async def test_fields(self, index: SearchIndex) -> None:
        old = letter(
            "x", document_type="radiology", department="cardiology", patient="H|1", date=date(2019, 5, 1)
        )
        new = letter(
            "x", document_type="referral", department="surgery", patient="H|2", date=date(2024, 5, 1)
        )
        bare = letter("x")
        await put(index, old, new, bare)
        for filters, expected in (
            (Filters(document_type=("radiology",)), {old.id}),
            (Filters(document_type=("radiology", "referral")), {old.id, new.id}),
            (Filters(department=("surgery",)), {new.id}),
            (Filters(patient="H|1"), {old.id}),
            (Filters(date_from=date(2019, 5, 1), date_to=date(2019, 5, 1)), {old.id}),
            (Filters(date_from=date(2019, 5, 2)), {new.id}),
            (Filters(date_to=date(2024, 5, 1)), {old.id, new.id}),
            (Filters(patient="H|1", department=("surgery",)), set()),
        ):
            assert await found(index, everything(filters)) == expected
            assert await found(index, words("x", filters=filters)) == expected
            near = await index.semantic(direction(1), ANNA, filters=filters, limit=10)
            assert {hit.document_id for hit in near} == expected

    async def test_entities_by_assertion_and_section(self, index: SearchIndex) -> None:
        has = Letter([Part("Pneumonia.", "impression", [(PNEUMONIA, AFFIRMED)])])
        hasnt = Letter([Part("No pneumonia.", "impression", [(PNEUMONIA, NEGATED)])])
        mother = Letter(
            [Part("Mother had pneumonia.", "family_history", [(PNEUMONIA, FAMILY), (ASTHMA, AFFIRMED)])]
        )
        await put(index, has, hasnt, mother)
        code, affirmed = PNEUMONIA.code, AssertionLabel.AFFIRMED
        anything = EntityFilter(code)
        for filters, expected in (
            (Filters(entities=(EntityFilter(code, (affirmed,)),)), {has.id}),
            (Filters(entities=(EntityFilter(code, (affirmed, AssertionLabel.NEGATED)),)), {has.id, hasnt.id}),
            (Filters(entities=(anything,)), {has.id, hasnt.id, mother.id}),
            (Filters(entities=(anything, EntityFilter(ASTHMA.code))), {mother.id}),
            (
                Filters(entities=(EntityFilter("MESH:D0", (affirmed,), (code, ASTHMA.code)),)),
                {has.id, mother.id},
            ),
            (Filters(entities=(anything,), section=("impression",)), {has.id, hasnt.id}),
            (
                Filters(entities=(anything,), section=("impression", "family_history")),
                {has.id, hasnt.id, mother.id},
            ),
            (Filters(section=("family_history",)), {mother.id}),
            (Filters(entities=(EntityFilter(code, without=(affirmed,)),)), {hasnt.id, mother.id}),
            (
                Filters(any_entity=(EntityFilter(code, (affirmed,)), EntityFilter(ASTHMA.code))),
                {has.id, mother.id},
            ),
            (
                Filters(any_entity=(EntityFilter(code, without=(affirmed,)), EntityFilter("MESH:D0"))),
                {hasnt.id, mother.id},
            ),
            (
                Filters(
                    any_entity=(EntityFilter("MESH:D0", (), (code,), (affirmed, AssertionLabel.FAMILY)),)
                ),
                {hasnt.id},
            ),
            (
                Filters(any_entity=(EntityFilter(code, without=(affirmed,)),), section=("impression",)),
                {hasnt.id},
            ),
        ):
            assert await found(index, everything(filters)) == expected

    async def test_words_and_phrases_within_a_section(self, index: SearchIndex) -> None:
        inside = Letter([Part("left lower lobe", "findings"), Part("normal", "impression")])
        outside = Letter([Part("normal", "findings"), Part("left lower lobe", "impression")])
        spread = Letter([Part("left", "findings"), Part("x", "impression"), Part("lobe lower", "findings")])
        await put(index, inside, outside, spread)
        here = Filters(section=("findings",))
        assert await found(index, words("left lobe", filters=here)) == {inside.id, spread.id}
        assert await found(index, phrase("lower lobe", here)) == {inside.id}
        both = Filters(section=("findings", "impression"))
        assert await found(index, phrase("lower lobe", both)) == {inside.id, outside.id}
        assert await found(index, words("normal", Occur.MUST_NOT, here)) == {inside.id, spread.id}


class AccessConformance:
    """Who sees what."""

    async def test_a_question_without_access_is_refused(self, index: SearchIndex) -> None:
        vector = direction(1)
        for access in (None, frozenset({"user:anna"}), "user:anna"):
            for question in (
                lambda access: index.lexical(everything(), access, limit=1),
                lambda access: index.semantic(vector, access, filters=Filters(), limit=1),
                lambda access: index.facets(everything(), access, facets=["year"]),
                lambda access: index.roots([new_id()], access),
                lambda access: index.passages(everything(), access, documents=[new_id()], ordinals={}),
                index.visible_passages,
            ):
                with pytest.raises(TypeError):
                    await question(access)

    async def test_nothing_is_shown_to_others(self, index: SearchIndex) -> None:
        mine = letter("fever", "cough")
        await put(index, mine)
        for access in (NOBODY, BERT):
            assert await found(index, words("fever"), access) == set()
            assert await index.semantic(direction(1), access, filters=Filters(), limit=5) == []
            assert await index.facets(everything(), access, facets=["document_type"], also=[mine.id]) == {
                "document_type": []
            }
            assert await index.roots([mine.id], access) == []
            assert (
                await index.passages(words("fever"), access, documents=[mine.id], ordinals={mine.id: [0]})
                == {}
            )
            assert await index.visible_passages(access) == 0
        assert await index.visible_passages(ANNA) == 2

    async def test_one_common_principal_is_enough(self, index: SearchIndex) -> None:
        shared = letter("fever", access=("department:surgery", "user:carla"))
        await put(index, shared)
        assert await found(index, words("fever"), BERT) == {shared.id}

    async def test_the_filter_is_the_decision_in_every_role(self, index: SearchIndex) -> None:
        accesses = single_accesses()
        letters = [letter("fever", access=sorted(effective_principals(one))) for one in accesses]
        await put(index, *letters)
        for role in POLICY.roles:
            principals = reading(role, MINE)
            allowed = {
                one.id for one, access in zip(letters, accesses, strict=True) if may_read(principals, access)
            }
            assert await found(index, words("fever"), AccessFilter(principals)) == allowed, role

    async def test_hidden_documents_change_no_count(self, index: SearchIndex) -> None:
        own = [
            Letter([Part("fever today", "findings", [(PNEUMONIA, AFFIRMED)])], date=date(2020 + n % 2, 1, 1))
            for n in range(4)
        ]
        await put(index, *own)
        facets = ["concept", "document_type", "department", "year", "section"]
        before = await self._answers(index, facets)
        hidden = [replace(one, id=new_id(), access=("user:bert",), document_type="referral") for one in own]
        await put(index, *hidden)
        assert await self._answers(index, facets) == before

    async def _answers(self, index: SearchIndex, facets: Sequence[str]) -> object:
        result = await index.lexical(words("fever"), ANNA, limit=10)
        near = await index.semantic(direction(1), ANNA, filters=Filters(), limit=10)
        counts = await index.facets(words("fever"), ANNA, facets=facets)
        return (
            result.total,
            {hit.document_id for hit in result.hits},
            [(hit.document_id, hit.ordinal) for hit in near],
            counts,
            await index.visible_passages(ANNA),
        )


class CrowdConformance:
    """Callers who see 0.1, 5 and 50 % of many documents."""

    async def test_recall_counts_and_pages_under_access(self, index: SearchIndex) -> None:
        crowd = Crowd.seeded(documents=2_000)
        await crowd.fill(index, await live(index))
        for share in crowd.shares:
            access, mine = crowd.caller(share)
            assert await index.visible_passages(access) == 2 * len(mine)
            result = await index.lexical(words("common"), access, limit=1_000)
            assert {hit.document_id for hit in result.hits} == mine
            assert result.total == len(mine)
            counts = await index.facets(words("common"), access, facets=["document_type"])
            assert sum(one.count for one in counts["document_type"]) == len(mine)
            assert await crowd.recall(index, access, mine, limit=50) >= 0.95


class FacetsConformance:
    """Counts are of documents."""

    async def test_documents_are_counted_once(self, index: SearchIndex) -> None:
        often = Letter(
            [
                Part("fever", "findings", [(PNEUMONIA, AFFIRMED)]),
                Part("a", "findings", [(PNEUMONIA, AFFIRMED)]),
            ]
        )
        mixed = Letter(
            [Part("fever", "impression", [(PNEUMONIA, NEGATED), (PNEUMONIA, AFFIRMED), (ASTHMA, FAMILY)])]
        )
        other = Letter(
            [Part("cough", "plan", [(ASTHMA, FAMILY)])], document_type="radiology", date=date(2020, 1, 1)
        )
        await put(index, often, mixed, other)
        counts = await index.facets(
            words("fever"), ANNA, facets=["concept", "section", "document_type", "year"]
        )
        assert counts["concept"] == [
            FacetCount("ICD10CM:J18.9#affirmed", 2, PNEUMONIA.label),
            FacetCount("HP:0002099#family", 1, ASTHMA.label),
            FacetCount("ICD10CM:J18.9#negated", 1, PNEUMONIA.label),
        ]
        assert counts["section"] == [FacetCount("findings", 1), FacetCount("impression", 1)]
        assert counts["document_type"] == [FacetCount("clinic_note", 2)]
        assert counts["year"] == []

    async def test_also_adds_documents_that_are_not_yet_counted(self, index: SearchIndex) -> None:
        one, other = letter("fever", document_type="radiology"), letter("cough", document_type="referral")
        hidden = letter("cough", document_type="referral", access=("user:bert",))
        await put(index, one, other, hidden)
        counts = await index.facets(
            words("fever"), ANNA, facets=["document_type"], also=[one.id, other.id, hidden.id, new_id()]
        )
        assert counts["document_type"] == [FacetCount("radiology", 1), FacetCount("referral", 1)]

    async def test_the_most_frequent_come_first_and_ties_by_value(self, index: SearchIndex) -> None:
        departments = ["d3", "d1", "d2", "d2", "d5", "d4"]
        await put(index, *(letter("x", department=name) for name in departments))
        counts = await index.facets(everything(), ANNA, facets=["department"], size=3)
        assert [(one.value, one.count) for one in counts["department"]] == [("d2", 2), ("d1", 1), ("d3", 1)]

    async def test_years_are_those_of_the_document(self, index: SearchIndex) -> None:
        await put(index, *(letter("x", date=date(year, 12, 31)) for year in (2019, 2021, 2021)))
        counts = await index.facets(everything(), ANNA, facets=["year"])
        assert counts["year"] == [FacetCount("2021", 2), FacetCount("2019", 1)]

    async def test_an_unknown_facet_is_refused(self, index: SearchIndex) -> None:
        with pytest.raises(Invalid):
            await index.facets(everything(), ANNA, facets=["access"])


class OrderConformance:
    """Sorting and paging."""

    async def test_sort_orders(self, index: SearchIndex) -> None:
        first = letter("x", title="b Letter", date=date(2020, 1, 1))
        second = letter("x", title="Ärztlicher  brief", date=date(2021, 1, 1))
        undated = letter("x", title="a letter")
        await put(index, first, second, undated)
        for sort, expected in (
            (SortKey.NEWEST, [second, first, undated]),
            (SortKey.OLDEST, [first, second, undated]),
            (SortKey.TITLE, [undated, second, first]),
        ):
            result = await index.lexical(words("x"), ANNA, limit=5, sort=sort)
            assert [hit.document_id for hit in result.hits] == [one.id for one in expected]

    @pytest.mark.parametrize("sort", SortKey)
    @pytest.mark.parametrize("query", [words("cough fever", Occur.SHOULD), everything()])
    async def test_pages_are_complete_ordered_and_without_repetition(
        self, index: SearchIndex, sort: SortKey, query: LexicalQuery
    ) -> None:
        letters = [
            letter(
                "cough " * (1 + n % 3) + "fever" * (n % 2), title=f"T{n % 4}", date=date(2020, 1, 1 + n % 3)
            )
            for n in range(45)
        ]
        for start in range(0, len(letters), 10):  # several commits: several segments
            await put(index, *letters[start : start + 10])
        whole = await index.lexical(query, ANNA, limit=50, sort=sort)
        assert whole.total == 45
        paged = await self._pages(index, query, sort, 7)
        assert paged == [hit.document_id for hit in whole.hits]
        assert set(paged) == {one.id for one in letters}
        if sort is SortKey.RELEVANCE:
            order = [(-hit.score, hit.document_id) for hit in whole.hits]
            assert order == sorted(order)

    @pytest.mark.parametrize("sort", [SortKey.NEWEST, SortKey.TITLE])
    async def test_changes_between_pages_repeat_and_lose_nothing(
        self, index: SearchIndex, sort: SortKey
    ) -> None:
        letters = [letter("cough", title=f"T{n:02}", date=date(2020, 1, 1 + n)) for n in range(20)]
        await put(index, *letters)
        first = await index.lexical(words("cough"), ANNA, limit=10, sort=sort)
        seen = [hit.document_id for hit in first.hits]
        await put(index, letter("cough", title="T00a", date=date(2020, 1, 30)))
        gone = [letters[0], letters[19]]
        await index.write(await live(index), [DeleteDocument(one.id, 2) for one in gone])
        seen += await self._pages(index, words("cough"), sort, 3, after=first.hits[-1].after)
        assert max(Counter(seen).values()) == 1
        assert {one.id for one in letters} - {one.id for one in gone} <= set(seen)

    async def _pages(
        self, index: SearchIndex, query: LexicalQuery, sort: SortKey, size: int, after: object = None
    ) -> list[UUID]:
        ids: list[UUID] = []
        while True:
            result = await index.lexical(query, ANNA, limit=size, sort=sort, after=after)  # type: ignore[arg-type]
            if not result.hits:
                return ids
            ids += [hit.document_id for hit in result.hits]
            after = list(result.hits[-1].after)  # as it comes back from a cursor


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


class PassagesConformance:
    """What is shown of a document."""

    async def test_what_satisfies_the_filters_comes_first_then_words(self, index: SearchIndex) -> None:
        one = Letter([
            Part("fever fever fever", "plan"),
            Part("no fever seen here", "findings", [(PNEUMONIA, NEGATED)]),
            Part("pneumonia with fever seen here", "findings", [(PNEUMONIA, AFFIRMED)]),
            Part("something else", "findings", [(PNEUMONIA, AFFIRMED)]),
        ])  # fmt: skip
        await put(index, one, letter("fever"), letter("nothing"))
        entity = EntityFilter(PNEUMONIA.code, (AssertionLabel.AFFIRMED,))
        for filters, expected in (
            (Filters(), [0, 1, 2]),
            (Filters(section=("findings",)), [1, 2, 3]),
            (Filters(entities=(entity,)), [2, 3, 0]),
            (Filters(entities=(entity,), section=("findings",)), [2, 3, 0]),
        ):
            shown = await index.passages(
                words("fever", filters=filters), ANNA, documents=[one.id], ordinals={}
            )
            assert [passage.ordinal for passage in shown[one.id]] == expected

    async def test_named_passages_are_included(self, index: SearchIndex) -> None:
        one = letter(*(f"fever number {n}" for n in range(8)), "nothing")
        await put(index, one)
        shown = await index.passages(
            words("fever"), ANNA, documents=[one.id], ordinals={one.id: [8, 99]}, per_document=2
        )
        assert [passage.ordinal for passage in shown[one.id]] == [0, 1, 8]
        assert [passage.score > 0 for passage in shown[one.id]] == [True, True, False]

    async def test_without_words_the_first_ones_are_shown(self, index: SearchIndex) -> None:
        one = letter(*(f"text {n}" for n in range(12)))
        await put(index, one)
        shown = await index.passages(words("fever"), ANNA, documents=[one.id], ordinals={})
        assert [passage.ordinal for passage in shown[one.id]] == [0, 1, 2]

    async def test_a_passage_comes_back_as_it_was_written(self, index: SearchIndex) -> None:
        text = "Mother: Ménière, \U0001d518nicode \x00 and \ud800 too"
        one = Letter(
            [Part(text, "family_history", [(ASTHMA, FAMILY)])], patient="H|1", date=date(2020, 2, 29)
        )
        await put(index, one)
        record = one.put.passages[0]
        shown = (await index.passages(everything(), ANNA, documents=[one.id], ordinals={}))[one.id][0]
        for name in ("ordinal", "page", "section", "start", "end", "text", "mentions"):
            assert getattr(shown, name) == getattr(record, name)
        assert await index.roots([new_id(), one.id], ANNA) == [
            StoredRoot(one.id, 1, 1, "Letter", "clinic_note", "H|1", date(2020, 2, 29))
        ]

    async def test_roots_come_in_the_asked_order(self, index: SearchIndex) -> None:
        letters = [letter("x") for _ in range(5)]
        await put(index, *letters)
        asked = [one.id for one in reversed(letters)]
        assert [root.document_id for root in await index.roots(asked, ANNA)] == asked


class MeaningConformance:
    """What vectors find."""

    async def test_a_document_counts_by_its_nearest_passage(self, index: SearchIndex) -> None:
        far = Letter([Part("a", vector=direction(0.2, 1)), Part("b", vector=direction(0, 1))])
        near = Letter([Part("c", vector=direction(0, 0, 1)), Part("d", vector=direction(1, 0.1))])
        await put(index, far, near)
        hits = await index.semantic(direction(1), ANNA, filters=Filters(), limit=2)
        assert [(hit.document_id, hit.ordinal) for hit in hits] == [(near.id, 1), (far.id, 0)]
        assert hits[0].similarity == pytest.approx(0.995, abs=0.01)
        assert hits[1].similarity == pytest.approx(0.196, abs=0.01)

    async def test_a_document_of_many_near_passages_leaves_room_for_others(self, index: SearchIndex) -> None:
        crowd = Letter([Part(f"p{n}", vector=direction(1, 0.001 * n)) for n in range(60)])
        others = [Letter([Part("q", vector=direction(1, 1 + 0.1 * n))]) for n in range(4)]
        await put(index, crowd, *others)
        hits = await index.semantic(direction(1), ANNA, filters=Filters(), limit=4)
        assert [hit.document_id for hit in hits] == [crowd.id, *(one.id for one in others[:3])]

    async def test_a_vector_of_another_size_is_refused(self, index: SearchIndex) -> None:
        with pytest.raises(Invalid):
            await index.semantic(direction(1)[:-1], ANNA, filters=Filters(), limit=1)


class GenerationsConformance:
    """Changing the models without a gap."""

    async def test_a_generation_is_built_beside_the_live_one_and_promoted(self, index: SearchIndex) -> None:
        old = await live(index)
        await put(index, letter("fever"))
        fresh = generation(f"{old}-b")
        await index.create(fresh)
        await index.create(fresh)
        one = letter("fever in the new one")
        await index.write(fresh.name, [one.put])
        assert one.id not in await found(index, words("fever"))
        result = await index.lexical(words("fever"), ANNA, limit=5, generation=fresh.name)
        assert [hit.document_id for hit in result.hits] == [one.id]
        assert (await index.live()).name == old
        await index.promote(fresh.name)
        now = await index.live()
        assert (now.name, now.encoder, now.source) == (fresh.name, fresh.encoder, fresh.source)
        assert await found(index, words("fever")) == {one.id}
        states = {g.name: g.state for g in await index.generations()}
        assert (states[old], states[fresh.name]) == (GenerationState.RETIRED, GenerationState.LIVE)
        with pytest.raises(Conflict):
            await index.drop(fresh.name)
        await index.drop(old)
        assert old not in {g.name for g in await index.generations()}
        assert await found(index, words("fever")) == {one.id}
        with pytest.raises(NotFound):
            await index.lexical(words("fever"), ANNA, limit=5, generation=old)

    async def test_a_name_stands_for_its_models(self, index: SearchIndex) -> None:
        name = await live(index)
        with pytest.raises(Conflict):
            await index.create(replace(generation(name), encoder="other@2"))
        held = {g.name: (g.encoder, g.dimension, g.analysis) for g in await index.generations()}
        assert held[name] == ("seeded@1", DIMENSION, "1")

    async def test_unknown_names_are_refused(self, index: SearchIndex) -> None:
        for act in (index.promote, index.drop):
            with pytest.raises(NotFound):
                await act("nowhere")
        with pytest.raises(Invalid):
            await index.create(generation('a"; DROP TABLE x'))


class ConcurrencyConformance:
    """Reading while others write."""

    async def test_no_reader_sees_a_torn_or_missing_document(
        self, index: SearchIndex, reader: SearchIndex
    ) -> None:
        document_id, name = new_id(), await live(index)

        def version(number: int) -> Letter:
            parts = [
                Part(f"shared v{number} p{n}", vector=direction(1, 0.1 * n)) for n in range(1 + number % 3)
            ]
            return Letter(parts, id=document_id, version=number, revision=number)

        async def write() -> None:
            for number in range(2, 12):
                await index.write(name, [version(number).put])

        async def look(at: SearchIndex) -> None:
            result = await at.lexical(words("shared"), ANNA, limit=5)
            assert [hit.document_id for hit in result.hits] == [document_id]
            (near,) = await at.semantic(direction(1), ANNA, filters=Filters(), limit=5)
            assert near.ordinal == 0
            assert near.version == near.revision >= result.hits[0].version
            shown = await at.passages(
                words("shared"), ANNA, documents=[document_id], ordinals={}, per_document=9
            )
            seen = shown[document_id][0].version
            assert seen >= near.version
            assert [(one.version, one.text) for one in shown[document_id]] == [
                (seen, part.text) for part in version(seen).parts
            ]

        await index.write(name, [version(1).put])
        looks = await while_running(write(), lambda: look(reader), lambda: look(index))
        assert min(looks) >= 3
        assert (await reader.roots([document_id], ANNA))[0].version == 11

    async def test_a_promotion_is_seen_whole_and_soon(self, index: SearchIndex, reader: SearchIndex) -> None:
        old = await live(index)
        fresh = generation(f"{old}-c")
        await index.create(fresh)
        both = {old: letter("fever", "old"), fresh.name: letter("fever", "new", "newer")}
        for name, one in both.items():
            await index.write(name, [one.put])
        whole = {one.id: len(one.parts) for one in both.values()}

        async def look() -> None:
            result = await reader.lexical(words("fever"), ANNA, limit=5)
            assert result.total == 1
            assert result.hits[0].document_id in whole
            shown = await reader.passages(
                everything(), ANNA, documents=list(whole), ordinals={}, per_document=9
            )
            assert [len(passages) == whole[document] for document, passages in shown.items()] == [True]

        async def promote_and_drop() -> None:
            for name in (fresh.name, old, fresh.name):
                await index.promote(name)
                await asyncio.sleep(0.2)
            await index.drop(old)
            await asyncio.sleep(0.7)

        await while_running(promote_and_drop(), look, look)
        result = await reader.lexical(words("fever"), ANNA, limit=5)
        assert [hit.document_id for hit in result.hits] == [both[fresh.name].id]


async def while_running(
    work: Coroutine[Any, Any, None], *looks: Callable[[], Coroutine[Any, Any, None]]
) -> list[int]:
    """Repeat each look, side by side, until the work is done; how often each was made."""
    task = asyncio.create_task(work)

    async def repeat(look: Callable[[], Coroutine[Any, Any, None]]) -> int:
        count = 0
        while not task.done():
            await look()
            count += 1
        return count

    counts = await asyncio.gather(*map(repeat, looks))
    await task
    return list(counts)


def update(one: Letter, *, revision: int, **changes: object) -> UpdateDocument:
    """An update that keeps what is not named."""
    fields = {
        name: changes.get(name, getattr(one, name))
        for name in ("title", "document_type", "department", "patient", "date")
    }
    access = tuple(changes.get("access", one.access))  # type: ignore[arg-type]
    version = changes.get("version", one.version)
    return UpdateDocument(
        one.id,
        version,  # type: ignore[arg-type]
        revision,
        access,
        **fields,  # type: ignore[arg-type]
        title_stems=changes.get("title_stems"),  # type: ignore[arg-type]
    )


class SearchIndexConformance(
    WordsConformance,
    FiltersConformance,
    AccessConformance,
    CrowdConformance,
    FacetsConformance,
    OrderConformance,
    WritingConformance,
    PassagesConformance,
    MeaningConformance,
    GenerationsConformance,
    ConcurrencyConformance,
):
    """All of it."""
