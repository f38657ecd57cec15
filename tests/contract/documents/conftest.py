"""The documents application over the real Postgres and a real disk, with accounts made by the test."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from cluster.databases import OWNER
from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.app import build_app
from deployments.edge.environment import Edge
from deployments.edge.token_verifier import TokenVerifier
from domain.api_keys import ApiKey
from domain.errors import Unavailable
from domain.ids import new_id
from domain.tokens import Claims, SigningKey
from stores.audit import PostgresAudit
from stores.document_directory import PostgresDocumentDirectory
from stores.keyring import SecretKeys
from stores.ports import Allowance, ApiKeyState, AuditEntry, SessionState
from stores.postgres import Postgres, connect, database
from tests.contract.documents.processed import Processing, processing_of
from tests.unit.edge.doubles import HeldActivity, HeldKeys

TABLES = (
    "document, document_version, idempotency, outbox, subscription_position, subscription_event, dead_letter"
)


class Sessions:
    """Sessions in memory."""

    def __init__(self) -> None:
        self.states: dict[UUID, SessionState] = {}

    async def lookup(self, session_id: UUID) -> SessionState | None:
        return self.states.get(session_id)

    async def close(self) -> None:
        pass


class NoLimit:
    """A limiter that lets everything through."""

    async def take(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return Allowance(True, limit, seconds)

    async def peek(self, key: str, *, limit: int, seconds: int) -> Allowance:
        return Allowance(True, limit, seconds)

    async def forget(self, key: str, *, limit: int, seconds: int) -> None:
        pass

    async def close(self) -> None:
        pass


class SwitchableAudit:
    """The real trail, that can be taken away."""

    def __init__(self, inner: PostgresAudit) -> None:
        self._inner = inner
        self.away = False

    async def record(self, entry: AuditEntry) -> None:
        if self.away:
            raise Unavailable("The audit trail is away.", code="store.postgres_unavailable", retry_after=2)
        await self._inner.record(entry)

    def seal(self, entry: AuditEntry) -> dict[str, Any]:
        return self._inner.seal(entry)

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True)
class Account:
    """Somebody who calls."""

    id: str
    role: str
    principals: frozenset[str]
    client: httpx.AsyncClient

    async def upload(
        self, content: bytes = b"%PDF-1.4 x", headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        return await self.client.post("/api/v1/documents", params=fields, content=content, headers=headers)

    async def uploaded(self, content: bytes = b"%PDF-1.4 x", **fields: str) -> str:
        answer = await self.upload(content, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def get(self, document_id: str, path: str = "", **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1/documents/{document_id}{path}", params=query)

    async def list(self, **query: Any) -> httpx.Response:
        return await self.client.get("/api/v1/documents", params=query)


@dataclass
class World:
    """The application with what the tests look at behind it."""

    app: FastAPI
    settings: Settings
    owner: asyncpg.Connection
    trail: asyncpg.Connection
    audit: SwitchableAudit
    sessions: Sessions
    key: SigningKey
    keys: HeldKeys
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    begun: UUID = field(default_factory=new_id)
    """Audit records of earlier tests are older than this id."""

    def account(self, role: str = "doctor", *principals: str) -> Account:
        user, session = new_id(), new_id()
        all_principals = frozenset({f"user:{user}", f"role:{role}", *principals})
        self.sessions.states[session] = SessionState(True, 1, all_principals)
        now = int(time.time())
        token = self.key.issue(
            Claims(user, session, role, 1, now, now + 1800, new_id()),
            issuer="medsearch",
            audience="medsearch-api",
        )
        return Account(str(user), role, all_principals, self._client(token))

    def with_key(self, account: Account, *scopes: str) -> Account:
        """The same account, calling with an API key."""
        key = ApiKey.generate()
        self.keys.states[key.prefix] = ApiKeyState(key.digest, True, frozenset(scopes), account.principals)
        client = self._client(key.text)
        return replace(account, client=client)

    def _client(self, token: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {token}"},
        )
        self.clients.append(client)
        return client

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.owner.fetch(sql, *arguments)]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Data of the published events of that type, in order."""
        rows = await self.rows("SELECT body FROM outbox WHERE kind = 'event' ORDER BY id")
        bodies = [json.loads(row["body"]) for row in rows]
        return [body["data"] for body in bodies if body["type"] == kind]

    async def audited(self, event: str) -> list[dict[str, Any]]:
        """Audit records of that event, from the trail and on their way to it."""
        stored = [
            dict(row)
            for row in await self.trail.fetch(
                "SELECT * FROM audit_record WHERE event = $1 AND id > $2 ORDER BY id", event, self.begun
            )
        ]
        waiting = await self.rows("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
        bodies = [json.loads(row["body"]) for row in waiting]
        return stored + [body for body in bodies if body["event"] == event]

    def blobs(self, folder: str) -> list[str]:
        """Keys of the stored blobs below a folder, and unfinished writes."""
        root = self.settings.blobs_path
        found = [*(root / "objects" / folder).rglob("*"), *(root / "unfinished").rglob("*")]
        return sorted(
            path.relative_to(root / "objects").as_posix() if "objects" in path.parts else path.name
            for path in found
            if path.is_file()
        )


@asynccontextmanager
async def open_world(settings: Settings, secrets: SecretStore, folder: Path) -> AsyncIterator[World]:
    key = SigningKey.generate()
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.public_jwk()]}))
    sessions, keys = Sessions(), HeldKeys()
    audit = SwitchableAudit(PostgresAudit.of(settings, secrets))
    edge = Edge(
        settings=settings,
        secrets=secrets,
        policy=AccessPolicy.load(),
        sessions=sessions,
        audit=audit,
        limiter=NoLimit(),
        tokens=TokenVerifier(jwks, issuer="medsearch", audience="medsearch-api"),
        keys=SecretKeys.of(settings, secrets),
        activity=HeldActivity(),
        api_keys=keys,
    )
    owner = await connect(database(settings, "document", OWNER), secrets)
    trail = await connect(database(settings, "audit", OWNER), secrets)
    await owner.execute(f"TRUNCATE {TABLES}")
    for folder_of_others in ("objects/incoming", "unfinished"):  # what a load that a test killed was writing
        for path in (settings.blobs_path / folder_of_others).glob("*"):
            path.unlink(missing_ok=True)
    await owner.reset_type_codec("jsonb", schema="pg_catalog")
    app = build_app(settings, secrets, edge=edge)
    world = World(app, settings, owner, trail, audit, sessions, key, keys)
    async with app.router.lifespan_context(app):
        yield world
    for client in world.clients:
        await client.aclose()
    await owner.close()
    await trail.close()


@pytest.fixture
async def world(settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(settings, secrets, tmp_path) as world:
        yield world


@pytest.fixture
def small_settings(settings: Settings) -> Settings:
    """The same servers with a body limit of 64 KiB."""
    return settings.model_copy(
        update={"http": settings.http.model_copy(update={"body_limit_bytes": 64 * 1024})}
    )


@pytest.fixture
async def small_world(small_settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(small_settings, secrets, tmp_path) as world:
        yield world


@pytest.fixture
async def processing(world: World, settings: Settings, secrets: SecretStore) -> AsyncIterator[Processing]:
    async with processing_of(settings, secrets) as processing:
        yield processing


@pytest.fixture
async def directory(settings: Settings, secrets: SecretStore) -> AsyncIterator[PostgresDocumentDirectory]:
    db = Postgres.of(settings, secrets, "document", "document-reader")
    yield PostgresDocumentDirectory(db)
    await db.close()
