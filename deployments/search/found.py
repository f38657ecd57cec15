"""What both kinds of paging give: the documents of one page and where the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from domain.windows import Place, Window

Leg = Literal["lexical", "semantic"]


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document that was visible a moment ago, and why it was found; `score` None: not ranked."""

    document_id: UUID
    version: int
    score: float | None
    lexical: Place | None = None
    semantic: Place | None = None
    assertion: float = 1.0
    ordinal: int | None = None
    """Its nearest passage, when the semantic leg found it."""


@dataclass(frozen=True, slots=True)
class FoundPage:
    """One page. `freeze` is the window to keep when its next pages are to hold together."""

    documents: Sequence[FoundDocument]
    total: int
    legs: tuple[Leg, ...]
    next_cursor: str | None = None
    freeze: Window | None = None
    semantic: tuple[UUID, ...] = ()
    """All visible documents of the semantic window, for the facets."""
