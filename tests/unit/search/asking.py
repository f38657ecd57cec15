"""A clinician's questions to the search service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from deployments.search.schemas import SearchAnswer, SearchRequest
from tests.search_world import World, clinician


async def asked(world: World, query: str = "", **fields: Any) -> SearchAnswer:
    return await world.service.search(SearchRequest(query=query, **fields), clinician())


async def every_page(world: World, query: str, **fields: Any) -> list[SearchAnswer]:
    answers = [await asked(world, query, **fields)]
    while answers[-1].next_cursor:
        answers.append(await asked(world, query, cursor=answers[-1].next_cursor, **fields))
    return answers


def ids(*answers: SearchAnswer) -> list[UUID]:
    return [hit.document_id for answer in answers for hit in answer.hits]
