"""Pages hold every document once, and a cursor is good for its own question only."""

from __future__ import annotations

import pytest

from deployments.search.schemas import Mode, SearchRequest
from domain.errors import Gone
from domain.ids import new_id
from domain.search import SortKey
from tests.search_world import World, clinician, document
from tests.unit.search.asking import asked, every_page, ids


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
