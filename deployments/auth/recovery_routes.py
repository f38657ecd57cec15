"""The endpoints of mailed links: thin. Nobody need be logged in, and nobody learns who has an account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from deployments.auth import schemas
from deployments.auth.recovery import RecoveryService
from deployments.edge.authentication import anyone
from deployments.edge.route_table import audit_refusals
from domain.audit import AuditEvent

router = APIRouter(tags=["accounts"], dependencies=[Depends(anyone)])


def _recovery(request: Request) -> RecoveryService:
    service: RecoveryService = request.app.state.recovery
    return service


Recovery = Annotated[RecoveryService, Depends(_recovery)]


@router.post("/api/v1/auth/verify-email", status_code=204, response_class=Response)
@audit_refusals(AuditEvent.EMAIL_VERIFIED)
async def verify_email(body: schemas.VerifyRequest, recovery: Recovery) -> None:
    """Prove an address with the token of a mailed link; one that is bad for any reason gets 400."""
    await recovery.verify_email(body.token.get_secret_value())


@router.post("/api/v1/auth/resend-verification", status_code=202)
@audit_refusals(AuditEvent.VERIFICATION_REQUESTED)
async def resend_verification(body: schemas.EmailRequest, recovery: Recovery) -> schemas.Accepted:
    """Ask for another link to prove an address. The answer is the same whether or not it waits for one."""
    await recovery.resend_verification(body.email)
    return schemas.Accepted()


@router.post("/api/v1/auth/forgot-password", status_code=202)
@audit_refusals(AuditEvent.RESET_REQUESTED)
async def forgot_password(body: schemas.EmailRequest, recovery: Recovery) -> schemas.Accepted:
    """Ask for a link to set a new password. The answer is the same whether or not there is an account."""
    await recovery.forgot_password(body.email)
    return schemas.Accepted()


@router.post("/api/v1/auth/reset-password", status_code=204, response_class=Response)
@audit_refusals(AuditEvent.PASSWORD_RESET)
async def reset_password(body: schemas.ResetRequest, recovery: Recovery) -> None:
    """Set a new password with the token of a mailed link (30 minutes, once); every session ends."""
    await recovery.reset_password(body.token.get_secret_value(), body.new_password.get_secret_value())
