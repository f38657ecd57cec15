"""The ports: what the rest of the code may ask of the world outside the process.

Every port has one conformance suite in `tests/contract`, which each implementation passes. Unless a docstring
says otherwise an implementation raises `domain.errors.Unavailable` when its server cannot be reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
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
from domain.windows import Window


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

    async def wait(
        self, topics: Sequence[Topic], seconds: float, *, after: Sequence[Position] | None = None
    ) -> None:
        """Return when there is something behind `after`, or after `seconds`.

        Without `after`: when something may have been appended from now on.
        """
        ...

    async def head(self) -> list[Position]:
        """The last position of each partition, for measuring lag."""
        ...

    async def forget(self, taken: Sequence[Position], older_than: timedelta) -> int:
        """Drop events older than that; how many. Of the topics in `taken` only those up to the position there.

        Whoever subscribes later begins with what is left.
        """
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

    async def close(self) -> None: ...


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

    async def record(self, entry: AuditEntry) -> None:
        """Store the entry durably, now."""
        ...

    def seal(self, entry: AuditEntry) -> dict[str, Any]:
        """The entry, secret fields encrypted, for `stores.outbox.publish_audit` in a change's transaction."""
        ...

    async def close(self) -> None: ...


class MailSender(Protocol):
    """Outgoing mail; the local profile writes a folder."""

    async def send(self, *, to: str, subject: str, text: str, html: str | None, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit says: allowed or not, how many more now, seconds until the oldest one no longer counts."""

    allowed: bool
    remaining: int
    reset_seconds: float


class RateLimiter(Protocol):
    """Counts by key in a moving window of `limit` in `seconds`. Goes on, stricter, while its server is away."""

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        """Count one, if it is allowed."""
        ...

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        """As `take`, without counting."""
        ...

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        """Start the key's window anew."""
        ...

    async def close(self) -> None: ...


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

    name: str
    """`name@version` of the encoder, which must be the one that made the index's vectors."""

    async def encode(self, text: str) -> Vector: ...


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
