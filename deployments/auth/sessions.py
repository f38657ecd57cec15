"""`/api/v1/users/me/sessions`: where one is logged in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from deployments.auth.session_service import OwnSessions, SeenSession
from deployments.auth.shared import Part, Shared
from deployments.edge.authentication import requires
from deployments.edge.cursors import MAX_LENGTH, CursorSigner
from deployments.edge.schemas import Page, StrictModel
from domain.access import Caller

PATH = "/api/v1/users/me/sessions"

router = APIRouter(tags=["sessions"])
Self = Annotated[Caller, Depends(requires("profile.self"))]


class SessionAnswer(StrictModel):
    id: UUID
    created_at: datetime
    last_seen_at: datetime = Field(description="To within ten seconds.")
    expires_at: datetime
    address: str
    user_agent: str | None
    method: Literal["password", "oidc"]
    mfa: bool = Field(description="Whether a second factor was shown.")
    current: bool = Field(description="Whether this is the session that asks.")


def _service(request: Request) -> OwnSessions:
    service: OwnSessions = request.app.state.own_sessions
    return service


def _cursors(request: Request) -> CursorSigner:
    cursors: CursorSigner = request.app.state.session_cursors
    return cursors


Service = Annotated[OwnSessions, Depends(_service)]
Cursors = Annotated[CursorSigner, Depends(_cursors)]


@router.get(PATH)
async def sessions(
    caller: Self,
    service: Service,
    cursors: Cursors,
    cursor: Annotated[str | None, Query(max_length=MAX_LENGTH)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Page[SessionAnswer]:
    """The open sessions of the own account, newest first."""
    bound = f"sessions:{caller.user_id}"
    before = UUID(cursors.verify(cursor, bound_to=bound)["before"]) if cursor else None
    found = await service.page(caller, before=before, limit=limit + 1)
    shown = found[:limit]
    following = None
    if len(found) > limit:
        following = cursors.sign({"before": shown[-1].session.id}, bound_to=bound)
    return Page(items=[_answer(one) for one in shown], next_cursor=following)


@router.delete(PATH, status_code=204, response_class=Response)
async def end_others(caller: Self, service: Service) -> None:
    """End every other session of the own account."""
    await service.end_others(caller)


@router.delete(PATH + "/{session_id}", status_code=204, response_class=Response)
async def end(session_id: UUID, caller: Self, service: Service) -> None:
    """End one session of the own account; its tokens are refused everywhere within a second."""
    await service.end(caller, session_id)


def _answer(seen: SeenSession) -> SessionAnswer:
    session = seen.session
    return SessionAnswer(
        id=session.id,
        created_at=session.created_at,
        last_seen_at=seen.last_seen_at,
        expires_at=session.expires_at,
        address=session.address,
        user_agent=session.user_agent,
        method=session.method,
        mfa=session.mfa,
        current=seen.current,
    )


def services(shared: Shared) -> Mapping[str, object]:
    return {
        "own_sessions": OwnSessions(shared.db, trail=shared.trail, activity=shared.edge.activity),
        "session_cursors": CursorSigner(shared.secrets),
    }


PART = Part(router, services)
