"""People who use the account endpoints in tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.provisioning import Provisioning
from stores.accounts import Accounts
from stores.postgres import Postgres
from stores.treatments import Treatments

PASSWORD = "SecurePass123!"


@dataclass
class Person:
    """An account on the application under test."""

    client: httpx.AsyncClient
    name: str = field(default_factory=lambda: "u" + uuid4().hex[:12])
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    def wish(self, **changes: Any) -> dict[str, Any]:
        return {
            "email": self.email,
            "username": self.name,
            "password": self.password,
            "first_name": "John",
            "last_name": "Smith",
            "role": "doctor",
        } | changes

    async def register(self, **changes: Any) -> httpx.Response:
        return await self.client.post("/api/v1/auth/register", json=self.wish(**changes))

    async def login(self, **changes: Any) -> httpx.Response:
        body = {"email": self.email, "password": self.password} | changes
        answer = await self.client.post("/api/v1/auth/login", json=body)
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer

    async def arrive(self) -> Person:
        """Registered and logged in."""
        assert (await self.register()).status_code == 202
        assert (await self.login()).status_code == 200
        return self

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def me(self) -> httpx.Response:
        return await self.client.get("/api/v1/users/me", headers=self.bearer)

    async def refresh(self, token: str | None = None) -> httpx.Response:
        body = {"refresh_token": token or self.tokens["refresh_token"]}
        return await self.client.post("/api/v1/auth/refresh", json=body)


def client_of(app: FastAPI, address: str = "192.0.2.1") -> httpx.AsyncClient:
    """A client that comes from `address`."""
    transport = httpx.ASGITransport(app, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def principals(settings: Settings, secrets: SecretStore, session_id: UUID) -> set[str]:
    """What the published view says, read by its reader's role."""
    db = Postgres.of(settings, secrets, "auth", "session-reader")
    async with db.connection() as connection:
        found = await connection.fetchval(
            "SELECT principals FROM api.session_state WHERE sid = $1", session_id
        )
    await db.close()
    return set(found)


async def provision(
    settings: Settings, secrets: SecretStore, person: Person, role: str, departments: Sequence[str] = ()
) -> UUID:
    provisioning = Provisioning.of(settings, secrets)
    try:
        return await provisioning.create_account(
            email=person.email,
            username=person.name,
            password=person.password,
            first_name="Ada",
            last_name="Lovelace",
            role=role,
            departments=departments,
        )
    finally:
        await provisioning.close()


async def on_accounts(settings: Settings, secrets: SecretStore, method: str, *arguments: Any) -> Any:
    """Call a method of `Accounts` in a transaction, as an administrator's endpoint will."""
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        result = await getattr(Accounts(connection), method)(*arguments)
    await db.close()
    return result


async def add_treatment(
    settings: Settings, secrets: SecretStore, account_id: UUID, patient: str, ends_at: datetime
) -> UUID:
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        relation = await Treatments(connection).add(account_id, patient, ends_at)
    await db.close()
    return relation.id
