"""The processing application, built in the replica by a pure factory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge.application import create_app
from deployments.edge.cursors import CursorSigner
from deployments.edge.environment import Edge, open_edge
from deployments.processing.routes import router
from deployments.processing.service import ProcessingService
from stores.job_reports import JobReports
from stores.jobs import JobStore
from stores.postgres import Postgres
from stores.workers import WorkerStore


def build_app(settings: Settings, secrets: SecretStore, *, edge: Edge | None = None) -> FastAPI:
    """The application of `/api/v1/processing`; nothing is connected before it is needed."""
    edge = edge or open_edge(settings, secrets)
    db = Postgres.of(settings, secrets, "processing")
    service = ProcessingService(
        JobStore(db, settings.processing), JobReports(db), WorkerStore(db), edge.audit, CursorSigner(secrets)
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await db.close()

    return create_app(
        edge, title="Processing", routers=[router], state={"processing": service}, lifespan=lifespan
    )
