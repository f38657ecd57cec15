"""The search application over real stores and a real index, with accounts and documents made by the test."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge.environment import Edge
from deployments.edge.token_verifier import TokenVerifier
from deployments.search.app import build_app
from domain.ids import new_id
from domain.search import PutDocument
from domain.tokens import Claims, SigningKey
from models.query import ConceptNames
from stores.audit import PostgresAudit
from stores.keyring import SecretKeys
from stores.ports import SearchIndex, SessionState
from stores.postgres import Postgres
from stores.visibility import PostgresVisibility, Visible
from tests.contract.documents.conftest import NoLimit, Sessions, SwitchableAudit
from tests.search_world import GENERATION, WordEncoder
from tests.unit.edge.doubles import HeldActivity, HeldKeys


@dataclass(frozen=True)
class Searcher:
    """Somebody who searches; `me` is the principal that opens documents to them."""

    me: str
    client: httpx.AsyncClient

    async def search(self, query: str = "", **fields: Any) -> dict[str, Any]:
        answer = await self.client.post("/api/v1/search", json={"query": query, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def refused(self, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.client.post("/api/v1/search", json=body)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, dict(answer.json())

    async def pages(self, query: str, **fields: Any) -> list[dict[str, Any]]:
        answers = [await self.search(query, **fields)]
        while cursor := answers[-1]["next_cursor"]:
            answers.append(await self.search(query, cursor=cursor, **fields))
        return answers


@dataclass
class SearchWorld:
    """The application with what the tests change behind it."""

    app: FastAPI
    index: SearchIndex
    generation: str
    visibility: PostgresVisibility
    encoder: WordEncoder
    audit: SwitchableAudit
    sessions: Sessions
    key: SigningKey
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def searcher(self, role: str = "doctor", *principals: str) -> Searcher:
        user, session = new_id(), new_id()
        me = f"user:{user}"
        self.sessions.states[session] = SessionState(True, 1, frozenset({me, f"role:{role}", *principals}))
        now = int(time.time())
        claims = Claims(user, session, role, 1, now, now + 1800, new_id())
        token = self.key.issue(claims, issuer="medsearch", audience="medsearch-api")
        return Searcher(me, self._client({"Authorization": f"Bearer {token}"}))

    def stranger(self) -> httpx.AsyncClient:
        return self._client({})

    async def put(self, *documents: PutDocument) -> list[UUID]:
        """As the index writer does: index first, then visibility."""
        await self.index.write(self.generation, documents)
        roots = [document.root for document in documents]
        await self.visibility.raise_to(
            [Visible(root.document_id, root.version, root.revision, root.access) for root in roots]
        )
        return [root.document_id for root in roots]

    def _client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        self.clients.append(client)
        return client


@asynccontextmanager
async def open_world(
    settings: Settings, secrets: SecretStore, folder: Path, index: SearchIndex, names: ConceptNames
) -> AsyncIterator[SearchWorld]:
    """The world over `index`, in a live generation of its own; the caller removes the generation."""
    generation = replace(GENERATION, name=f"t{new_id().hex}")
    await index.create(generation)
    await index.promote(generation.name)
    key = SigningKey.generate()
    (folder / "jwks.json").write_text(json.dumps({"keys": [key.public_jwk()]}))
    sessions, audit = Sessions(), SwitchableAudit(PostgresAudit.of(settings, secrets))
    tokens = TokenVerifier(folder / "jwks.json", issuer="medsearch", audience="medsearch-api")
    edge = Edge(
        settings,
        secrets,
        AccessPolicy.load(),
        sessions,
        audit,
        NoLimit(),
        tokens,
        SecretKeys.of(settings, secrets),
        activity=HeldActivity(),
        api_keys=HeldKeys(),
    )
    encoder = WordEncoder()
    app = build_app(settings, secrets, edge=edge, index=index, encoder=encoder, names=names)
    database = Postgres.of(settings, secrets, "search")
    world = SearchWorld(
        app, index, generation.name, PostgresVisibility(database), encoder, audit, sessions, key
    )
    async with app.router.lifespan_context(app):
        yield world
    for client in world.clients:
        await client.aclose()
    await database.close()
