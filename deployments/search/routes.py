"""`/api/v1/search`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from deployments.edge.authentication import requires
from deployments.edge.schemas import Problem
from deployments.search.schemas import SearchAnswer, SearchParameters, SearchRequest
from deployments.search.service import PERMISSION, SearchService
from domain.access import Caller

router = APIRouter(tags=["search"])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (401, "No valid access token."),
        (403, "The role may not search."),
        (410, "The cursor ended or belongs to another search or account."),
        (422, "A field is wrong, the query too long or of too many words."),
        (503, "Index, audit, or (mode semantic) the encoder is away; see Retry-After."),
    )
}
Searcher = Annotated[Caller, Depends(requires(PERMISSION))]


def _service(request: Request) -> SearchService:
    service: SearchService = request.app.state.search
    return service


Service = Annotated[SearchService, Depends(_service)]


@router.post("/api/v1/search", response_model=SearchAnswer, responses=PROBLEMS, summary="Search documents")
async def search(asked: SearchRequest, caller: Searcher, service: Service) -> Response:
    """Documents by words, by meaning or both, with passages, highlights, mentions, facets and reasons.

    A hit is a document. All offsets are code points in the page's stored text.
    """
    return _json(await service.search(asked, caller))


@router.get(
    "/api/v1/search", response_model=SearchAnswer, responses=PROBLEMS, summary="Search, the simple case"
)
async def simple_search(
    asked: Annotated[SearchParameters, Query()], caller: Searcher, service: Service
) -> Response:
    """The same for a text alone. It stands in the address: prefer POST where addresses are kept."""
    return _json(await service.search(asked.request(), caller))


def _json(answer: SearchAnswer) -> Response:
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")
