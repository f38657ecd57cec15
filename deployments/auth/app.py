"""Builds the authentication application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.doorway import Doorway
from deployments.auth.parts import PARTS
from deployments.auth.shared import Shared
from deployments.edge.application import create_app
from deployments.edge.environment import Edge, open_edge
from stores.ports import Purpose


def build_app(settings: Settings, secrets: SecretStore, *, edge: Edge | None = None) -> FastAPI:
    """The application of `/api/v1`, without what has a longer prefix.

    Makes the keys that are missing and publishes those that tokens are verified with; in production raises
    `SecretMissing`.
    """
    edge = edge or open_edge(settings, secrets)
    for purpose in Purpose:
        edge.keys.list(purpose)
    shared = Shared.of(settings, secrets, edge)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await shared.close()

    return create_app(
        edge,
        title="Accounts",
        routers=[part.router for part in PARTS],
        state={name: service for part in PARTS for name, service in part.services(shared).items()},
        lifespan=lifespan,
        doors=[Middleware(Doorway, hasher=shared.hasher)],
    )
