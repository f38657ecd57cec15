"""Requests and answers of the account endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, SecretStr

from deployments.edge.schemas import Line, StrictModel, Wording

RequestableRole = Literal["patient", "nurse", "doctor", "researcher", "records_manager"]
Email = Annotated[Wording, Field(min_length=3, max_length=254, examples=["doctor@example.com"])]
Username = Annotated[
    Line, Field(min_length=3, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["drsmith"])
]
Name = Annotated[Line, Field(min_length=1, max_length=100, examples=["John"])]
Detail = Annotated[Line, Field(max_length=200, examples=["cardiology"])]
Password = Annotated[SecretStr, Field(max_length=1024, examples=["SecurePass123!"])]
MailedToken = Annotated[SecretStr, Field(max_length=200, description="What follows `#token=` in the link.")]
Otp = Annotated[SecretStr, Field(max_length=64, examples=["492039"])]
"""A code of the authenticator application, or a recovery code."""

RefreshToken = Annotated[SecretStr, Field(max_length=200)]


class RegisterRequest(StrictModel):
    email: Email
    username: Username
    password: Password
    first_name: Name
    last_name: Name
    role: RequestableRole = Field(description="The role asked for; an administrator approves it.")
    specialty: Detail | None = None
    institution: Detail | None = None


class Accepted(StrictModel):
    status: Literal["accepted"] = "accepted"


class LoginRequest(StrictModel):
    email: Annotated[Wording, Field(max_length=320, examples=["doctor@example.com"])]
    password: Password
    otp: Otp | None = Field(None, description="Needed when the account has a second factor.")


class TokenAnswer(StrictModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a word of the protocol
    expires_in: int = Field(description="Seconds.", examples=[1800])
    refresh_token: str
    refresh_expires_in: int = Field(description="Seconds.", examples=[86400])


class RefreshRequest(StrictModel):
    refresh_token: RefreshToken


class LogoutRequest(StrictModel):
    refresh_token: RefreshToken | None = None


class ChangePasswordRequest(StrictModel):
    current_password: Password
    new_password: Password


class EmailRequest(StrictModel):
    email: Email


class VerifyRequest(StrictModel):
    token: MailedToken


class ResetRequest(StrictModel):
    token: MailedToken
    new_password: Password


class ProfileAnswer(StrictModel):
    id: UUID
    email: str
    username: str
    first_name: str
    last_name: str
    role: str
    requested_role: str | None
    status: str
    specialty: str | None
    institution: str | None
    departments: list[str]
    email_verified: bool
    pending_email: str | None = Field(description="Counts once the link in its mail was used.")
    mfa_enabled: bool
    created_at: datetime


class ProfileChange(StrictModel):
    """What is left out stays; `specialty` and `institution` may be emptied with null."""

    first_name: Name | None = None
    last_name: Name | None = None
    username: Username | None = None
    specialty: Detail | None = None
    institution: Detail | None = None
    email: Email | None = Field(None, description="Waits in `pending_email` for its mailed link.")
    current_password: Password | None = Field(None, description="Needed for another address.")

    def changes(self) -> dict[str, str | None]:
        """The fields that were given; null counts only where a value may be emptied."""
        given = self.model_dump(exclude_unset=True, exclude={"current_password"})
        return {name: value for name, value in given.items() if value or name in ("specialty", "institution")}
