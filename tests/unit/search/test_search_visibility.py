"""What may not be shown is in no hit and no count, even when it changed after it was indexed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployments.search.schemas import FacetName, Mode, SearchRequest
from domain.access import Sensitivity
from domain.ids import new_id
from tests.search_world import PNEUMONIA, World, clinician, document, mention
from tests.unit.search.asking import asked, every_page, ids


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
