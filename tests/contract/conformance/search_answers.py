"""What a search index tells of what it found: counts, order and pages, passages."""

from __future__ import annotations

from collections import Counter
from datetime import date
from uuid import UUID

import pytest

from domain.errors import Invalid
from domain.ids import new_id
from domain.search import (
    DeleteDocument,
    EntityFilter,
    FacetCount,
    Filters,
    LexicalQuery,
    Occur,
    SortKey,
    StoredRoot,
)
from domain.text import AssertionLabel
from stores.ports import SearchIndex
from tests.contract.conformance.letters import (
    ANNA,
    ASTHMA,
    FAMILY,
    NEGATED,
    PNEUMONIA,
    Letter,
    Part,
    everything,
    letter,
    words,
)
from tests.contract.conformance.search_steps import AFFIRMED, live, put


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
