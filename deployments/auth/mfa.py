"""`/api/v1/users/me/mfa`: the second factor of the own account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from deployments.auth.mfa_service import MfaService
from deployments.auth.schemas import Otp, Password
from deployments.auth.shared import Part, Shared
from deployments.edge.authentication import requires
from deployments.edge.route_table import audit_refusals
from deployments.edge.schemas import StrictModel
from domain.access import Caller
from domain.audit import AuditEvent

PATH = "/api/v1/users/me/mfa"

router = APIRouter(tags=["second factor"])
Self = Annotated[Caller, Depends(requires("profile.self"))]


class ProposalRequest(StrictModel):
    current_password: Password


class ProposalAnswer(StrictModel):
    secret: str = Field(description="Base32, for typing in.")
    otpauth_uri: str = Field(description="For a QR code.")


class CodeRequest(StrictModel):
    otp: Otp


class ChangeRequest(StrictModel):
    current_password: Password
    otp: Otp


class RecoveryCodes(StrictModel):
    recovery_codes: list[str] = Field(description="Each works once instead of a code; shown only now.")


def _service(request: Request) -> MfaService:
    service: MfaService = request.app.state.mfa
    return service


Service = Annotated[MfaService, Depends(_service)]


@router.post(PATH + "/totp", status_code=201)
@audit_refusals(AuditEvent.MFA_ENABLED)
async def propose(body: ProposalRequest, caller: Self, service: Service) -> ProposalAnswer:
    """A secret for an authenticator application. It counts once it was confirmed by a code."""
    proposal = await service.propose(caller, body.current_password.get_secret_value())
    return ProposalAnswer(secret=proposal.secret, otpauth_uri=proposal.otpauth_uri)


@router.post(PATH + "/totp/confirm")
@audit_refusals(AuditEvent.MFA_ENABLED)
async def confirm(body: CodeRequest, caller: Self, service: Service) -> RecoveryCodes:
    """Show the first code: from now on logins need one."""
    return RecoveryCodes(recovery_codes=list(await service.confirm(caller, body.otp.get_secret_value())))


@router.post(PATH + "/recovery-codes")
@audit_refusals(AuditEvent.RECOVERY_CODES_MADE)
async def renew_codes(body: ChangeRequest, caller: Self, service: Service) -> RecoveryCodes:
    """Other recovery codes; the former ones are void."""
    password, otp = body.current_password.get_secret_value(), body.otp.get_secret_value()
    return RecoveryCodes(recovery_codes=list(await service.renew_codes(caller, password, otp)))


@router.post(PATH + "/disable", status_code=204, response_class=Response)
@audit_refusals(AuditEvent.MFA_DISABLED)
async def disable(body: ChangeRequest, caller: Self, service: Service) -> None:
    """Do without a second factor from now on."""
    await service.disable(caller, body.current_password.get_secret_value(), body.otp.get_secret_value())


def services(shared: Shared) -> Mapping[str, object]:
    service = MfaService(
        shared.db,
        credentials=shared.credentials,
        factor=shared.factor,
        trail=shared.trail,
        required=shared.settings.auth.mfa_required_roles,
    )
    return {"mfa": service}


PART = Part(router, services)
