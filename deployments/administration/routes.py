"""`/api/v1/admin`: thin handlers; what they promise is in `service` and `treatments`."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from deployments.administration.once import IdempotencyKey, Once
from deployments.administration.schemas import (
    AccountAnswer,
    AccountParameters,
    Approval,
    Departments,
    OwnRecord,
    PageParameters,
    Reasoned,
    RoleAssignment,
    TreatmentAnswer,
    TreatmentParameters,
    TreatmentRequest,
)
from deployments.administration.service import AdministrationService
from deployments.administration.treatments import TreatmentService
from deployments.edge.authentication import requires
from deployments.edge.cursors import CursorSigner
from deployments.edge.route_table import audit_refusals
from deployments.edge.schemas import Page, Problem
from domain.access import Caller
from domain.audit import AuditEvent
from stores.account_lists import AccountFilters
from stores.treatments import TreatmentFilters

router = APIRouter(prefix="/api/v1/admin", tags=["administration"])

Reader = Annotated[Caller, Depends(requires("account.read"))]
Approver = Annotated[Caller, Depends(requires("role.approve"))]
Assigner = Annotated[Caller, Depends(requires("role.assign"))]
Suspender = Annotated[Caller, Depends(requires("account.suspend"))]
Unlocker = Annotated[Caller, Depends(requires("account.unlock"))]
DepartmentSetter = Annotated[Caller, Depends(requires("account.departments"))]
RecordSetter = Annotated[Caller, Depends(requires("account.own_record"))]
TreatmentManager = Annotated[Caller, Depends(requires("treatment.manage"))]


def problems(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """Problem answers of a route: `s404="Missing."`."""
    return {
        int(status.removeprefix("s")): {"model": Problem, "description": text}
        for status, text in reasons.items()
    }


MISSING = problems(s404="Missing, or not the caller's to administer.")
CHANGE = MISSING | problems(s403="The own account, or one that only administrators change.")
LAST = problems(s409="The last administrator.")


def _service(request: Request) -> AdministrationService:
    service: AdministrationService = request.app.state.administration
    return service


def _treatments(request: Request) -> TreatmentService:
    service: TreatmentService = request.app.state.treatments
    return service


def _cursors(request: Request) -> CursorSigner:
    cursors: CursorSigner = request.app.state.administration_cursors
    return cursors


Service = Annotated[AdministrationService, Depends(_service)]
Relations = Annotated[TreatmentService, Depends(_treatments)]
Cursors = Annotated[CursorSigner, Depends(_cursors)]


@router.get("/accounts")
async def accounts(
    caller: Reader,
    parameters: Annotated[AccountParameters, Query()],
    service: Service,
    cursors: Cursors,
) -> Page[AccountAnswer]:
    """Accounts, newest first; department administrators see those of their departments."""
    bound_to = _bound("accounts", caller, parameters)
    filters = AccountFilters(
        status=parameters.status,
        role=parameters.role,
        requested=parameters.requested,
        department=parameters.department,
        text=parameters.q,
        within=service.within(caller),
    )
    after = _after(cursors, parameters, bound_to)
    found = await service.page(caller, filters, after=after, limit=parameters.limit)
    shown = found[: parameters.limit]
    last = shown[-1].account.id if len(found) > parameters.limit else None
    return Page(items=[AccountAnswer.of(one) for one in shown], next_cursor=_cursor(cursors, last, bound_to))


@router.get("/accounts/{account_id}", responses=MISSING)
async def account(account_id: UUID, caller: Reader, service: Service) -> AccountAnswer:
    """One account."""
    return AccountAnswer.of(await service.view(caller, account_id))


@router.post(
    "/accounts/{account_id}/approve", responses=CHANGE | problems(s409="It asks for another role by now.")
)
@audit_refusals(AuditEvent.ROLE_APPROVED)
async def approve(account_id: UUID, body: Approval, caller: Approver, service: Service) -> AccountAnswer:
    """Give the role that the account asks for; its access tokens are refused until they are renewed."""
    return AccountAnswer.of(await service.approve(caller, account_id, body.role))


@router.post("/accounts/{account_id}/refuse", responses=CHANGE | problems(s409="It asks for no role."))
async def refuse(account_id: UUID, body: Reasoned, caller: Approver, service: Service) -> AccountAnswer:
    """Refuse the role that the account asks for; the present one stays."""
    return AccountAnswer.of(await service.refuse(caller, account_id, body.reason))


@router.put("/accounts/{account_id}/role", responses=CHANGE | LAST)
@audit_refusals(AuditEvent.ROLE_CHANGED)
async def assign(account_id: UUID, body: RoleAssignment, caller: Assigner, service: Service) -> AccountAnswer:
    """Give any role."""
    return AccountAnswer.of(await service.assign(caller, account_id, body.role, body.reason))


@router.post("/accounts/{account_id}/suspend", responses=CHANGE | LAST)
async def suspend(account_id: UUID, body: Reasoned, caller: Suspender, service: Service) -> AccountAnswer:
    """End all sessions and let nobody log in; documents that were uploaded are processed and stay."""
    return AccountAnswer.of(await service.suspend(caller, account_id, body.reason))


@router.post("/accounts/{account_id}/activate", responses=CHANGE | problems(s409="It is closed for good."))
async def activate(account_id: UUID, body: Reasoned, caller: Suspender, service: Service) -> AccountAnswer:
    """Let the person log in again; sessions of before stay ended."""
    return AccountAnswer.of(await service.activate(caller, account_id, body.reason))


@router.post("/accounts/{account_id}/unlock", responses=CHANGE)
async def unlock(account_id: UUID, body: Reasoned, caller: Unlocker, service: Service) -> AccountAnswer:
    """Forget the wrong passwords that were tried."""
    return AccountAnswer.of(await service.unlock(caller, account_id, body.reason))


@router.put("/accounts/{account_id}/departments", responses=CHANGE)
async def departments(
    account_id: UUID, body: Departments, caller: DepartmentSetter, service: Service
) -> AccountAnswer:
    """Set the departments; the others are left."""
    return AccountAnswer.of(await service.set_departments(caller, account_id, body.departments))


@router.put(
    "/accounts/{account_id}/own-record",
    responses=CHANGE | problems(s409="The account's role sees no own record."),
)
async def own_record(
    account_id: UUID, body: OwnRecord, caller: RecordSetter, service: Service
) -> AccountAnswer:
    """Say which patient the person is, after having made sure of it."""
    return AccountAnswer.of(await service.set_own_record(caller, account_id, body.patient))


@router.delete("/accounts/{account_id}/own-record", responses=CHANGE)
async def no_own_record(account_id: UUID, caller: RecordSetter, service: Service) -> AccountAnswer:
    """The person is no patient known here."""
    return AccountAnswer.of(await service.remove_own_record(caller, account_id))


@router.get("/treatments")
async def treatments(
    caller: TreatmentManager,
    parameters: Annotated[TreatmentParameters, Query()],
    service: Relations,
    cursors: Cursors,
) -> Page[TreatmentAnswer]:
    """Treatment relations, newest first."""
    bound_to = _bound("treatments", caller, parameters)
    filters = TreatmentFilters(
        parameters.account_id, parameters.patient, parameters.current, service.within(caller)
    )
    after = _after(cursors, parameters, bound_to)
    found = await service.page(caller, filters, after=after, limit=parameters.limit)
    shown = found[: parameters.limit]
    last = shown[-1].id if len(found) > parameters.limit else None
    return Page(
        items=[TreatmentAnswer.of(one) for one in shown], next_cursor=_cursor(cursors, last, bound_to)
    )


@router.post(
    "/treatments",
    status_code=201,
    responses=CHANGE | problems(s409="A treatment relation opens nothing for the account's role."),
)
async def begin_treatment(
    body: TreatmentRequest, caller: TreatmentManager, service: Relations, key: IdempotencyKey = None
) -> TreatmentAnswer:
    """Let somebody see a patient's documents because of treating them, until an end."""
    once = Once.of(caller, "treatment.start", key, body.model_dump(mode="json"))
    return await service.begin(caller, body.account_id, body.patient, body.ends_at, once)


@router.post("/treatments/{treatment_id}/end", responses=CHANGE | problems(s409="It had ended before."))
async def end_treatment(
    treatment_id: UUID, body: Reasoned, caller: TreatmentManager, service: Relations
) -> TreatmentAnswer:
    """End a treatment relation now."""
    return TreatmentAnswer.of(await service.end(caller, treatment_id, body.reason))


def _bound(what: str, caller: Caller, parameters: PageParameters) -> str:
    asked = parameters.model_dump(mode="json", exclude={"cursor", "limit"})
    return f"{what}:{caller.user_id}:{json.dumps(asked, sort_keys=True)}"


def _after(cursors: CursorSigner, parameters: PageParameters, bound_to: str) -> UUID | None:
    cursor = parameters.cursor
    return UUID(cursors.verify(cursor, bound_to=bound_to)["after"]) if cursor else None


def _cursor(cursors: CursorSigner, last: UUID | None, bound_to: str) -> str | None:
    return cursors.sign({"after": str(last)}, bound_to=bound_to) if last else None
