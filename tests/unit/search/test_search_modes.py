"""What a search finds by words, by meaning and by both, and which questions it refuses."""

from __future__ import annotations

from datetime import date

import pytest

from config.settings import SearchSettings
from deployments.search.schemas import FacetScope, Hit, Mode
from domain.errors import Invalid
from tests.search_world import World, document
from tests.unit.search.asking import asked, ids


def lit(hit: Hit) -> list[str]:
    """The highlighted words, cut from the passages by their offsets in the page."""
    return [
        passage.text[span.start - passage.start : span.end - passage.start]
        for passage in hit.passages
        for span in passage.highlights
    ]


class TestModes:
    async def test_words_find_words_and_meaning_what_is_near(self, world: World) -> None:
        exact, near, _ = await world.put(
            document("severe chest pain at rest"),
            document("chest discomfort"),
            document("fracture of the ankle"),
        )
        assert ids(await asked(world, "chest pain", mode="lexical")) == [exact]
        assert set(ids(await asked(world, "chest pain", mode="semantic"))) == {exact, near}
        hybrid = await asked(world, "chest pain", mode="hybrid")
        assert ids(hybrid) == [exact, near]
        assert hybrid.legs == ["lexical", "semantic"]
        assert hybrid.total.value == 2

    async def test_what_is_not_near_enough_is_not_found_by_meaning(self, world: World) -> None:
        await world.put(document("fracture of the ankle"))
        answer = await asked(world, "pneumonia", mode="semantic")
        assert (answer.hits, answer.total.value) == ([], 0)

    async def test_beside_a_near_document_a_distant_one_is_not_found(self, world: World) -> None:
        world.settings = SearchSettings(semantic_floor=0.2, semantic_ratio=0.7)
        same, close, distant = await world.put(
            document("chest pain"), document("chest pain at rest"), document("chest film without any finding")
        )
        assert ids(await asked(world, "chest pain", mode="semantic")) == [same, close]
        world.settings = SearchSettings(semantic_floor=0.2, semantic_ratio=0.2)
        assert ids(await asked(world, "chest pain", mode="semantic")) == [same, close, distant]

    async def test_a_question_reaches_further_by_meaning(self, world: World) -> None:
        world.settings = SearchSettings(semantic_floor=0.1, semantic_ratio=1, question_semantic_ratio=0.3)
        await world.put(document("sudden chest pain at rest"), document("chest pain elsewhere today"))
        question, name = "sudden chest pain at rest", "rest pain"
        answers = {
            (words, mode): await asked(world, words, mode=mode)
            for words in (question, name)
            for mode in ("hybrid", "semantic")
        }
        assert len(ids(answers[question, "hybrid"])) == 2
        assert [len(ids(answers[case])) for case in answers if case != (question, "hybrid")] == [1, 1, 1]

    async def test_no_words_list_what_the_filters_select_newest_first(self, world: World) -> None:
        old, new, _ = await world.put(
            document("a", day=date(2020, 1, 1)),
            document("b", day=date(2024, 1, 1)),
            document("c", kind="radiology"),
        )
        for mode in Mode:
            answer = await asked(world, mode=mode, filters={"document_type": ["clinic_note"]})
            assert ids(answer) == [new, old]
            assert [hit.score for hit in answer.hits] == [None, None]
        assert len(ids(await asked(world))) == 3
        assert world.encoder.texts == []

    async def test_a_text_without_a_word_finds_nothing(self, world: World) -> None:
        await world.put(document("anything"))
        for mode in Mode:
            assert ids(await asked(world, '?! "" -', mode=mode)) == []

    async def test_only_exclusions_list_the_others(self, world: World) -> None:
        _, other = await world.put(document("fever"), document("cough"))
        assert ids(await asked(world, "-fever")) == [other]

    async def test_sorted_results_are_those_of_the_words(self, world: World) -> None:
        b, a, _ = await world.put(
            document("chest pain", title="B"),
            document("chest pain", title="A"),
            document("chest discomfort", title="0"),
        )
        answer = await asked(world, "chest pain", mode="hybrid", sort="title")
        assert ids(answer) == [a, b]
        assert (answer.legs, answer.facets_scope) == (["lexical"], FacetScope.MATCHES)

    async def test_meaning_alone_cannot_be_sorted(self, world: World) -> None:
        with pytest.raises(Invalid) as refused:
            await asked(world, "pain", mode="semantic", sort="newest")
        assert refused.value.code == "search.sort_not_possible"

    async def test_what_the_user_insists_on_binds_meaning_too(self, world: World) -> None:
        both, without, excluded = await world.put(
            document("chest pain with fever"),
            document("chest pain"),
            document("chest pain with fever and rash"),
        )
        assert set(ids(await asked(world, "chest discomfort +fever -rash"))) == {both}
        assert set(ids(await asked(world, "chest pain discomfort"))) == {both, without, excluded}

    async def test_the_few_words_that_a_near_document_shares_with_a_long_question_count(
        self, world: World
    ) -> None:
        question = "which treatment eases chest pain at rest in the elderly"
        far = ["ankle"] * 8
        shares_rare, shares_common, *_ = await world.put(
            document("pain elderly treatment unrelated other words"),
            document("chest treatment unrelated other words here"),
            *(document(f"chest {word}") for word in far),
        )
        answer = await asked(world, question, explain=True)
        assert ids(await asked(world, question, mode="lexical")) == []
        assert ids(answer)[:2] == [shares_rare, shares_common]
        assert answer.hits[0].explanation is not None
        assert answer.hits[0].explanation.lexical is not None
        assert answer.hits[0].explanation.lexical.score == 1.0
        assert answer.total.value == len(ids(answer))

    async def test_other_names_of_a_concept_find_its_documents(self, world: World) -> None:
        (found,) = await world.put(document("signs of lung inflammation"))
        answer = await asked(world, "pneumonia", mode="lexical", explain=True)
        assert ids(answer) == [found]
        assert lit(answer.hits[0]) == ["lung inflammation"]
        assert answer.hits[0].explanation is not None
        assert answer.hits[0].explanation.terms == ["pneumonia"]


class TestLimits:
    async def test_a_query_over_the_limit_is_refused_with_a_code(self, world: World) -> None:
        assert (await asked(world, "x" * 1000)).hits == []
        with pytest.raises(Invalid) as refused:
            await asked(world, "x" * 1001)
        assert refused.value.code == "search.query_too_long"
        assert refused.value.errors[0].field == "query"

    async def test_too_many_words_are_refused(self, world: World) -> None:
        with pytest.raises(Invalid) as refused:
            await asked(world, " ".join(f"a{n}" for n in range(65)))
        assert refused.value.code == "search.too_many_clauses"
