"""`/api/v1/processing`."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from deployments.edge.authentication import requires
from deployments.edge.schemas import Page, Problem
from deployments.processing.schemas import Claiming, JobView, Stats
from deployments.processing.service import ProcessingService
from domain.access import Caller
from domain.lifecycle import Status

router = APIRouter(prefix="/api/v1/processing", tags=["processing"])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (401, "No valid access token."),
        (403, "The role may not operate the processing."),
        (503, "A store is away; see Retry-After."),
    )
}
MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Processing knows no such document."},
    409: {"model": Problem, "description": "The document is not in quarantine."},
}
ENDED: dict[int | str, dict[str, Any]] = {
    410: {"model": Problem, "description": "The cursor ended or belongs to another list."}
}
Viewer = Annotated[Caller, Depends(requires("processing.view"))]
Operator = Annotated[Caller, Depends(requires("processing.operate"))]


def _service(request: Request) -> ProcessingService:
    service: ProcessingService = request.app.state.processing
    return service


Service = Annotated[ProcessingService, Depends(_service)]


@router.get("/stats", responses=PROBLEMS, summary="Backlog, workers, last decisions")
async def stats(_: Viewer, service: Service) -> Stats:
    """How much waits, how old the oldest is, who works on it, and why the pools have their size."""
    return await service.stats()


@router.get("/jobs", responses=PROBLEMS | ENDED, summary="List jobs")
async def jobs(
    caller: Viewer,
    service: Service,
    status: Annotated[
        list[Status] | None, Query(max_length=len(Status), description="Only these states.")
    ] = None,
    document_id: Annotated[UUID | None, Query(description="Only this document's.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=4096)] = None,
) -> Page[JobView]:
    """Jobs in the order of their creation; `status=quarantined` lists what waits for a person."""
    return await service.jobs(caller, status or [], document_id, limit, cursor)


@router.post(
    "/documents/{document_id}/retry",
    status_code=202,
    responses=PROBLEMS | MISSING,
    summary="Try a document again",
)
async def retry(document_id: UUID, caller: Operator, service: Service) -> dict[str, str]:
    """Take a document out of quarantine: it goes on at the stage where it stopped, with fresh counts."""
    await service.retry(caller, document_id)
    return {"status": "queued"}


@router.put("/claiming", responses=PROBLEMS, summary="Pause or resume")
async def claiming(wanted: Claiming, caller: Operator, service: Service) -> Claiming:
    """While paused no new work is given out; what is under work is finished, deletions and revocations go on."""
    await service.pause(caller, paused=wanted.paused)
    return wanted
