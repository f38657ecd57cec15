"""Hybrid and semantic results: a window frozen at the first page, every page checked again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from deployments.edge.cursors import CursorSigner
from deployments.search.found import FoundDocument, FoundPage, Leg
from deployments.search.question import Question
from deployments.search.ranking import Ranking
from domain.windows import Window, WindowEntry
from stores.ports import SearchWindows, Visibility


class WindowPaging:
    """Pages of a frozen list; a cursor is good for as long as the list is kept."""

    def __init__(
        self,
        ranking: Ranking,
        windows: SearchWindows,
        visibility: Visibility,
        cursors: CursorSigner,
        *,
        seconds: int,
    ) -> None:
        self._ranking = ranking
        self._windows = windows
        self._visibility = visibility
        self._cursors = cursors
        self._seconds = seconds

    async def page(self, question: Question, limit: int, cursor: dict[str, Any] | None) -> FoundPage:
        """One page; raises `Gone` when the window is no longer kept."""
        if cursor is None:
            window = await self._ranking.window(question)
        else:
            window = await self._windows.read(UUID(cursor["window"]), question.account)
        start = cursor["start"] if cursor else 0
        visible = await self._visible(window, question)
        shown, behind = _page(window.entries, visible, start, limit)
        more = any(entry.document_id in visible for entry in window.entries[behind:])
        return FoundPage(
            documents=[_found(entry) for entry in shown],
            total=window.total - len(window.entries) + len(visible),
            legs=cast("tuple[Leg, ...]", window.legs),
            next_cursor=self._next(window, behind, question) if more else None,
            freeze=window if more and cursor is None else None,
            semantic=tuple(e.document_id for e in window.entries if e.semantic and e.document_id in visible),
        )

    async def _visible(self, window: Window, question: Question) -> frozenset[UUID]:
        versions = {entry.document_id: entry.version for entry in window.entries}
        return await self._visibility.visible(versions, question.access.principals)

    def _next(self, window: Window, start: int, question: Question) -> str:
        content = {"window": str(window.id), "start": start}
        return self._cursors.sign(content, bound_to=question.bound_to, seconds=self._seconds)


def _page(
    entries: Sequence[WindowEntry], visible: frozenset[UUID], start: int, limit: int
) -> tuple[list[WindowEntry], int]:
    """The next `limit` visible entries from `start` on, and the position behind them."""
    shown: list[WindowEntry] = []
    position = start
    while position < len(entries) and len(shown) < limit:
        if entries[position].document_id in visible:
            shown.append(entries[position])
        position += 1
    return shown, position


def _found(entry: WindowEntry) -> FoundDocument:
    return FoundDocument(
        entry.document_id,
        entry.version,
        entry.score,
        entry.lexical,
        entry.semantic,
        entry.assertion,
        entry.ordinal,
    )
