"""What an answer says of its hits and of all matches: passages, explanations, facets, totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from config.settings import SearchSettings
from deployments.search.schemas import FacetName, FacetScope, Mode
from domain.text import AssertionLabel
from tests.memory_index import MemoryIndex
from tests.search_world import PNEUMONIA, World, document, mention
from tests.unit.search.asking import asked, every_page, ids


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
