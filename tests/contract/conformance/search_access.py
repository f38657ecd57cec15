"""Whom a search index shows what: nothing without access, and no trace of what is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest

from domain.access import effective_principals, may_read
from domain.ids import new_id
from domain.search import AccessFilter, Filters
from stores.ports import SearchIndex
from tests.access_cases import MINE, POLICY, reading, single_accesses
from tests.contract.conformance.crowd import Crowd
from tests.contract.conformance.letters import (
    ANNA,
    BERT,
    NOBODY,
    PNEUMONIA,
    Letter,
    Part,
    direction,
    everything,
    letter,
    words,
)
from tests.contract.conformance.search_steps import AFFIRMED, found, live, put


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
