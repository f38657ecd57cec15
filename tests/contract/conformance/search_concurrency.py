"""Reading a search index while others write to it or promote a generation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from domain.ids import new_id
from domain.search import Filters
from stores.ports import SearchIndex
from tests.contract.conformance.letters import ANNA, Letter, Part, direction, everything, letter, words
from tests.contract.conformance.search_steps import generation, live


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
