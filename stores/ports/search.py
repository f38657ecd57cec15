"""The index, and what stands beside it in a search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from domain.events import Event
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
from domain.windows import Window


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What one batch did: operations applied, and those that lost to a higher revision."""

    applied: int
    stale: tuple[UUID, ...] = ()


class SearchIndex(Protocol):
    """An index with words, filters, facets and vectors. Every question carries the caller's `AccessFilter`.

    `generation` None means the live one.
    """

    async def create(self, generation: Generation) -> None:
        """Make an empty generation in state `building`; one that exists with equal values is left as it is."""
        ...

    async def generations(self) -> list[Generation]: ...

    async def live(self) -> Generation:
        """The live generation as of now, which is never older than a promotion that has ended.

        Raises `Unavailable` (`search.index_missing`) when there is none.
        """
        ...

    async def promote(self, name: str) -> None:
        """Make `name` the live generation in one step; the former one becomes `retired`."""
        ...

    async def drop(self, name: str) -> None:
        """Remove a generation that is not live; raises `Conflict` for the live one."""
        ...

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        """Apply the batch and make it visible: one commit or one refresh. Repeating it changes nothing.

        A batch is seen whole or not at all as far as one document is concerned: no reader sees a document's
        root with another version's passages. Raises `Unavailable` (`search.index_missing`), also for an empty
        batch, when what the generation held is lost; `create` makes it anew.
        """
        ...

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
        """Documents in BM25 order (ties by id), or sorted; `after` is a hit's own value."""
        ...

    async def semantic(
        self,
        vector: Vector,
        access: AccessFilter,
        *,
        filters: Filters,
        limit: int,
        generation: str | None = None,
    ) -> list[SemanticHit]:
        """The `limit` documents whose best passage is nearest, best first."""
        ...

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
        """Document counts over the union of the query's matches and the documents `also` (those the caller sees).

        Facets: concept document_type department year section; most frequent first, ties by value.
        """
        ...

    async def roots(
        self, documents: Sequence[UUID], access: AccessFilter, *, generation: str | None = None
    ) -> list[StoredRoot]: ...

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
        """The best passages of each document: those that satisfy the filters first, then by words score.

        `ordinals` names passages to include in any case (the nearest ones of the semantic leg).
        """
        ...

    async def visible_passages(self, access: AccessFilter, *, generation: str | None = None) -> int:
        """How many passages the caller may see (capped: used to choose exact vector search)."""
        ...

    async def close(self) -> None: ...


class QueryEncoding(Protocol):
    """Query texts as vectors, from a process of its own."""

    async def encode(self, text: str, encoder: str) -> Vector:
        """By the encoder `name@version`, and by no other: that which made the vectors it will be compared with.

        Raises `Unavailable` when that encoder is not at hand.
        """
        ...


class Visibility(Protocol):
    """What search may show now, whatever the index holds."""

    async def visible(self, versions: Mapping[UUID, int], principals: Collection[str]) -> frozenset[UUID]:
        """Those of the documents that may be shown, in the named version, to someone with `principals`."""
        ...


class SearchWindows(Protocol):
    """Frozen result lists of hybrid and semantic search, and the event that a search was answered."""

    async def answered(self, event: Event, window: Window | None) -> None:
        """Publish the event and keep the window, when there is one: both or neither."""
        ...

    async def read(self, window_id: UUID, account: str) -> Window:
        """The window; raises `Gone` when it is unknown, over, or somebody else's."""
        ...
