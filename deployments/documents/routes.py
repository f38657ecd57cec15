"""`/api/v1/documents`: thin handlers; what they promise is in `service` and `uploads`."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from deployments.documents.bodies import upload_of
from deployments.documents.schemas import (
    MAX_PAGE,
    PREFIX,
    Deletion,
    DocumentView,
    Entity,
    EntityParameters,
    ListParameters,
    PageText,
    Receipt,
    StatusView,
    UploadParameters,
    VersionParameters,
)
from deployments.documents.service import DocumentService
from deployments.documents.uploads import Accepted, Uploads
from deployments.edge.authentication import requires
from deployments.edge.cursors import CursorSigner, gone
from deployments.edge.route_table import transfer
from deployments.edge.schemas import Line, Page, Problem
from domain.access import Caller
from stores.document_lists import ListFilters

router = APIRouter(prefix=PREFIX, tags=["documents"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key within 24 hours gives the same answer and has no second effect.",
    ),
]
Reader = Annotated[Caller, Depends(requires("document.read"))]

_BINARY = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "*/*": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}
            },
        },
    }
}


def problems(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """Problem answers of a route: `s404="Missing."`."""
    return {
        int(status.removeprefix("s")): {"model": Problem, "description": text}
        for status, text in reasons.items()
    }


_UPLOAD_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Receipt, "description": "The same bytes were there before."},
    **problems(
        s403="Not the caller's to upload to.",
        s411="The body's length is unknown.",
        s413="The body is too large.",
        s415="A compressed body, or another kind of multipart.",
        s422="A wrong field, or a key that was used for something else.",
        s507="No room left.",
    ),
}
READ_ANSWERS = problems(s404="Missing, or not visible to the caller.")


def uploads(request: Request) -> Uploads:
    found: Uploads = request.app.state.uploads
    return found


def service(request: Request) -> DocumentService:
    found: DocumentService = request.app.state.documents
    return found


def cursors(request: Request) -> CursorSigner:
    found: CursorSigner = request.app.state.cursors
    return found


@router.post("", status_code=202, response_model=Receipt, responses=_UPLOAD_ANSWERS, openapi_extra=_BODY)
@transfer
async def upload(
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(requires("document.upload"))],
    parameters: Annotated[UploadParameters, Query()],
    uploads: Annotated[Uploads, Depends(uploads)],
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Upload a document: the bytes as the body, or as the part `file` of a form with the same fields."""
    return _answer(response, await uploads.create(caller, upload_of(request, parameters), key=key))


