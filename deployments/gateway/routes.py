"""The gateway's own endpoints: thin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST

from deployments.edge.authentication import anyone, requires
from deployments.edge.key_set import read_key_set
from deployments.edge.route_table import uncounted
from deployments.gateway import account_pages
from deployments.gateway.metadata import ServerMetadata
from deployments.gateway.pages import MEDIA_TYPES, POLICY, REDOC, SWAGGER
from deployments.gateway.schemas import Health, Readiness
from deployments.gateway.service import PlatformView
from domain.access import Caller
from domain.errors import NotFound

router = APIRouter(tags=["platform"])
PUBLIC = [Depends(anyone)]
PAGE = {"Content-Security-Policy": POLICY}
ACCOUNT_PAGE = {"Content-Security-Policy": account_pages.POLICY}
DAY = {"Cache-Control": "public, max-age=86400"}


def _view(request: Request) -> PlatformView:
    view: PlatformView = request.app.state.platform
    return view


View = Annotated[PlatformView, Depends(_view)]


@router.get("/", include_in_schema=False, dependencies=PUBLIC)
async def root() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get("/docs", include_in_schema=False, dependencies=PUBLIC)
async def docs() -> HTMLResponse:
    return HTMLResponse(SWAGGER, headers=PAGE)


@router.get("/redoc", include_in_schema=False, dependencies=PUBLIC)
async def redoc() -> HTMLResponse:
    return HTMLResponse(REDOC, headers=PAGE)


@router.get("/account/{page}", include_in_schema=False, dependencies=PUBLIC)
async def account_page(page: str, view: View) -> HTMLResponse:
    content = view.assets.account.get(page)
    if content is None:
        raise NotFound("There is nothing at this address.")
    return HTMLResponse(content, headers=ACCOUNT_PAGE)


@router.get("/static/{name}", include_in_schema=False, dependencies=PUBLIC)
async def asset(name: str, view: View) -> Response:
    content = view.assets.content.get(name)
    if content is None:
        raise NotFound("There is nothing at this address.")
    return Response(content, media_type=MEDIA_TYPES[name], headers=DAY)


@router.get("/openapi.json", include_in_schema=False, dependencies=PUBLIC)
async def openapi(view: View) -> JSONResponse:
    return JSONResponse(view.openapi)


@router.get("/health", dependencies=PUBLIC)
@uncounted
async def health() -> Health:
    """Whether this process answers."""
    return Health()


@router.get("/ready", dependencies=PUBLIC, responses={503: {"model": Readiness}})
@uncounted
async def ready(view: View, response: Response) -> Readiness:
    """Whether the platform can do its work, store by store; 503 while one is away that it needs."""
    found = await view.readiness()
    if found.status == "failing":
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return found


@router.get("/metrics", response_class=Response)
@uncounted
async def metrics(view: View, caller: Annotated[Caller, Depends(requires("metrics.read"))]) -> Response:
    """Backlogs, ages and workers in the Prometheus text format."""
    return Response(await view.metrics(), media_type=CONTENT_TYPE_LATEST)


@router.get("/.well-known/jwks.json", dependencies=PUBLIC)
async def jwks(view: View) -> dict[str, Any]:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return read_key_set(view.key_file)


@router.get("/.well-known/oauth-authorization-server", dependencies=PUBLIC)
async def authorization_server(view: View) -> ServerMetadata:
    """Who issues access tokens and where their keys are (RFC 8414)."""
    return view.issuer
