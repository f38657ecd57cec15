"""Access lists and sensitivity of `/api/v1/documents`: thin handlers; what they promise is in `sharing`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from deployments.documents.routes import READ_ANSWERS, problems
from deployments.documents.schemas import (
    PREFIX,
    AccessView,
    Grant,
    Principal,
    SensitivityChange,
)
from deployments.documents.sharing import Sharing
from deployments.edge.authentication import requires
from deployments.edge.route_table import audit_refusals
from domain.access import Caller
from domain.audit import AuditEvent

router = APIRouter(prefix=PREFIX, tags=["sharing"])

Sharer = Annotated[Caller, Depends(requires("document.share"))]
ANSWERS = READ_ANSWERS | problems(s403="Not the caller's to share.")


def _sharing(request: Request) -> Sharing:
    sharing: Sharing = request.app.state.sharing
    return sharing


Service = Annotated[Sharing, Depends(_sharing)]


@router.get("/{document_id}/access", responses=ANSWERS)
async def access(document_id: UUID, caller: Sharer, sharing: Service) -> AccessView:
    """Who may read the document."""
    return AccessView.of(await sharing.view(caller, document_id))


@router.post("/{document_id}/access", responses=ANSWERS | problems(s409="The list is full."))
@audit_refusals(AuditEvent.DOCUMENT_ACCESS_CHANGE)
async def grant(document_id: UUID, body: Grant, caller: Sharer, sharing: Service) -> AccessView:
    """Let somebody, or a department, read the document; once more changes nothing."""
    return AccessView.of(await sharing.grant(caller, document_id, body.principal))


@router.delete("/{document_id}/access", responses=ANSWERS | problems(s409="Belongs to the document itself."))
async def revoke(
    document_id: UUID,
    caller: Sharer,
    sharing: Service,
    principal: Annotated[Principal, Query(description="As listed.")],
) -> AccessView:
    """Take somebody off the list; who is not on it changes nothing."""
    return AccessView.of(await sharing.revoke(caller, document_id, principal))


@router.put("/{document_id}/sensitivity", responses=ANSWERS)
@audit_refusals(AuditEvent.DOCUMENT_ACCESS_CHANGE)
async def sensitivity(
    document_id: UUID, body: SensitivityChange, caller: Sharer, sharing: Service
) -> AccessView:
    """Say how far the list reaches: restricted to persons, normal, or open to researchers."""
    return AccessView.of(await sharing.set_sensitivity(caller, document_id, body.sensitivity, body.reason))
