"""`/api/v1/audit`: thin; what the answers promise is in `service`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from deployments.audit import schemas
from deployments.audit.service import AuditService
from deployments.audit.table import csv_chunks
from deployments.edge.authentication import requires
from deployments.edge.route_table import transfer
from deployments.edge.schemas import Page, Problem
from domain.access import Caller

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (401, "No valid access token."),
        (403, "The role may not read the trail, or not this."),
        (503, "The trail cannot be read, or this reading not be recorded."),
    )
}
ENDED: dict[int | str, dict[str, Any]] = {
    410: {"model": Problem, "description": "The cursor ended or belongs to another list."}
}
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
Auditor = Annotated[Caller, Depends(requires("audit.read"))]


def _service(request: Request) -> AuditService:
    service: AuditService = request.app.state.trail
    return service


Service = Annotated[AuditService, Depends(_service)]


@router.get("", responses=PROBLEMS | ENDED, summary="Search the audit trail")
async def records(
    caller: Auditor, service: Service, asked: Annotated[schemas.ListParameters, Query()]
) -> Page[schemas.AuditView]:
    """Records that meet all conditions, newest first, with query and names in clear."""
    return await service.page(caller, asked)


@router.get("/readers", responses=PROBLEMS, summary="Who saw this patient")
async def readers(
    caller: Auditor, service: Service, asked: Annotated[schemas.PatientParameters, Query()]
) -> schemas.Readers:
    """Everybody who saw or changed something of the patient, also of documents that are gone; the last first."""
    return await service.readers(caller, asked)


@router.get("/own", responses=PROBLEMS | ENDED, summary="Accesses to my record")
async def own(
    caller: Annotated[Caller, Depends(requires("audit.own"))],
    service: Service,
    asked: Annotated[schemas.OwnParameters, Query()],
) -> Page[schemas.OwnAccess]:
    """Who saw the record of this account, newest first."""
    return await service.own(caller, asked)


@router.get("/figures", responses=PROBLEMS, summary="Counts by day")
async def figures(
    caller: Annotated[Caller, Depends(requires("audit.figures"))],
    service: Service,
    asked: Annotated[schemas.PeriodParameters, Query()],
) -> schemas.Figures:
    """How many records there are by day, event and outcome: the last 30 days, or a period of at most 366."""
    return await service.figures(caller, asked)


@router.get("/export", responses=PROBLEMS | CSV, response_class=StreamingResponse, summary="Records as CSV")
@transfer
async def export(
    caller: Annotated[Caller, Depends(requires("audit.export"))],
    service: Service,
    asked: Annotated[schemas.QuestionParameters, Query()],
) -> StreamingResponse:
    """Records that meet all conditions, oldest first. A text that begins like a formula gets a `'` before it."""
    chunks = csv_chunks(await service.export(caller, asked))
    first = await anext(chunks)  # a trail that is away is an answer of its own, not half a file
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_again(first, chunks), media_type="text/csv", headers=headers)


@router.get("/heads", responses=PROBLEMS, summary="Signed heads of the chain")
async def heads(
    caller: Auditor, service: Service, asked: Annotated[schemas.HeadParameters, Query()]
) -> schemas.Heads:
    """The last head of each day, to be kept elsewhere, and the keys that verify them."""
    return await service.heads(caller, asked.from_)


async def _again(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk
