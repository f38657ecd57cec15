"""One search from request to answer: find, check, show, audit, tell, in this order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config.policy import AccessPolicy
from config.settings import SearchSettings
from deployments.edge.context import address, request_id
from deployments.edge.cursors import CursorSigner
from deployments.search.deep import DeepPaging
from deployments.search.facets import FacetCounter, scope
from deployments.search.found import FoundPage
from deployments.search.legs import Legs, index_within
from deployments.search.presentation import Presenter
from deployments.search.question import Question, understand
from deployments.search.ranking import Ranking
from deployments.search.schemas import FusionUsed, Hit, Mode, SearchAnswer, SearchRequest, Total
from deployments.search.windowed import WindowPaging
from domain.access import Caller, within_scope
from domain.audit import AuditEvent
from domain.events import Event, EventType
from domain.ids import new_id
from domain.search import AccessFilter
from models.query import ConceptNames
from stores.ports import AuditEntry, AuditLog, QueryEncoding, SearchIndex, SearchWindows, Visibility
from stores.search.errors import GenerationMissing

PERMISSION = "search.query"
SOURCE = "/medsearch/search"


@dataclass(frozen=True, slots=True)
class SearchPorts:
    """What a search needs of the world."""

    index: SearchIndex
    encoder: QueryEncoding
    visibility: Visibility
    windows: SearchWindows
    audit: AuditLog
    cursors: CursorSigner
    names: ConceptNames
    policy: AccessPolicy


class SearchService:
    """Answers searches. No answer leaves without its audit record."""

    def __init__(
        self, ports: SearchPorts, settings: SearchSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ports = ports
        self._settings = settings
        self._clock = clock
        seconds = settings.leg_timeout_seconds
        self._ranking = Ranking(Legs(ports.index, ports.encoder, settings), ports.index, settings)
        self._windowed = WindowPaging(
            self._ranking, ports.windows, ports.visibility, ports.cursors, seconds=settings.window_seconds
        )
        self._deep = DeepPaging(ports.index, ports.visibility, ports.cursors, timeout_seconds=seconds)
        self._presenter = Presenter(ports.index, timeout_seconds=seconds)
        self._facets = FacetCounter(ports.index, timeout_seconds=seconds)

    async def search(self, request: SearchRequest, caller: Caller) -> SearchAnswer:
        """One page of results.

        Raises `Invalid` for a query over the limits, `Gone` for a cursor that ended or is another's, and
        `Unavailable` when index, visibility or audit are away, or meaning in mode semantic.
        """
        try:
            return await self._answer(request, caller)
        except GenerationMissing:
            return await self._answer(request, caller)  # it was replaced, and dropped in the same moment

    async def _answer(self, request: SearchRequest, caller: Caller) -> SearchAnswer:
        started = self._clock()
        search_id = new_id()
        question = await self._question(request, caller)
        page = await self._page(question, request)
        hits, facets = await asyncio.gather(
            self._presenter.hits(
                question, page.documents, self._fusion(question, page), explain=request.explain
            ),
            self._facets.count(question, page, request.facets),
        )
        await self._ports.audit.record(_audit_entry(request, caller, hits))
        took = round((self._clock() - started) * 1000)
        await self._ports.windows.answered(_event(search_id, caller, request, hits, took), page.freeze)
        return SearchAnswer(
            total=Total(value=page.total),
            hits=hits,
            facets=facets,
            facets_scope=scope(question, page),
            mode=request.mode,
            legs=list(page.legs),
            degraded=["semantic"] if _degraded(question, page) else [],
            next_cursor=page.next_cursor,
            took_ms=took,
            search_id=search_id,
        )

    async def _question(self, request: SearchRequest, caller: Caller) -> Question:
        allowed = self._ports.policy.scope(caller.role, PERMISSION) or ""
        access = AccessFilter(within_scope(caller, allowed))
        async with index_within(self._settings.leg_timeout_seconds):
            live = await self._ports.index.live()
        return understand(request, access, caller.user_id, self._ports.names, self._settings, live)

    async def _page(self, question: Question, request: SearchRequest) -> FoundPage:
        cursor: dict[str, Any] | None = None
        if request.cursor is not None:
            cursor = self._ports.cursors.verify(request.cursor, bound_to=question.bound_to)
        paging = self._windowed if question.windowed else self._deep
        return await paging.page(question, request.limit, cursor)

    def _fusion(self, question: Question, page: FoundPage) -> FusionUsed | None:
        if not question.windowed or question.mode is not Mode.HYBRID:
            return None
        return FusionUsed(method=self._settings.fusion, weights=self._ranking.weights(page.legs))


def _degraded(question: Question, page: FoundPage) -> bool:
    return question.windowed and "semantic" not in page.legs


def _audit_entry(request: SearchRequest, caller: Caller, hits: list[Hit]) -> AuditEntry:
    asked = request.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include={"filters", "mode", "sort"}
    )
    return AuditEntry(
        action="E",
        event=AuditEvent.SEARCH_PERFORMED,
        outcome="success",
        actor=f"user:{caller.user_id}",
        role=caller.role,
        patient=request.filters.patient,
        patients=tuple(dict.fromkeys(hit.patient for hit in hits if hit.patient)),
        document_ids=tuple(hit.document_id for hit in hits),
        address=address() or None,
        request_id=request_id(),
        session_id=caller.through,
        query=request.query,
        names={"request": json.dumps(asked, sort_keys=True)} if asked else {},
    )


def _event(search_id: UUID, caller: Caller, request: SearchRequest, hits: list[Hit], took_ms: int) -> Event:
    return Event(
        type=EventType.SEARCH_PERFORMED,
        subject=str(search_id),
        data={
            "search_id": str(search_id),
            "user_id": caller.user_id,
            "mode": request.mode.value,
            "hits": len(hits),
            "took_ms": took_ms,
        },
        source=SOURCE,
        request_id=request_id(),
    )
