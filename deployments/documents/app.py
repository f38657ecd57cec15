"""The documents application, built in the replica by a pure factory; its clients open and close with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.lookup import DocumentLookup
from deployments.documents.rights import Rights
from deployments.documents.routes import router
from deployments.documents.service import DocumentService
from deployments.documents.sharing import Sharing
from deployments.documents.sharing_routes import router as sharing_router
from deployments.documents.sweep import OrphanSweep
from deployments.documents.uploads import Uploads
from deployments.edge.application import create_app
from deployments.edge.cursors import CursorSigner
from deployments.edge.environment import Edge, open_edge
from stores.blobs import DiskBlobs
from stores.document_lists import DocumentLists
from stores.documents import DocumentStore
from stores.postgres import Postgres


def build_app(settings: Settings, secrets: SecretStore, *, edge: Edge | None = None) -> FastAPI:
    """The application of `/api/v1/documents`; nothing is connected before it is needed."""
    edge = edge or open_edge(settings, secrets)
    db = Postgres.of(settings, secrets, "document")
    store = DocumentStore(db)
    blobs = DiskBlobs(settings.blobs_path)
    lookup = DocumentLookup(store, Rights(edge.policy), edge.audit)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(OrphanSweep(store, blobs).run())
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await db.close()

    return create_app(
        edge,
        title="Documents",
        routers=[router, sharing_router],
        state={
            "uploads": Uploads(store, blobs, edge.audit, lookup, limit=settings.http.body_limit_bytes),
            "documents": DocumentService(store, DocumentLists(db), blobs, edge.audit, lookup),
            "sharing": Sharing(store, edge.audit, lookup),
            "cursors": CursorSigner(secrets),
        },
        lifespan=lifespan,
    )
