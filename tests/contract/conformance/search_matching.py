"""What a search index finds by words, by filters and by meaning."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.errors import Invalid
from domain.search import Clause, EntityFilter, Filters, LexicalQuery, Occur
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
    direction,
    everything,
    letter,
    phrase,
    words,
)
from tests.contract.conformance.search_steps import AFFIRMED, found, put


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
