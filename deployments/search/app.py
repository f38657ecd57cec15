"""The search application, built in the replica by a pure factory; its clients open and close with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge.application import create_app
from deployments.edge.cursors import CursorSigner
from deployments.edge.environment import Edge, open_edge
from deployments.query_encoder.client import EncoderHandle, HandleEncoding
from deployments.search.routes import router
from deployments.search.service import SearchPorts, SearchService
from models.expansion import VocabularyNames
from models.query import ConceptNames
from models.terminology import ensure_vocabulary
from stores.ports import QueryEncoding, SearchIndex
from stores.postgres import Postgres
from stores.search import open_index
from stores.visibility import PostgresVisibility
from stores.windows import PostgresWindows


def build_app(
    settings: Settings,
    secrets: SecretStore,
    handle: EncoderHandle | None = None,
    *,
    edge: Edge | None = None,
    index: SearchIndex | None = None,
    encoder: QueryEncoding | None = None,
    names: ConceptNames | None = None,
) -> FastAPI:
    """The application of `/api/v1/search`; `handle` is the query encoder's, unless an `encoder` is given.

    Nothing is connected before it is needed; the vocabulary is built when this machine has none yet.
    """
    edge = edge or open_edge(settings, secrets)
    db = Postgres.of(settings, secrets, "search")
    index = index or open_index(settings, secrets)
    if encoder is None:
        if handle is None:
            raise ValueError("the search application needs a query encoder")
        encoder = HandleEncoding(handle)
    ports = SearchPorts(
        index=index,
        encoder=encoder,
        visibility=PostgresVisibility(db),
        windows=PostgresWindows(db, seconds=settings.search.window_seconds),
        audit=edge.audit,
        cursors=CursorSigner(secrets),
        names=names or VocabularyNames(ensure_vocabulary(settings.models_path)),
        policy=edge.policy,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await index.close()
            await db.close()

    service = SearchService(ports, settings.search)
    return create_app(edge, title="Search", routers=[router], state={"search": service}, lifespan=lifespan)
