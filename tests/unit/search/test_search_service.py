"""One search from request to answer, over fakes: legs, order, pages, access, audit, degraded modes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from config.settings import SearchSettings
from deployments.search.schemas import FacetName, FacetScope, Hit, Mode, SearchAnswer, SearchRequest
from domain.access import Sensitivity
from domain.errors import Gone, Invalid, Unavailable
from domain.ids import new_id
from domain.search import PutDocument, SortKey
from domain.text import AssertionLabel
from tests.memory_index import MemoryIndex
from tests.search_world import (
    GENERATION,
    PNEUMONIA,
    PneumoniaNames,
    World,
    clinician,
    document,
    mention,
    vector_of,
)

NEW = replace(GENERATION, name="g2", encoder="words@2")
FEVER = "HP:0001945"


class Silent(MemoryIndex):
    """An index that is away."""

    async def lexical(self, *args: Any, **options: Any) -> Any:
        raise Unavailable("no node")


class Counting(MemoryIndex):
    """Counts what it is asked by words."""

    questions = 0

    async def lexical(self, *args: Any, **options: Any) -> Any:
        self.questions += 1
        return await super().lexical(*args, **options)


class TwoNames(PneumoniaNames):
    """Knows fever as well."""

    def named(self, text: str) -> list[str]:
        return [FEVER] if text == "fever" else super().named(text)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path, names=PneumoniaNames()).open()


async def asked(world: World, query: str = "", **fields: Any) -> SearchAnswer:
    return await world.service.search(SearchRequest(query=query, **fields), clinician())


async def every_page(world: World, query: str, **fields: Any) -> list[SearchAnswer]:
    answers = [await asked(world, query, **fields)]
    while answers[-1].next_cursor:
        answers.append(await asked(world, query, cursor=answers[-1].next_cursor, **fields))
    return answers


def ids(*answers: SearchAnswer) -> list[UUID]:
    return [hit.document_id for answer in answers for hit in answer.hits]


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


class TestAssertion:
    async def test_documents_that_deny_the_concept_come_after_those_that_affirm_it(
        self, world: World
    ) -> None:
        text = "Findings: pneumonia in the right lower lobe"
        documents = {
            label: document(text, mentions=[mention(text, "pneumonia", PNEUMONIA, label)])
            for label in AssertionLabel
        }
        await world.put(*documents.values())
        label_of = {one.root.document_id: label for label, one in documents.items()}
        answer = await asked(world, "pneumonia", explain=True)
        factors = {
            label_of[hit.document_id]: hit.explanation.assertion for hit in answer.hits if hit.explanation
        }
        assert factors == {
            AssertionLabel.AFFIRMED: 1.0,
            AssertionLabel.UNCERTAIN: 0.8,
            AssertionLabel.HISTORICAL: 0.8,
            AssertionLabel.NEGATED: 0.5,
            AssertionLabel.FAMILY: 0.5,
            AssertionLabel.HYPOTHETICAL: 0.5,
        }
        assert label_of[answer.hits[0].document_id] is AssertionLabel.AFFIRMED
        assert {label_of[hit.document_id] for hit in answer.hits[-3:]} == {
            label for label, factor in factors.items() if factor == 0.5
        }

    async def test_the_least_favourable_concept_counts(self, world: World) -> None:
        text = "pneumonia with fever"

        def speaks(pneumonia: AssertionLabel, fever: AssertionLabel) -> PutDocument:
            found = [mention(text, "pneumonia", PNEUMONIA, pneumonia), mention(text, "fever", FEVER, fever)]
            return document(text, mentions=found)

        sure, doubt, no = AssertionLabel.AFFIRMED, AssertionLabel.HISTORICAL, AssertionLabel.NEGATED
        world.names = TwoNames()
        known = {(one, other): speaks(one, other) for one in (sure, doubt, no) for other in (sure, doubt, no)}
        await world.put(*known.values(), document(text))
        answer = await asked(world, text, explain=True, limit=20)
        factors = {hit.document_id: hit.explanation.assertion for hit in answer.hits if hit.explanation}
        single = {sure: 1.0, doubt: 0.8, no: 0.5}
        for (one, other), put in known.items():
            assert factors.pop(put.root.document_id) == min(single[one], single[other])
        assert list(factors.values()) == [1.0]

    async def test_more_concepts_are_not_more_questions_to_the_index(self, world: World) -> None:
        index = world.index = Counting()
        await world.open()
        text = "pneumonia with fever"
        await world.put(document(text, mentions=[mention(text, "fever", FEVER, AssertionLabel.NEGATED)]))
        counts = []
        for names in (PneumoniaNames(), TwoNames()):
            world.names, index.questions = names, 0
            await asked(world, text)
            counts.append(index.questions)
        assert counts[0] == counts[1]

    async def test_one_affirmed_mention_is_enough(self, world: World) -> None:
        text = "No pneumonia then. Later: pneumonia"
        denied = mention(text, "pneumonia", PNEUMONIA, AssertionLabel.NEGATED)
        later = replace(mention(text[20:], "pneumonia", PNEUMONIA), start=26, end=35)
        await world.put(document(text, mentions=[denied, later]))
        answer = await asked(world, "pneumonia", explain=True)
        assert answer.hits[0].explanation is not None
        assert answer.hits[0].explanation.assertion == 1.0
        assert answer.hits[0].explanation.concepts == [PNEUMONIA]

    @pytest.mark.parametrize("query", ["no pneumonia", "family history of pneumonia"])
    async def test_a_query_that_speaks_of_negation_itself_is_left_alone(
        self, world: World, query: str
    ) -> None:
        text = "Negative: no pneumonia"
        await world.put(
            document(text, mentions=[mention(text, "pneumonia", PNEUMONIA, AssertionLabel.NEGATED)])
        )
        answer = await asked(world, query, mode="semantic", explain=True)
        assert [hit.explanation.assertion for hit in answer.hits if hit.explanation] == [1.0]


class TestPresentation:
    async def test_offsets_count_from_the_start_of_the_page(self, world: World) -> None:
        first, second = "Kein Fieber 😷 naïve", "No evidence of pneumonia. Cough."
        page = f"{first}\n{second}"
        denied = mention(page, "pneumonia", PNEUMONIA, AssertionLabel.NEGATED)
        await world.put(document(first, second, mentions=[denied]))
        passage = (await asked(world, "pneumonia cough", mode="lexical")).hits[0].passages[0]
        assert page[passage.start : passage.end] == passage.text == second
        assert [page[span.start : span.end] for span in passage.highlights] == ["pneumonia", "Cough"]
        (found,) = passage.mentions
        assert page[found.start : found.end] == found.text == "pneumonia"
        assert (found.concept, found.codes, found.assertion) == (
            PNEUMONIA,
            [PNEUMONIA],
            AssertionLabel.NEGATED,
        )
        assert found.cue is not None
        assert page[found.cue.start : found.cue.end] == found.cue.text

    async def test_at_most_three_passages_and_the_nearest_is_among_them(self, world: World) -> None:
        await world.put(document(*["fever and other things said at length"] * 4, "febrile fever", "nothing"))
        (hit,) = (await asked(world, "fever", limit=1)).hits
        assert len(hit.passages) == 3
        assert "febrile fever" in [passage.text for passage in hit.passages]

    async def test_the_explanation_names_legs_fusion_and_terms_and_nothing_else(self, world: World) -> None:
        first, second = await world.put(document("chest pain at rest"), document("chest discomfort"))
        answer = await asked(world, "chest pain", explain=True)
        dumped = {hit.document_id: hit.model_dump(mode="json")["explanation"] for hit in answer.hits}
        assert set(dumped[first]) == {"lexical", "semantic", "fusion", "terms", "concepts", "assertion"}
        assert dumped[first]["lexical"] == {"rank": 1, "score": 1.0}
        assert dumped[first]["terms"] == ["chest", "pain"]
        assert dumped[second]["lexical"] is None
        assert dumped[second]["terms"] == ["chest"]
        assert dumped[second]["fusion"] == {"method": "minmax", "weights": [0.5, 0.5]}
        assert (await asked(world, "chest pain")).hits[0].explanation is None

    async def test_reciprocal_ranks_by_setting(self, world: World) -> None:
        world.settings = SearchSettings(fusion="rrf", semantic_weight=0.25, semantic_floor=0.1)
        first, _ = await world.put(document("chest pain"), document("chest discomfort"))
        hit = (await asked(world, "chest pain", explain=True)).hits[0]
        assert hit.document_id == first
        assert hit.score == pytest.approx(1.0)
        assert hit.explanation is not None
        assert hit.explanation.fusion is not None
        assert hit.explanation.fusion.model_dump() == {"method": "rrf", "weights": (0.75, 0.25)}

    async def test_a_document_that_changes_while_it_is_read_is_left_out(self, world: World) -> None:
        class Torn(MemoryIndex):
            async def roots(self, documents: Sequence[UUID], *args: Any, **options: Any) -> Any:
                roots = await super().roots(documents, *args, **options)
                return [replace(root, version=root.version + 1) for root in roots]

        world.index = Torn()
        await world.open()
        await world.put(document("fever"))
        assert (await asked(world, "fever")).hits == []


class TestFacets:
    async def test_hybrid_facets_count_words_and_the_semantic_window(self, world: World) -> None:
        await world.put(
            document("chest pain", kind="radiology"),
            document("chest discomfort", kind="referral"),
            document("ankle", kind="article"),
        )
        counts = {
            mode: {
                one.value: one.count
                for one in (await asked(world, "chest pain", mode=mode, facets=["document_type"])).facets[
                    FacetName.DOCUMENT_TYPE
                ]
            }
            for mode in Mode
        }
        assert counts[Mode.LEXICAL] == {"radiology": 1}
        assert counts[Mode.SEMANTIC] == counts[Mode.HYBRID] == {"radiology": 1, "referral": 1}
        scopes = {mode: (await asked(world, "chest pain", mode=mode)).facets_scope for mode in Mode}
        assert scopes == {
            Mode.LEXICAL: FacetScope.MATCHES,
            Mode.SEMANTIC: FacetScope.SEMANTIC_WINDOW,
            Mode.HYBRID: FacetScope.MATCHES_AND_SEMANTIC_WINDOW,
        }

    async def test_concepts_carry_label_and_assertion(self, world: World) -> None:
        text = "no pneumonia"
        await world.put(
            document(text, mentions=[mention(text, "pneumonia", PNEUMONIA, AssertionLabel.NEGATED)])
        )
        (value,) = (await asked(world, "pneumonia", facets=["concept"])).facets[FacetName.CONCEPT]
        assert value.model_dump(mode="json") == {
            "value": PNEUMONIA,
            "label": f"Label of {PNEUMONIA}",
            "assertion": "negated",
            "count": 1,
        }

    async def test_the_total_counts_matches_behind_the_window(self, world: World) -> None:
        world.settings = SearchSettings(window=10, semantic_floor=0.1)
        await world.put(*(document(f"fever word{n}") for n in range(25)))
        answers = await every_page(world, "fever", limit=4, facets=["document_type"])
        assert len(set(ids(*answers))) == len(ids(*answers)) == 10
        assert {answer.total.value for answer in answers} == {25}
        assert {answer.facets[FacetName.DOCUMENT_TYPE][0].count for answer in answers} == {25}


class TestPaging:
    @pytest.mark.parametrize("mode", list(Mode))
    async def test_pages_hold_every_document_once(self, world: World, mode: Mode) -> None:
        known = await world.put(*(document("fever " * (1 + n % 4) + f"word{n}") for n in range(23)))
        answers = await every_page(world, "fever", mode=mode, limit=5)
        assert [len(answer.hits) for answer in answers] == [5, 5, 5, 5, 3]
        assert sorted(ids(*answers)) == sorted(known)
        assert {answer.total.value for answer in answers} == {23}
        scores = [hit.score or 0 for answer in answers for hit in answer.hits]
        assert scores == sorted(scores, reverse=True)

    async def test_a_frozen_window_does_not_move_while_documents_come(self, world: World) -> None:
        await world.put(*(document(f"fever word{n}") for n in range(8)))
        whole = ids(*await every_page(world, "fever", limit=100))
        first = await asked(world, "fever", limit=3)
        await world.put(*(document("fever") for _ in range(5)))
        second = await asked(world, "fever", limit=100, cursor=first.next_cursor)
        assert ids(first, second) == whole
        assert len(ids(await asked(world, "fever", limit=100))) == 13

    async def test_ranks_and_scores_go_on_over_the_pages_of_words(self, world: World) -> None:
        await world.put(*(document("fever " * (n + 1)) for n in range(6)))
        answers = await every_page(world, "fever", mode="lexical", limit=2, explain=True)
        explained = [hit.explanation for answer in answers for hit in answer.hits]
        assert [one.lexical.rank for one in explained if one and one.lexical] == [1, 2, 3, 4, 5, 6]
        assert answers[0].hits[0].score == 1.0

    async def test_no_window_is_kept_when_everything_was_shown(self, world: World) -> None:
        await world.put(document("fever"), document("fever too"))
        assert (await asked(world, "fever", limit=2)).next_cursor is None
        assert world.windows.windows == {}
        assert (await asked(world, "fever", limit=1)).next_cursor
        assert len(world.windows.windows) == 1

    @pytest.mark.parametrize("mode", [Mode.HYBRID, Mode.LEXICAL])
    async def test_cursors_are_good_for_their_account_query_and_time_only(
        self, world: World, mode: Mode
    ) -> None:
        await world.put(*(document("fever and cough") for _ in range(3)))
        cursor = (await asked(world, "fever", mode=mode, limit=1)).next_cursor
        assert cursor
        assert len((await asked(world, "fever", mode=mode, limit=2, cursor=cursor)).hits) == 2
        for query, fields in (
            ("cough", {}),
            ("fever", {"filters": {"patient": "X|1"}}),
            ("fever", {"sort": SortKey.TITLE}),
            ("fever", {"mode": Mode.LEXICAL if mode is Mode.HYBRID else Mode.HYBRID}),
        ):
            with pytest.raises(Gone):
                await asked(world, query, **{"mode": mode, "cursor": cursor, **fields})
        other = clinician(f"user:{new_id()}", user=new_id())
        with pytest.raises(Gone):
            await world.service.search(SearchRequest(query="fever", mode=mode, cursor=cursor), other)
        with pytest.raises(Gone):
            await asked(world, "fever", mode=mode, cursor=cursor[:-2] + "AA")
        world.now += 901
        with pytest.raises(Gone):
            await asked(world, "fever", mode=mode, cursor=cursor)


class TestVisibility:
    @pytest.mark.parametrize("mode", list(Mode))
    async def test_what_may_not_be_shown_any_more_is_left_out_and_the_page_filled(
        self, world: World, mode: Mode
    ) -> None:
        known = await world.put(*(document(f"fever word{n}") for n in range(12)))
        order = ids(*await every_page(world, "fever", mode=mode, limit=100))
        deleted, replaced, withdrawn = order[0], order[2], order[5]
        del world.visibility.rows[deleted]
        world.visibility.rows[replaced] = (2, world.visibility.rows[replaced][1])
        world.visibility.rows[withdrawn] = (1, frozenset({"user:somebody"}))
        answers = await every_page(world, "fever", mode=mode, limit=3)
        assert [len(answer.hits) for answer in answers] == [3, 3, 3]
        assert sorted(ids(*answers)) == sorted(set(known) - {deleted, replaced, withdrawn})

    async def test_the_total_follows_what_was_left_out_of_a_window(self, world: World) -> None:
        known = await world.put(*(document(f"fever word{n}") for n in range(6)))
        first = await asked(world, "fever", limit=2)
        gone = next(one for one in known if one not in ids(first))
        del world.visibility.rows[gone]
        second = await asked(world, "fever", limit=10, cursor=first.next_cursor)
        assert (first.total.value, second.total.value, len(second.hits)) == (6, 5, 3)

    async def test_a_document_is_hidden_until_it_was_made_visible(self, world: World) -> None:
        await world.put(document("fever"), shown=False)
        for mode in Mode:
            assert ids(await asked(world, "fever", mode=mode)) == []

    async def test_many_hidden_hits_end_in_a_short_page_that_goes_on(self, world: World) -> None:
        known = await world.put(*(document("fever " * (40 - n)) for n in range(40)))
        for one in known[:30]:
            del world.visibility.rows[one]
        answers = await every_page(world, "fever", mode="lexical", limit=2)
        assert ids(*answers) == known[30:]

    async def test_somebody_else_finds_nothing_of_it(self, world: World) -> None:
        await world.put(document("fever", kind="radiology"))
        stranger = clinician(user=new_id())
        for mode in Mode:
            answer = await world.service.search(
                SearchRequest(query="fever", mode=mode, facets=list(FacetName)), stranger
            )
            assert (answer.hits, answer.total.value) == ([], 0)
            assert not any(answer.facets.values())

    async def test_researchers_see_what_is_deidentified_and_managers_their_own(self, world: World) -> None:
        own, open_one, *_ = await world.put(
            document("fever"),
            document("fever", access=[], sensitivity=Sensitivity.DEIDENTIFIED),
            document("fever", access=["role:researcher"]),
            document("fever", access=["department:icu"]),
        )
        everybody = clinician("department:icu", "role:researcher")
        for role, seen in (("researcher", {open_one}), ("records_manager", {own})):
            caller = replace(everybody, role=role)
            answer = await world.service.search(SearchRequest(query="fever"), caller)
            assert set(ids(answer)) == seen


class TestAudit:
    async def test_each_answer_is_audited_with_query_and_ids(self, world: World) -> None:
        known = await world.put(*(document("fever") for _ in range(3)))
        answers = await every_page(world, "fever -rash", limit=2, filters={"document_type": ["clinic_note"]})
        assert [list(entry.document_ids) for entry in world.audit.entries] == [ids(one) for one in answers]
        assert sorted(ids(*answers)) == sorted(known)
        entry = world.audit.entries[0]
        assert (entry.event, entry.action, entry.outcome, entry.query) == (
            "search.performed",
            "E",
            "success",
            "fever -rash",
        )
        assert "clinic_note" in entry.names["request"]

    async def test_each_answer_is_audited_with_the_patients_that_it_showed(self, world: World) -> None:
        patients = ("LAB|1", "LAB|2", "LAB|1", None)
        for number, patient in enumerate(patients):
            await world.put(document("fever", patient=patient, day=date(2024, 1, 1 + number)))
        await every_page(world, "fever", limit=2, sort="oldest")
        first, second = (entry.patients for entry in world.audit.entries[:2])
        assert (first, second) == (("LAB|1", "LAB|2"), ("LAB|1",))

    async def test_without_audit_there_is_no_answer(self, world: World) -> None:
        await world.put(document("fever"), document("fever"))
        world.audit.away = True
        with pytest.raises(Unavailable):
            await asked(world, "fever", limit=1)
        assert world.windows.events == []
        assert world.windows.windows == {}

    async def test_the_event_tells_no_words(self, world: World) -> None:
        await world.put(document("fever"))
        answer = await asked(world, "fever", filters={"patient": None})
        (event,) = world.windows.events
        assert event.type == "search.performed"
        assert event.subject == str(answer.search_id)
        assert set(event.data) == {"search_id", "user_id", "mode", "hits", "took_ms"}
        assert event.data["hits"] == 1
        assert "fever" not in str(event.to_cloudevent())


class TestAway:
    async def test_without_meaning_hybrid_answers_by_words_and_says_so(self, world: World) -> None:
        known = await world.put(*(document("fever") for _ in range(3)))
        world.encoder.away = True
        answers = await every_page(world, "fever", limit=2)
        assert {tuple(answer.degraded) for answer in answers} == {("semantic",)}
        assert {tuple(answer.legs) for answer in answers} == {("lexical",)}
        assert {answer.facets_scope for answer in answers} == {FacetScope.MATCHES}
        assert sorted(ids(*answers)) == sorted(known)
        world.encoder.away = False
        assert (await asked(world, "fever")).degraded == []

    async def test_meaning_alone_is_refused_with_the_way_out(self, world: World) -> None:
        world.encoder.away = True
        with pytest.raises(Unavailable) as refused:
            await asked(world, "fever", mode="semantic")
        assert refused.value.code == "search.semantic_unavailable"
        assert refused.value.retry_after

    async def test_vectors_of_another_model_are_not_compared(self, world: World) -> None:
        await world.put(document("fever"))
        world.encoder.name = "other@2"
        assert (await asked(world, "fever")).degraded == ["semantic"]

    async def test_a_search_stays_with_the_generation_it_began_with(self, world: World) -> None:
        await world.put(document("fever"))
        await world.index.create(NEW)
        fresh = [document("fever") for _ in range(2)]
        await world.index.write(NEW.name, fresh)
        for one in fresh:
            world.visibility.rows[one.root.document_id] = (1, frozenset(one.root.access))
        asked_by: list[str] = []

        class Promoting(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                asked_by.append(encoder)
                await world.index.promote(NEW.name)
                return vector_of(text)

        world.encoder = Promoting()
        answer = await asked(world, "fever", facets=["document_type"])
        assert (answer.total.value, answer.degraded, len(answer.hits)) == (1, [], 1)
        assert answer.facets[FacetName.DOCUMENT_TYPE][0].count == 1
        assert (await asked(world, "fever")).total.value == 2
        assert asked_by == [GENERATION.encoder, NEW.encoder]

    async def test_a_generation_that_is_dropped_during_a_search_is_replaced_by_the_live_one(
        self, world: World
    ) -> None:
        await world.put(document("fever"))
        await world.index.create(NEW)
        fresh = document("fever")
        await world.index.write(NEW.name, [fresh])
        world.visibility.rows[fresh.root.document_id] = (1, frozenset(fresh.root.access))

        class Dropping(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                if encoder == GENERATION.encoder:
                    await world.index.promote(NEW.name)
                    await world.index.drop(GENERATION.name)
                return vector_of(text)

        world.encoder = Dropping()
        answer = await asked(world, "fever", mode="semantic")
        assert ids(answer) == [fresh.root.document_id]
        assert len(world.audit.entries) == 1

    async def test_an_encoder_that_hangs_holds_nobody_up(self, world: World) -> None:
        class Hanging(type(world.encoder)):  # type: ignore[misc]
            async def encode(self, text: str, encoder: str) -> Any:
                await asyncio.sleep(60)

        await world.put(document("fever"))
        world.settings = SearchSettings(leg_timeout_seconds=0.05)
        world.encoder = Hanging()
        assert (await asked(world, "fever")).degraded == ["semantic"]

    @pytest.mark.parametrize("mode", [Mode.LEXICAL, Mode.HYBRID])
    async def test_without_the_index_there_is_a_clear_503(self, world: World, mode: Mode) -> None:
        world.index = Silent()
        with pytest.raises(Unavailable) as refused:
            await asked(world, "fever", mode=mode)
        assert refused.value.code == "search.index_unavailable"
        assert refused.value.retry_after
        assert world.audit.entries == []


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("query", ["fever", "fever cough", "fever -rash", '"dry cough"', ""])
async def test_a_hidden_document_changes_nothing_but_order_and_scores(
    world: World, mode: Mode, query: str
) -> None:
    text = "fever with dry cough and pneumonia"
    texts = [text, "fever", "dry cough", "fever and rash", "cough or fever at night", "ankle"]
    known = [mention(text, "pneumonia", PNEUMONIA)]
    await world.put(*(document(one, mentions=known if one is text else ()) for one in texts))

    async def seen() -> Any:
        answers = await every_page(world, query, mode=mode, limit=2, facets=list(FacetName), explain=True)
        hits = sorted(
            (hit.document_id, hit.title, str(hit.passages)) for answer in answers for hit in answer.hits
        )
        return hits, [(answer.total, answer.facets, answer.legs) for answer in answers]

    before = await seen()
    hidden = [document(text, access=["user:other"], mentions=known, kind="radiology") for _ in range(4)]
    await world.put(*hidden)
    assert await seen() == before
