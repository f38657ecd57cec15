"""What the conformance tests of a search index do again and again: put letters, ask for them, change them."""

from __future__ import annotations

from uuid import UUID

from domain.search import Generation, GenerationState, LexicalQuery, UpdateDocument
from domain.text import Assertion
from stores.ports import SearchIndex
from tests.contract.conformance.letters import ANNA, DIMENSION, Letter

AFFIRMED = Assertion()


def generation(name: str) -> Generation:
    return Generation(name, "seeded@1", DIMENSION, "1", source="/models/seeded")


async def live(index: SearchIndex) -> str:
    return next(one.name for one in await index.generations() if one.state is GenerationState.LIVE)


async def put(index: SearchIndex, *letters: Letter) -> None:
    report = await index.write(await live(index), [one.put for one in letters])
    assert report.applied == len(letters)
    assert not report.stale


def update(one: Letter, *, revision: int, **changes: object) -> UpdateDocument:
    """An update that keeps what is not named."""
    fields = {
        name: changes.get(name, getattr(one, name))
        for name in ("title", "document_type", "department", "patient", "date")
    }
    access = tuple(changes.get("access", one.access))  # type: ignore[arg-type]
    version = changes.get("version", one.version)
    return UpdateDocument(
        one.id,
        version,  # type: ignore[arg-type]
        revision,
        access,
        **fields,  # type: ignore[arg-type]
        title_stems=changes.get("title_stems"),  # type: ignore[arg-type]
    )


async def found(index: SearchIndex, query: LexicalQuery, access=ANNA) -> set[UUID]:
    result = await index.lexical(query, access, limit=50)
    ids = [hit.document_id for hit in result.hits]
    assert len(ids) == len(set(ids)) == result.total
    return set(ids)
