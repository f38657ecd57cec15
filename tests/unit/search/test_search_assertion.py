"""Documents that deny what was asked for come after those that affirm it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.search import PutDocument
from domain.text import AssertionLabel
from tests.memory_index import MemoryIndex
from tests.search_world import PNEUMONIA, PneumoniaNames, World, document, mention
from tests.unit.search.asking import asked

FEVER = "HP:0001945"


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
