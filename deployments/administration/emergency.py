"""`/api/v1/users/me/break-glass`: thin handlers; what they promise is in `break_glass`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from deployments.administration.break_glass import BreakGlassService
from deployments.administration.once import IdempotencyKey, Once
from deployments.administration.routes import problems
from deployments.administration.schemas import BreakGlassAnswer, BreakGlassRequest, OpenGlasses
from deployments.edge.authentication import requires
from deployments.edge.route_table import audit_refusals
from domain.access import Caller
from domain.audit import AuditEvent

router = APIRouter(prefix="/api/v1/users/me/break-glass", tags=["emergency access"])

Breaker = Annotated[Caller, Depends(requires("breakglass.start"))]


def _service(request: Request) -> BreakGlassService:
    service: BreakGlassService = request.app.state.break_glass
    return service


Service = Annotated[BreakGlassService, Depends(_service)]


@router.post("", status_code=201, responses=problems(s409="One is open already.", s429="Too many passwords."))
@audit_refusals(AuditEvent.BREAKGLASS_STARTED)
async def start(
    body: BreakGlassRequest, caller: Breaker, service: Service, key: IdempotencyKey = None
) -> BreakGlassAnswer:
    """Open one patient's documents in this session; the privacy officers are told at once."""
    asked = body.model_dump(mode="json", exclude={"current_password"})
    return await service.start(
        caller,
        patient=body.patient,
        reason=body.reason,
        minutes=body.minutes,
        password=body.current_password.get_secret_value(),
        once=Once.of(caller, "breakglass.start", key, asked),
    )


@router.get("")
async def open_now(caller: Breaker, service: Service) -> OpenGlasses:
    """The emergency access that is open in this session."""
    return OpenGlasses(items=[BreakGlassAnswer.of(glass) for glass in await service.open(caller)])


@router.delete("/{glass_id}", status_code=204, response_class=Response, responses=problems(s404="Not open."))
async def stop(glass_id: UUID, caller: Breaker, service: Service) -> None:
    """End it now."""
    await service.stop(caller, glass_id)
