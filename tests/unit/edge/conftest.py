"""The middleware stack as a client meets it, on ports that are plain objects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.edge.application import create_app
from tests.unit.edge.doubles import Stand
from tests.unit.edge.routes import Open, router


@pytest.fixture
def serve(tmp_path: Path) -> Open:
    """A stand with its client; keyword arguments are HTTP settings."""

    @asynccontextmanager
    async def opened(
        client_address: str = "192.0.2.1", **http: Any
    ) -> AsyncIterator[tuple[Stand, httpx.AsyncClient]]:
        stand = Stand(tmp_path, **http)
        app = create_app(stand.edge, title="test", routers=[router])
        transport = httpx.ASGITransport(app, client=(client_address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield stand, client

    return opened
