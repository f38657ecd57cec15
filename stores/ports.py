"""The ports: what the rest of the code may ask of the world outside the process.

Every port has one conformance suite in `tests/contract`, which each implementation passes. Unless a docstring
says otherwise an implementation raises `domain.errors.Unavailable` when its server cannot be reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from domain.documents import DocumentState
from domain.events import Event, LoggedEvent, Position, Topic
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


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A finished write."""

    key: str
    sha256: str
    size: int


class BlobStore(Protocol):
    """Bytes under keys such as `originals/…` and `artefacts/…`; a key is written once and never changed."""

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, limit: int | None = None) -> StoredBlob:
        """Store a stream durably before returning (temp, fsync, rename); nothing is left of a failed write.

        Raises `TooLarge` past `limit` bytes and `StorageFull` when there is no room.
        """
        ...

    async def put(self, key: str, content: bytes) -> StoredBlob: ...

    async def read(self, key: str) -> bytes:
        """All bytes; raises `NotFound`."""
        ...

    def stream(self, key: str, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]: ...

    async def rename(self, source: str, target: str) -> None:
        """Move a blob; a present target stays and the source goes."""
        ...

    async def delete(self, prefix: str) -> int:
        """Remove the blob `prefix` or every blob below `prefix/`; returns how many there were."""
        ...

    async def local_path(self, key: str) -> Path:
        """A readable file with the blob's bytes, for the parser child; raises `NotFound`."""
        ...


class EventLog(Protocol):
    """The ordered, durable log that subscribers read from their position."""

    async def append(self, events: Sequence[Event]) -> None:
        """Add events; one that is already there (same id) is not added again."""
        ...

    async def read(self, topics: Sequence[Topic], after: Sequence[Position], limit: int) -> list[LoggedEvent]:
        """Events behind the given positions (a partition without one: from its start), in log order."""
        ...

    async def wait(self, topics: Sequence[Topic], seconds: float) -> None:
        """Return when something may have been appended, or after `seconds`."""
        ...

    async def head(self) -> list[Position]:
        """The last position of each partition, for measuring lag."""
        ...


@dataclass(frozen=True, slots=True)
class SessionState:
    """What every application must know of a session before it answers."""

    active: bool
    token_version: int
    principals: frozenset[str]


class SessionDirectory(Protocol):
    """The published view `auth_db.api.session_state`, cached for at most half a second."""

    async def lookup(self, session_id: UUID) -> SessionState | None: ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audited act. `query` and `names` are encrypted at field level before they are stored."""

    action: str
    """C R U D E."""
    event: str
    """Dotted name such as `document.view`, `search.performed`, `auth.login`."""
    outcome: str
    """success, denied or failure."""
    actor: str
    """`user:ID`, or `anonymous`."""
    role: str = ""
    on_behalf_of: str | None = None
    patient: str | None = None
    document_id: UUID | None = None
    version: int | None = None
    document_ids: tuple[UUID, ...] = ()
    reason: str | None = None
    purpose: str | None = None
    address: str | None = None
    request_id: str = ""
    session_id: str | None = None
    query: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


class AuditLog(Protocol):
    """Append-only; a read of PHI waits for this and fails closed."""

    async def record(self, entry: AuditEntry) -> None: ...


class MailSender(Protocol):
    """Outgoing mail; the local profile writes a folder."""

    async def send(self, *, to: str, subject: str, text: str, html: str | None, key: str) -> None: ...


class RateLimiter(Protocol):
    """Counts events by key in a moving window."""

    async def hit(self, key: str, *, limit: int, seconds: int) -> float | None:
        """Count one; None when within `limit`, else the seconds until the next is allowed."""
        ...


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

    async def promote(self, name: str) -> None:
        """Make `name` the live generation in one step; the former one becomes `retired`."""
        ...

    async def drop(self, name: str) -> None:
        """Remove a generation that is not live; raises `Conflict` for the live one."""
        ...

    async def write(self, generation: str, operations: Sequence[IndexOperation]) -> WriteReport:
        """Apply the batch and make it visible: one commit or one refresh. Repeating it changes nothing.

        A batch is seen whole or not at all as far as one document is concerned: no reader sees a document's
        root with another version's passages.
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
        self, vector: Vector, access: AccessFilter, *, filters: Filters, limit: int, generation: str | None = None
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


class DocumentDirectory(Protocol):
    """The published view of the document service, read by workers, index writer and event pump."""

    async def state(self, document_id: UUID) -> DocumentState | None: ...


class Subscriber(Protocol):
    """One reader of the event log. `positions` and `handle` work on the subscriber's own database."""

    name: str
    topics: tuple[Topic, ...]

    async def positions(self) -> list[Position]: ...

    async def handle(self, batch: Sequence[LoggedEvent]) -> None:
        """Apply effects, event ids and the new position in one transaction; repeating a batch changes nothing."""
        ...


