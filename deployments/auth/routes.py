"""The account endpoints: thin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from deployments.auth import schemas
from deployments.auth.logins import LoginService
from deployments.auth.service import AccountService, Profile, Registration
from deployments.edge.authentication import anyone, requires
from deployments.edge.key_set import read_key_set
from deployments.edge.route_table import audit_refusals, counted_apart
from domain.access import Caller
from domain.audit import AuditEvent

router = APIRouter(tags=["accounts"])
Self = Annotated[Caller, Depends(requires("profile.self"))]


def _accounts(request: Request) -> AccountService:
    service: AccountService = request.app.state.accounts
    return service


def _logins(request: Request) -> LoginService:
    service: LoginService = request.app.state.logins
    return service


Service = Annotated[AccountService, Depends(_accounts)]
Logins = Annotated[LoginService, Depends(_logins)]


@router.post("/api/v1/auth/register", status_code=202, dependencies=[Depends(anyone)])
@audit_refusals(AuditEvent.REGISTERED)
async def register(body: schemas.RegisterRequest, service: Service) -> schemas.Accepted:
    """Ask for an account. What became of it is told by mail; the answer is always the same."""
    wish = body.model_dump(exclude={"password"})
    await service.register(Registration(**wish, password=body.password.get_secret_value()))
    return schemas.Accepted()


@router.post("/api/v1/auth/login", dependencies=[Depends(anyone)])
@counted_apart("login")
async def login(body: schemas.LoginRequest, logins: Logins) -> schemas.TokenAnswer:
    """Begin a session. Every reason for a refusal gets the same 401.

    Only who knows the password of an account with a second factor learns that a code is missing
    (`auth.otp_required`).
    """
    otp = body.otp.get_secret_value() if body.otp else None
    return schemas.TokenAnswer.of(await logins.login(body.email, body.password.get_secret_value(), otp))


@router.post("/api/v1/auth/refresh", dependencies=[Depends(anyone)])
@counted_apart("refresh")
async def refresh(body: schemas.RefreshRequest, logins: Logins) -> schemas.TokenAnswer:
    """Exchange a refresh token for the next pair. Each works once; one shown again ends the session."""
    return schemas.TokenAnswer.of(await logins.refresh(body.refresh_token.get_secret_value()))


@router.post("/api/v1/auth/logout", status_code=204, response_class=Response)
async def logout(caller: Self, logins: Logins, body: schemas.LogoutRequest | None = None) -> None:
    """End this session; its tokens are refused everywhere within a second."""
    token = body.refresh_token if body else None
    await logins.logout(caller, token.get_secret_value() if token else None)


@router.post("/api/v1/auth/change-password", status_code=204, response_class=Response)
@audit_refusals(AuditEvent.PASSWORD_CHANGED)
async def change_password(body: schemas.ChangePasswordRequest, caller: Self, service: Service) -> None:
    """Set another password; every other session ends, and the owner gets a mail."""
    await service.change_password(
        caller, body.current_password.get_secret_value(), body.new_password.get_secret_value()
    )


@router.get("/api/v1/auth/jwks", dependencies=[Depends(anyone)])
async def jwks(request: Request) -> dict[str, Any]:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return read_key_set(request.app.state.edge.settings.jwks_path)


@router.get("/api/v1/users/me")
async def me(caller: Self, service: Service) -> schemas.ProfileAnswer:
    """The own account."""
    return _profile(await service.profile(caller))


@router.put("/api/v1/users/me")
@audit_refusals(AuditEvent.ACCOUNT_UPDATED)
async def update_me(body: schemas.ProfileChange, caller: Self, service: Service) -> schemas.ProfileAnswer:
    """Change the own account. Another e-mail address needs the password, and counts once its mailed link was used."""
    password = body.current_password
    changes = body.changes()
    return _profile(
        await service.update_profile(caller, changes, password.get_secret_value() if password else None)
    )


def _profile(profile: Profile) -> schemas.ProfileAnswer:
    account = profile.account
    same = (
        "id",
        "email",
        "username",
        "first_name",
        "last_name",
        "role",
        "requested_role",
        "status",
        "specialty",
    )
    return schemas.ProfileAnswer(
        **{name: getattr(account, name) for name in same},
        institution=account.institution,
        departments=list(profile.departments),
        pending_email=profile.pending_email,
        email_verified=account.email_verified_at is not None,
        mfa_enabled=profile.mfa_enabled,
        created_at=account.created_at,
    )
