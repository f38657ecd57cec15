"""Settings of accounts: passwords, sessions, limits of logins, providers of logins elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from config.section import Section

Role = Literal[
    "patient",
    "nurse",
    "doctor",
    "researcher",
    "records_manager",
    "privacy_officer",
    "department_admin",
    "admin",
    "service",
]
"""The roles of `access_policy.yaml`."""

HOUR = 3600
DAY = 24 * HOUR

SESSION_SECONDS: dict[Role, int] = {**dict.fromkeys(get_args(Role), DAY), "patient": 7 * DAY}
IDLE_SECONDS: dict[Role, int] = {
    **dict.fromkeys(get_args(Role), HOUR),
    "patient": DAY,
    "privacy_officer": HOUR // 2,
    "department_admin": HOUR // 2,
    "admin": HOUR // 2,
}

SessionLife = Annotated[int, Field(ge=300, le=30 * DAY)]
IdleTime = Annotated[int, Field(ge=60, le=30 * DAY)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class PasswordSettings(Section):
    """Password rules and cost (OWASP argon2id minimum)."""

    min_length: int = Field(12, ge=8, le=128, description="Shortest accepted password, in characters.")
    max_length: int = Field(128, ge=64, le=1024, description="Longest accepted password, in characters.")
    argon2_memory_kib: int = Field(19456, ge=8, description="argon2id memory, in KiB.")
    argon2_time: int = Field(2, ge=1, description="argon2id passes.")


class LoginSettings(Section):
    """Against guessing: how much is looked at in one window. A quarter in each process while Redis is away."""

    window_seconds: int = Field(900, ge=1, description="Length of the windows that attempts are counted in.")
    identifier_attempts: int = Field(
        10, ge=1, description="Wrong passwords for one submitted identifier in a window."
    )
    address_attempts: int = Field(100, ge=1, description="Wrong passwords from one address in a window.")
    everybody_attempts: int = Field(2000, ge=1, description="Wrong passwords of everybody in a window.")
    session_attempts: int = Field(
        5, ge=1, description="Wrong answers in a window when a session is asked for its password again."
    )
    mails: int = Field(5, ge=1, description="Mails of one cause that one address gets in a window.")
    known_address_days: int = Field(
        30, ge=0, description="How long an address that an owner logged in from has a window of its own."
    )


class OidcProvider(Section):
    """A provider of logins (OpenID Connect). Its client secret is the secret `oidc-NAME`."""

    issuer: str = Field(description="Issuer, as its discovery document says it.")
    client_id: str = Field(min_length=1, max_length=255, description="Our client id at the provider.")
    display_name: str | None = Field(
        None, max_length=80, description="What users see. Default: the provider's name here."
    )
    scopes: tuple[str, ...] = Field(
        ("openid", "email", "profile"), description="Scopes to ask for; openid must be among them."
    )

    @field_validator("issuer")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must look like https://login.hospital.example")
        return value

    @field_validator("scopes")
    @classmethod
    def _openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("openid must be among the scopes")
        return value


class AuthSettings(Section):
    """Accounts, tokens and sessions."""

    issuer: str | None = Field(
        None, description="`iss` of access tokens. Default: the address that users see (http.public_url)."
    )
    audience: str = Field("medsearch-api", description="`aud` of access tokens.")
    access_token_seconds: int = Field(
        1800, ge=60, le=1800, description="Life of an access token, in seconds."
    )
    session_seconds: dict[Role, SessionLife] = Field(
        SESSION_SECONDS,
        description="Life of a session by role; a day at most, for patients 30 days. Roles left out keep their default.",
    )
    idle_seconds: dict[Role, IdleTime] = Field(
        IDLE_SECONDS,
        description="Time without a request after which a session ends, by role. Roles left out keep their default.",
    )
    session_cache_seconds: float = Field(
        0.5, ge=0, le=0.5, description="How long a process may believe a session state."
    )
    ended_sessions_days: int = Field(
        30,
        ge=1,
        description="How long sessions are kept after their end; at least as long as login.known_address_days.",
    )
    verify_email: bool | None = Field(
        None, description="Login needs a verified address. Default: only in production."
    )
    demo_accounts: bool | None = Field(
        None, description="Create the demo accounts. Default: only in the local profile."
    )
    mfa_required_roles: tuple[Role, ...] = Field(
        (), description="Roles that may do nothing before they have set up a second factor."
    )
    hash_workers: int = Field(2, ge=1, le=16, description="Threads that hash passwords in one process.")
    password: PasswordSettings = PasswordSettings()
    login: LoginSettings = LoginSettings()
    oidc: dict[ProviderName, OidcProvider] = Field(
        default_factory=dict, description="Providers of logins by name; the name is part of links."
    )

    @model_validator(mode="after")
    def _addresses_known(self) -> AuthSettings:
        if self.ended_sessions_days < self.login.known_address_days:
            raise ValueError("ended_sessions_days must be at least login.known_address_days")
        return self

    @field_validator("session_seconds", mode="before")
    @classmethod
    def _with_default_sessions(cls, value: object) -> object:
        return {**SESSION_SECONDS, **value} if isinstance(value, Mapping) else value

    @field_validator("idle_seconds", mode="before")
    @classmethod
    def _with_default_idle_times(cls, value: object) -> object:
        return {**IDLE_SECONDS, **value} if isinstance(value, Mapping) else value

    @field_validator("session_seconds")
    @classmethod
    def _professionals_daily(cls, value: dict[Role, int]) -> dict[Role, int]:
        if long := sorted(role for role, seconds in value.items() if seconds > DAY and role != "patient"):
            raise ValueError(f"{', '.join(long)}: a session of a professional lasts {DAY} at most")
        return value
