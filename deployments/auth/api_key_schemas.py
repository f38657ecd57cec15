"""Requests and answers of API keys."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from deployments.auth.schemas import Otp, Password
from deployments.edge.schemas import Line, StrictModel
from stores.api_keys import KeptKey

Scope = Annotated[str, Field(max_length=64, pattern=r"^[a-z_]+\.[a-z_]+$", examples=["search.query"])]


class KeyRequest(StrictModel):
    name: Annotated[Line, Field(min_length=1, max_length=100, examples=["nightly export"])]
    scopes: list[Scope] = Field(min_length=1, max_length=50, description="Permissions of the own role.")
    expires_at: AwareDatetime = Field(description="Within a year.")
    current_password: Password
    otp: Otp | None = Field(None, description="Needed when the account has a second factor.")


class KeyAnswer(StrictModel):
    id: UUID
    prefix: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_on: date | None = Field(description="The day, in UTC.")
    secret: str | None = Field(
        None, description="The whole key, `ms_PREFIX_SECRET`: only in the first answer to its creation."
    )

    @classmethod
    def of(cls, kept: KeptKey) -> KeyAnswer:
        return cls(
            id=kept.id,
            prefix=kept.prefix,
            name=kept.name,
            scopes=list(kept.scopes),
            created_at=kept.created_at,
            expires_at=kept.expires_at,
            last_used_on=kept.last_used_on,
        )
