"""Builds an HTTP application: the slice's routes inside the one middleware stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.edge import problems
from deployments.edge.authentication import Admission, Authentication
from deployments.edge.boundary import ProblemBoundary, RefusalAudit, TimeLimits
from deployments.edge.environment import Edge, close_edge
from deployments.edge.headers import SecurityHeaders
from deployments.edge.identity import RequestIdentity
from deployments.edge.input_checks import BodyLimit
from deployments.edge.key_authentication import KeyAuthentication
from deployments.edge.rate_limit import RateLimit
from deployments.edge.route_table import SCOPE_KEY, RouteTable

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

CORS_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID")
CORS_EXPOSED = ("Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID")


def create_app(
    edge: Edge,
    *,
    title: str,
    routers: Sequence[APIRouter],
    state: Mapping[str, Any] = MappingProxyType({}),
    lifespan: Lifespan | None = None,
    doors: Sequence[Middleware] = (),
) -> FastAPI:
    """The application of one slice; `state` becomes attributes of `request.app.state` (besides `edge`).

    `doors` are the slice's own middleware: what they raise is answered, and nothing is known of the caller yet.

    The documents at `/docs` are the gateway's. When the lifespan ends the edge is closed.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            await close_edge(edge)

    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app = FastAPI(
        title=title,
        lifespan=living,
        middleware=stack(edge, RouteTable(routes), doors),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in routers:
        app.include_router(router)
    for name, value in {**state, "edge": edge}.items():
        setattr(app.state, name, value)
    problems.install(app)
    return app


def stack(edge: Edge, table: RouteTable, doors: Sequence[Middleware] = ()) -> list[Middleware]:
    """The one order, outermost first."""
    http = edge.settings.http
    return [
        Middleware(RouteLookup, table=table),
        Middleware(RequestIdentity, trusted_proxies=http.trusted_proxies),
        Middleware(BodyLimit, limit=http.body_limit_bytes),
        Middleware(SecurityHeaders, https=edge.settings.origin.startswith("https:")),
        Middleware(
            CORSMiddleware,
            allow_origins=http.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=CORS_HEADERS,
            expose_headers=CORS_EXPOSED,
            max_age=600,
        ),
        Middleware(RefusalAudit, audit=edge.audit),
        Middleware(ProblemBoundary),
        *doors,
        Middleware(
            TimeLimits,
            request_seconds=http.request_timeout_seconds,
            transfer_seconds=http.transfer_timeout_seconds,
        ),
        Middleware(
            Authentication,
            tokens=edge.tokens,
            sessions=edge.sessions,
            activity=edge.activity,
            idle_seconds=edge.settings.auth.idle_seconds,
            keys=KeyAuthentication(
                edge.api_keys, edge.limiter, edge.policy, mfa_roles=edge.settings.auth.mfa_required_roles
            ),
            policy=edge.policy,
            believed_seconds=edge.settings.auth.session_cache_seconds,
        ),
        Middleware(RateLimit, limiter=edge.limiter, per_minute=http.rate_limit_per_minute),
        Middleware(Admission, policy=edge.policy, audit=edge.audit),
    ]


class RouteLookup:
    """Notes which route will answer, for everything further in (the request's log line too)."""

    def __init__(self, app: ASGIApp, *, table: RouteTable) -> None:
        self.app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[SCOPE_KEY] = self._table.find(scope)
        await self.app(scope, receive, send)
