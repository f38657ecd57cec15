"""Accounts in every role, and what the trail of `auth_db` holds of them."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from config.secrets import SecretStore
from config.settings import Settings
from stores.audit import opened
from stores.keyring import SecretKeys
from stores.ports import Sealed
from stores.postgres import Postgres
from tests.contract.auth.people import Person, provision

REASON = {"reason": "as agreed with the head of the clinic"}


@dataclass
class Staff:
    """Makes people of a role who are logged in, and reads what was written of them."""

    client: httpx.AsyncClient
    settings: Settings
    secrets: SecretStore
    ids: dict[str, UUID] = field(default_factory=dict)

    async def person(self, role: str, *departments: str) -> Person:
        person = Person(self.client)
        self.ids[person.name] = await provision(self.settings, self.secrets, person, role, departments)
        assert (await person.login()).status_code == 200
        return person

    async def applicant(self, *departments: str, role: str = "doctor") -> Person:
        """Registered, waiting for a role; put into departments as an administrator does."""
        person = Person(self.client)
        assert (await person.register(role=role)).status_code == 202
        assert (await person.login()).status_code == 200
        self.ids[person.name] = UUID((await person.me()).json()["id"])
        if departments:
            admin = await self.person("admin")
            await self.act(admin, "PUT", person, "departments", {"departments": list(departments)})
        return person

    async def act(
        self, by: Person, method: str, about: Person | UUID, path: str = "", body: Any = None
    ) -> httpx.Response:
        account_id = about if isinstance(about, UUID) else self.ids[about.name]
        url = f"/api/v1/admin/accounts/{account_id}" + (f"/{path}" if path else "")
        return await self.client.request(method, url, headers=by.bearer, json=body)

    async def records(self, event: str, about: Person | UUID | None = None) -> list[dict[str, Any]]:
        """Audit records of that event on their way to the trail, in order."""
        rows = await self._outbox("audit")
        person = about if about is None or isinstance(about, UUID) else self.ids[about.name]
        return [
            row
            for row in rows
            if row["event"] == event and (person is None or row["on_behalf_of"] == f"user:{person}")
        ]

    def names(self, record: dict[str, Any]) -> dict[str, str]:
        """What such a record has sealed."""
        sealed = {
            name: b64decode(value) if name != "key_name" else value
            for name, value in record["sealed"].items()
        }
        return opened(SecretKeys.of(self.settings, self.secrets), UUID(record["id"]), Sealed(**sealed))[1]

    async def events(self, kind: str, about: Person) -> list[dict[str, Any]]:
        """Data of published events."""
        found = await self._outbox("event")
        return [
            row["data"]
            for row in found
            if row["type"] == kind and row["subject"] == str(self.ids[about.name])
        ]

    async def fetch(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        db = Postgres.of(self.settings, self.secrets, "auth")
        async with db.transaction() as connection:
            rows = await connection.fetch(sql, *arguments)
        await db.close()
        return [dict(row) for row in rows]

    async def _outbox(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.fetch("SELECT body FROM outbox WHERE kind = $1 ORDER BY created_at, id", kind)
        return [row["body"] if isinstance(row["body"], dict) else json.loads(row["body"]) for row in rows]