@router.post(
    "/{document_id}/versions",
    status_code=202,
    response_model=Receipt,
    responses=_UPLOAD_ANSWERS | READ_ANSWERS | problems(s409="Another document has these bytes."),
    openapi_extra=_BODY,
)
@transfer
async def add_version(
    request: Request,
    response: Response,
    document_id: UUID,
    caller: Annotated[Caller, Depends(requires("document.version"))],
    parameters: Annotated[VersionParameters, Query()],
    uploads: Annotated[Uploads, Depends(uploads)],
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Replace the document's content; it is processed anew, and found again when that is done."""
    accepted = await uploads.add_version(caller, document_id, upload_of(request, parameters), key=key)
    return _answer(response, accepted)


@router.get("")
async def list_documents(
    caller: Annotated[Caller, Depends(requires("document.list"))],
    parameters: Annotated[ListParameters, Query()],
    service: Annotated[DocumentService, Depends(service)],
    cursors: Annotated[CursorSigner, Depends(cursors)],
) -> Page[DocumentView]:
    """Documents that the caller may see."""
    asked = parameters.model_dump(mode="json", exclude={"cursor", "limit"})
    bound_to = f"documents:{caller.user_id}:{json.dumps(asked, sort_keys=True)}"
    after = UUID(cursors.verify(parameters.cursor, bound_to=bound_to)["after"]) if parameters.cursor else None
    filters = ListFilters(
        status=parameters.status,
        document_type=parameters.document_type,
        department=parameters.department,
        patient=parameters.patient,
        owner_id=UUID(caller.user_id) if parameters.owner else None,
    )
    found = await service.page(caller, filters, order=parameters.sort, after=after, limit=parameters.limit)
    shown = found[: parameters.limit]
    more = len(found) > parameters.limit
    cursor = cursors.sign({"after": str(shown[-1].id)}, bound_to=bound_to) if more else None
    return Page(items=[DocumentView.of(document) for document in shown], next_cursor=cursor)


@router.get("/{document_id}", responses=READ_ANSWERS)
async def view(
    document_id: UUID, caller: Reader, service: Annotated[DocumentService, Depends(service)]
) -> DocumentView:
    """Metadata, processing status and what could not be read."""
    return DocumentView.of(await service.view(caller, document_id))


@router.get("/{document_id}/status", responses=READ_ANSWERS)
async def status(
    document_id: UUID, caller: Reader, service: Annotated[DocumentService, Depends(service)]
) -> StatusView:
    """Only the processing status: small, made for polling. Answers its owner also after a deletion."""
    return StatusView.of(await service.status(caller, document_id))


@router.get(
    "/{document_id}/content",
    response_class=StreamingResponse,
    responses=READ_ANSWERS | {200: {"content": {"*/*": {"schema": _BINARY}}}},
)
@transfer
async def content(
    document_id: UUID, caller: Reader, service: Annotated[DocumentService, Depends(service)]
) -> StreamingResponse:
    """The original file of the current version, as an attachment."""
    download = await service.download(caller, document_id)
    document = download.document
    headers = {
        "Content-Disposition": attachment(document.metadata.filename),
        "Content-Length": str(document.content.size),
        "ETag": f'"{document.content.sha256}"',
    }
    return StreamingResponse(
        download.chunks, headers=headers, media_type=passive(document.content.media_type)
    )


@router.get("/{document_id}/pages/{page}/text", responses=READ_ANSWERS | problems(s409="Not read yet."))
async def page_text(
    document_id: UUID,
    page: Annotated[int, Path(ge=1, le=MAX_PAGE)],
    caller: Reader,
    service: Annotated[DocumentService, Depends(service)],
) -> PageText:
    """The text of one page, as all offsets count it."""
    return await service.page_text(caller, document_id, page)


@router.get("/{document_id}/entities", responses=READ_ANSWERS | problems(s409="Not read yet."))
async def entities(
    document_id: UUID,
    caller: Reader,
    parameters: Annotated[EntityParameters, Query()],
    service: Annotated[DocumentService, Depends(service)],
    cursors: Annotated[CursorSigner, Depends(cursors)],
) -> Page[Entity]:
    """What was recognised in the text, in its order, with codes and assertions."""
    bound_to = f"entities:{caller.user_id}:{document_id}:{parameters.page}"
    before = cursors.verify(parameters.cursor, bound_to=bound_to) if parameters.cursor else {"start": 0}
    items, total, version = await service.entities(
        caller, document_id, page=parameters.page, start=before["start"], limit=parameters.limit
    )
    if before.get("version", version) != version:
        raise gone()
    following = {"start": before["start"] + len(items), "version": version}
    more = following["start"] < total
    return Page(items=items, next_cursor=cursors.sign(following, bound_to=bound_to) if more else None)


@router.delete(
    "/{document_id}", status_code=202, responses=READ_ANSWERS | problems(s403="Not the caller's to delete.")
)
async def delete(
    document_id: UUID,
    caller: Annotated[Caller, Depends(requires("document.delete"))],
    service: Annotated[DocumentService, Depends(service)],
    reason: Annotated[Line | None, Query(max_length=500)] = None,
) -> Deletion:
    """Delete the document: hidden from everybody at once; then its traces are removed."""
    return await service.delete(caller, document_id, reason=reason)


def passive(media_type: str | None) -> str:
    """The type a download is announced as: never one that a browser would run."""
    active = media_type is None or media_type.endswith(("html", "xml", "javascript"))
    return "application/octet-stream" if active else str(media_type)


def attachment(filename: str) -> str:
    """`Content-Disposition` (RFC 6266) for any file name: an ASCII form, and the exact one beside it."""
    plain = "".join(
        sign if sign.isascii() and sign.isprintable() and sign not in '"\\%' else "_" for sign in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _answer(response: Response, accepted: Accepted) -> dict[str, Any]:
    response.status_code = accepted.status
    response.headers["Location"] = accepted.location
    return accepted.body
