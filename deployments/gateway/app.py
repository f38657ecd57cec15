"""Builds the gateway application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from config.secrets import SecretStore
from config.settings import Settings
from deployments.edge.application import create_app
from deployments.edge.environment import Edge, open_edge
from deployments.gateway.catalogue import merged_openapi, slice_routers
from deployments.gateway.metadata import server_metadata
from deployments.gateway.metrics import Gauges, StoreGauges
from deployments.gateway.pages import Assets
from deployments.gateway.readiness import StoreChecks
from deployments.gateway.routes import router
from deployments.gateway.service import PlatformView


def build_app(
    settings: Settings,
    secrets: SecretStore,
    *,
    edge: Edge | None = None,
    gauges: Gauges | None = None,
    routers: Sequence[APIRouter] | None = None,
) -> FastAPI:
    """The application of `/`. `gauges`: what `/metrics` shows; `routers`: what the pages describe."""
    edge = edge or open_edge(settings, secrets)
    checks = StoreChecks(settings, secrets)
    measured = gauges or StoreGauges(settings, secrets)
    view = PlatformView(
        checks=checks.all(),
        gauges=measured,
        openapi=merged_openapi([*(slice_routers() if routers is None else routers), router]),
        key_file=settings.jwks_path,
        issuer=server_metadata(settings.token_issuer, settings.origin),
        assets=Assets.load(),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await measured.close()
            await checks.close()

    return create_app(edge, title="medsearch", routers=[router], state={"platform": view}, lifespan=lifespan)
