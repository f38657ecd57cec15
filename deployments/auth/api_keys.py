"""`/api/v1/users/me/api-keys`: keys for programs, managed by whoever is logged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from deployments.administration.once import IdempotencyKey, Once
from deployments.auth.api_key_schemas import KeyAnswer, KeyRequest
from deployments.auth.api_key_service import ApiKeyService, Wish
from deployments.auth.shared import Part, Shared
from deployments.edge.authentication import requires
from deployments.edge.cursors import MAX_LENGTH, CursorSigner
from deployments.edge.route_table import audit_refusals
from deployments.edge.schemas import Page
from domain.access import Caller
from domain.audit import AuditEvent

PATH = "/api/v1/users/me/api-keys"

router = APIRouter(tags=["API keys"])
Owner = Annotated[Caller, Depends(requires("apikey.manage"))]


def _service(request: Request) -> ApiKeyService:
    service: ApiKeyService = request.app.state.api_keys
    return service


def _cursors(request: Request) -> CursorSigner:
    cursors: CursorSigner = request.app.state.api_key_cursors
    return cursors


Service = Annotated[ApiKeyService, Depends(_service)]
Cursors = Annotated[CursorSigner, Depends(_cursors)]


@router.post(PATH, status_code=201)
@audit_refusals(AuditEvent.API_KEY_CREATED)
async def create(body: KeyRequest, caller: Owner, service: Service, key: IdempotencyKey = None) -> KeyAnswer:
    """Make a key for a program. Its secret is shown this once; a request sent again answers without it."""
    asked = body.model_dump(mode="json", exclude={"current_password", "otp"})
    wish = Wish(
        body.name,
        frozenset(body.scopes),
        body.expires_at,
        body.current_password.get_secret_value(),
        body.otp.get_secret_value() if body.otp else None,
    )
    return await service.create(caller, wish, Once.of(caller, "apikey.create", key, asked))


@router.get(PATH)
async def keys(
    caller: Owner,
    service: Service,
    cursors: Cursors,
    cursor: Annotated[str | None, Query(max_length=MAX_LENGTH)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Page[KeyAnswer]:
    """The own keys that were not revoked, newest first."""
    bound = f"api-keys:{caller.user_id}"
    before = UUID(cursors.verify(cursor, bound_to=bound)["before"]) if cursor else None
    found = await service.page(caller, before=before, limit=limit + 1)
    shown = found[:limit]
    following = cursors.sign({"before": shown[-1].id}, bound_to=bound) if len(found) > limit else None
    return Page(items=[KeyAnswer.of(one) for one in shown], next_cursor=following)


@router.delete(PATH + "/{key_id}", status_code=204, response_class=Response)
async def revoke(key_id: UUID, caller: Owner, service: Service) -> None:
    """Revoke a key: it is refused everywhere within a second."""
    await service.revoke(caller, key_id)


def services(shared: Shared) -> Mapping[str, object]:
    service = ApiKeyService(
        shared.db, credentials=shared.credentials, trail=shared.trail, policy=shared.edge.policy
    )
    return {"api_keys": service, "api_key_cursors": CursorSigner(shared.secrets)}


PART = Part(router, services)
