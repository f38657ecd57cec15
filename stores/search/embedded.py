"""The index of one machine: tantivy in a folder for words, pgvector in `search_db` for vectors.

One process writes, any number read. A batch is written in three steps: passages and vectors of the new versions,
then the roots in one commit, which is the moment it becomes visible, then removal of what was replaced. A crash in
between leaves nothing visible that is not whole, and the repetition of the batch completes it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from domain.errors import Invalid, Unavailable
from domain.search import (
    AccessFilter,
    FacetCount,
    Filters,
    Generation,
    IndexOperation,
    LexicalQuery,
    LexicalResult,
    SemanticHit,
    SortKey,
    StoredPassage,
    StoredRoot,
    Vector,
)
from stores.ports import WriteReport
from stores.postgres import Postgres
from stores.search import shelf
from stores.search.batch import Change, document_of, settle
from stores.search.conditions import visible
from stores.search.errors import MISSING, missing
from stores.search.reading import Reading
from stores.search.registry import Registry
from stores.search.semantic import SemanticSearch
from stores.search.shelf import Shelves, Writers, slots
from stores.search.vectors import GRAPH_FROM, VectorTable

T = TypeVar("T")


class EmbeddedIndex:
    """`SearchIndex` on tantivy and pgvector. `writer` says whether this process is the one that may write.

    Vector search is exact below `exact_below` visible passages, and wherever that is the quicker way. The connections
    of `db` should have the settings `stores.search.vectors.PLANNING`.
    """

    def __init__(self, path: Path, db: Postgres, writer: bool = False, *, exact_below: int = 5_000) -> None:
        self._path = path
        self._db = db
        self._may_write = writer
        self._exact_below = exact_below
        self._registry = Registry(db)
        self._shelves: dict[str, Shelves] = {}
        self._writing = asyncio.Lock()

    async def create(self, generation: Generation) -> None:
        await self._registry.add(generation)
        await VectorTable(self._db, generation).create()
        await asyncio.to_thread(shelf.create, self._path / generation.name)

    async def generations(self) -> list[Generation]:
        there = await self._registry.all()
        self._close_all_but(*(one.name for one in there))
        return there

    async def live(self) -> Generation:
        live = await self._registry.live_now()
        self._close_all_but(live.name)
        return live

    async def promote(self, name: str) -> None:
        await self._registry.promote(name)

    async def drop(self, name: str) -> None:
        generation = await self._registry.remove(name)
        if generation is None:
            raise missing(name)
        self._registry.forget()
        async with self._writing:
            self._shelves.pop(name, None)
        await VectorTable(self._db, generation).drop()
        await asyncio.to_thread(shutil.rmtree, self._path / name)

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        """A batch that was begun is ended, also when the caller is cancelled."""
        if not self._may_write:
            raise Invalid("This process opened the index for reading.", code="search.index_read_only")
        described = await self._registry.named(generation)
        return await asyncio.shield(self._write(described, operations))

    async def _write(self, generation: Generation, operations: Sequence[IndexOperation]) -> WriteReport:
        async with self._writing:
            shelves = await self._opened(generation.name)
            writers = await asyncio.to_thread(Writers, shelves)
            try:  # read only now that nobody else can write: an old leader that was frozen must not act on the past
                known = await asyncio.to_thread(shelves.indexed, list(map(document_of, operations)))
                batch = settle(operations, known)
                if batch.changes:
                    await self._apply(batch.changes, writers, VectorTable(self._db, generation))
            finally:
                await asyncio.to_thread(writers.close)
            if batch.changes and await self._many(shelves):
                await VectorTable(self._db, generation).build_graph()
        return WriteReport(len(operations) - len(batch.stale), batch.stale)

    async def _many(self, shelves: Shelves) -> bool:
        return await asyncio.to_thread(lambda: Reading(shelves).total_passages()) >= GRAPH_FROM

    async def _apply(self, changes: Sequence[Change], writers: Writers, vectors: VectorTable) -> None:
        """What a root needs, the root, the removal of what it replaced: see `stores.search.shelf`."""
        await asyncio.to_thread(writers.add_passages, changes)
        await vectors.put(changes)
        await asyncio.to_thread(writers.put_roots, changes)
        await vectors.sweep(changes, slots(changes))
        await asyncio.to_thread(writers.sweep, changes)

    async def lexical(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        limit: int,
        sort: SortKey = SortKey.RELEVANCE,
        after: tuple[Any, ...] | None = None,
        generation: str | None = None,
    ) -> LexicalResult:
        visible(access)
        return await self._read(
            generation, lambda reading: reading.lexical(query, access, limit, sort, after)
        )

    async def semantic(
        self,
        vector: Vector,
        access: AccessFilter,
        *,
        filters: Filters,
        limit: int,
        generation: str | None = None,
    ) -> list[SemanticHit]:
        visible(access)

        async def search(described: Generation, shelves: Shelves) -> list[SemanticHit]:
            if len(vector) != described.dimension:
                raise Invalid(
                    f"The vector must have {described.dimension} components.", code="search.vector_dimension"
                )
            vectors = VectorTable(self._db, described)
            return await SemanticSearch(shelves, vectors, self._exact_below).search(
                vector, access, filters, limit
            )

        return await self._with(generation, search)

    async def facets(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        facets: Sequence[str],
        also: Sequence[UUID] = (),
        size: int = 20,
        generation: str | None = None,
    ) -> dict[str, list[FacetCount]]:
        visible(access)
        return await self._read(generation, lambda reading: reading.facets(query, access, facets, also, size))

    async def roots(
        self, documents: Sequence[UUID], access: AccessFilter, *, generation: str | None = None
    ) -> list[StoredRoot]:
        visible(access)
        return await self._read(generation, lambda reading: reading.roots(documents, access))

    async def passages(
        self,
        query: LexicalQuery,
        access: AccessFilter,
        *,
        documents: Sequence[UUID],
        ordinals: Mapping[UUID, Sequence[int]],
        per_document: int = 3,
        generation: str | None = None,
    ) -> dict[UUID, list[StoredPassage]]:
        visible(access)
        return await self._read(
            generation, lambda reading: reading.passages(query, access, documents, ordinals, per_document)
        )

    async def visible_passages(self, access: AccessFilter, *, generation: str | None = None) -> int:
        visible(access)
        return await self._read(generation, lambda reading: reading.passage_count(access, Filters()))

    async def close(self) -> None:
        """Wait for a batch that is being written and close the database; a closed index is not used again."""
        async with self._writing:
            self._shelves.clear()
        await self._db.close()

    async def _read(self, generation: str | None, ask: Callable[[Reading], T]) -> T:
        async def read(_: Generation, shelves: Shelves) -> T:
            return await asyncio.to_thread(lambda: ask(Reading(shelves)))

        return await self._with(generation, read)

    async def _with(self, name: str | None, ask: Callable[[Generation, Shelves], Awaitable[T]]) -> T:
        """Ask the named generation, or the live one: once more when that was dropped after a promotion."""
        if name is not None:
            try:
                return await ask(await self._registry.named(name), await self._opened(name))
            except (Unavailable, asyncpg.UndefinedTableError):
                self._registry.forget()
                await self._registry.named(name)  # says when it was dropped meanwhile
                raise
        try:
            live = await self._registry.live()
            return await ask(live, await self._opened(live.name))
        except (Unavailable, asyncpg.UndefinedTableError) as error:
            if isinstance(error, Unavailable) and error.code != MISSING:
                raise
            self._registry.forget()
            live = await self._registry.live()
            return await ask(live, await self._opened(live.name))

    def _close_all_but(self, *names: str) -> None:
        """Another process may remove the files of the others: held open, they would keep their room on the disk."""
        for name in self._shelves.keys() - set(names):
            del self._shelves[name]

    async def _opened(self, name: str) -> Shelves:
        if name not in self._shelves:
            self._shelves[name] = await asyncio.to_thread(Shelves, self._path / name)
        return self._shelves[name]
