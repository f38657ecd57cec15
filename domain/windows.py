"""A frozen result list: the ordered documents of one search, so that its pages hold together."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leg put a document: rank from 1, score in [0, 1] as it entered the fusion."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class WindowEntry:
    """One document of the list and why it stands there."""

    document_id: UUID
    version: int
    score: float
    """Final, in [0, 1]: fused, times `assertion`."""
    assertion: float = 1.0
    """The factor for how the document speaks of the concepts that the query names."""
    lexical: Place | None = None
    semantic: Place | None = None
    ordinal: int | None = None
    """The nearest passage of the semantic leg."""


@dataclass(frozen=True, slots=True)
class Window:
    """`account` alone may page it. `total` counts all matches, also those behind the list's end."""

    id: UUID
    account: str
    total: int
    legs: tuple[str, ...]
    """The legs that took part: `lexical`, `semantic`."""
    entries: tuple[WindowEntry, ...]
