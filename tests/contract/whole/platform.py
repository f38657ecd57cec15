"""All HTTP applications in this process on the real stores, in front of them what Serve does: the longest prefix."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import yaml
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.databases import OWNER
from cluster.platform.serve_api import CONFIG
from config.secrets import SecretStore
from config.settings import Settings
from deployments.search.app import build_app as build_search
from domain.ids import new_id
from domain.tokens import Claims
from stores.keyring import SecretKeys
from stores.ports import Purpose
from stores.postgres import Postgres, connect, database
from stores.search.embedded import EmbeddedIndex
from tests.search_world import GENERATION, PneumoniaNames, WordEncoder

PASSWORD_HASH = "$argon2id$v=19$m=64,t=1,p=1$YWFhYWFhYWE$AAAA"
"""Of no password."""


class Prefixes:
    """Sends each request to the application with the longest prefix."""

    def __init__(self, applications: Mapping[str, ASGIApp]) -> None:
        self._applications = sorted(applications.items(), key=lambda item: -len(item[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        for prefix, application in self._applications:
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return await application(scope, receive, send)
        raise AssertionError(f"no application for {path}")


@dataclass(frozen=True)
class Whole:
    """The applications, and accounts of every kind made directly in the database."""

    http: Prefixes
    client: httpx.AsyncClient
    settings: Settings
    keys: SecretKeys
    owner: asyncpg.Connection

    async def account(self, role: str, **columns: Any) -> UUID:
        """An account; `columns` override what an approved one has."""
        user = new_id()
        kind = "service" if role == "service" else "person"
        values = {
            "id": user,
            "kind": kind,
            "email": f"{user}@example.com",
            "email_key": f"{user}@example.com",
            "username": f"u{user.hex}",
            "username_key": f"u{user.hex}",
            "password_hash": PASSWORD_HASH,
            "first_name": "Ada",
            "last_name": "Lovelace",
            "role": role,
            "status": "active",
            "email_verified_at": datetime.now(UTC),
        } | columns
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.owner.execute(
            f"INSERT INTO account ({', '.join(values)}) VALUES ({places})", *values.values()
        )
        return user

    async def bearer(self, user: UUID) -> dict[str, str]:
        """The header of a new session of that account, as a login would begin it."""
        session = new_id()
        await self.owner.execute(
            "INSERT INTO session (id, account_id, expires_at, address) VALUES ($1, $2, $3, '192.0.2.9')",
            session, user, datetime.now(UTC) + timedelta(hours=1),
        )  # fmt: skip
        role, version = await self.owner.fetchrow(
            "SELECT role, token_version FROM account WHERE id = $1", user
        )
        now = int(time.time())
        claims = Claims(user, session, role, version, now, now + 1800, new_id())
        key = self.keys.signing(Purpose.TOKEN)
        token = key.issue(claims, issuer=self.settings.token_issuer, audience=self.settings.auth.audience)
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def whole_platform(settings: Settings, secrets: SecretStore, folder: Path) -> AsyncIterator[Whole]:
    """Every application of `serve_config.yaml`; a new one is found by its name."""
    db = Postgres.of(settings, secrets, "search")
    index = EmbeddedIndex(folder / "index", db, True)
    generation = replace(GENERATION, name=f"t{new_id().hex}")
    await index.create(generation)
    await index.promote(generation.name)
    owner = await connect(database(settings, "auth", OWNER), secrets)
    applications: dict[str, ASGIApp] = {}
    async with AsyncExitStack() as stack:
        for entry in yaml.safe_load(CONFIG.read_text())["applications"]:
            if entry["route_prefix"]:
                app = _built(entry["name"], settings, secrets, index)
                await stack.enter_async_context(app.router.lifespan_context(app))
                applications[entry["route_prefix"]] = app
        http = Prefixes(applications)
        transport = httpx.ASGITransport(http, client=("192.0.2.9", 40000), raise_app_exceptions=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://test")
        )
        yield Whole(http, client, settings, SecretKeys.of(settings, secrets), owner)
    await owner.close()
    async with db.transaction() as connection:
        await connection.execute("DELETE FROM index_generation WHERE name = $1", generation.name)
        await connection.execute(f'DROP TABLE generations."{generation.name}"')
    await db.close()


def _built(name: str, settings: Settings, secrets: SecretStore, index: EmbeddedIndex) -> FastAPI:
    if name == "search":
        return build_search(settings, secrets, index=index, encoder=WordEncoder(), names=PneumoniaNames())
    app: FastAPI = import_module(f"deployments.{name}.app").build_app(settings, secrets)
    return app
