"""`/api/v1/auth/oidc`: logins through a provider. Here, and only here, is a cookie: it binds the state to the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from deployments.auth import schemas
from deployments.auth.accounts import login_service
from deployments.auth.oidc_provider import Provider
from deployments.auth.oidc_service import OidcService
from deployments.auth.shared import Part, Shared
from deployments.edge.authentication import anyone
from deployments.edge.schemas import StrictModel
from domain.errors import Forbidden
from stores.oidc_states import LIFE_SECONDS, OidcStates
from stores.outbound import GuardedTransport
from stores.redis import open_redis

PATH = "/api/v1/auth/oidc"
COOKIE = "__Host-medsearch-oidc"

router = APIRouter(prefix=PATH, tags=["logins elsewhere"], dependencies=[Depends(anyone)])


class Callback(StrictModel):
    """What providers send back, and some add."""

    state: str = Field(max_length=200)
    code: str | None = Field(None, max_length=4096)
    iss: str | None = Field(None, max_length=500)
    error: str | None = Field(None, max_length=200)
    error_description: str | None = Field(None, max_length=2000)
    error_uri: str | None = Field(None, max_length=2000)
    scope: str | None = Field(None, max_length=2000)
    session_state: str | None = Field(None, max_length=500)
    authuser: str | None = Field(None, max_length=100)
    hd: str | None = Field(None, max_length=255)
    prompt: str | None = Field(None, max_length=100)
    client_info: str | None = Field(None, max_length=4096)


class LinkRequest(StrictModel):
    password: schemas.Password
    otp: schemas.Otp | None = None


def _service(request: Request) -> OidcService:
    service: OidcService = request.app.state.oidc
    return service


Service = Annotated[OidcService, Depends(_service)]
Browser = Annotated[str | None, Cookie(alias=COOKIE, max_length=100, include_in_schema=False)]


@router.get("/start", status_code=302, response_class=RedirectResponse)
async def start(
    service: Service, provider: Annotated[str | None, Query(max_length=32)] = None
) -> RedirectResponse:
    """Go to the provider and log in there. Without a name: to the only one there is."""
    departure = await service.start(provider)
    answer = RedirectResponse(departure.url, 302)
    answer.set_cookie(
        COOKIE,
        departure.cookie,
        max_age=LIFE_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get("/callback")
async def callback(
    given: Annotated[Callback, Query()], service: Service, response: Response, cookie: Browser = None
) -> schemas.TokenAnswer:
    """Where the provider sends the browser back to. 409 `auth.oidc_link_required`: go on with `POST …/link`."""
    code = None if given.error else given.code
    pair = await service.back(cookie=cookie, state=given.state, code=code, issuer=given.iss)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return schemas.TokenAnswer.of(pair)


@router.post("/link")
async def link(
    body: LinkRequest,
    request: Request,
    service: Service,
    response: Response,
    origin: Annotated[str | None, Header(max_length=500)] = None,
    cookie: Browser = None,
) -> schemas.TokenAnswer:
    """Prove by password, and code where there is a second factor, that the account is yours: it is linked then."""
    if origin != request.app.state.edge.settings.origin:
        raise Forbidden("This works from our own pages only.", code="access.foreign_origin")
    otp = body.otp.get_secret_value() if body.otp else None
    pair = await service.link(cookie, body.password.get_secret_value(), otp)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return schemas.TokenAnswer.of(pair)


def services(shared: Shared) -> Mapping[str, object]:
    settings = shared.settings
    transport = GuardedTransport(settings.outbound)
    providers = {
        name: Provider(
            name,
            provider,
            shared.secrets,
            redirect_uri=f"{settings.origin}{PATH}/callback",
            transport=transport,
        )
        for name, provider in settings.auth.oidc.items()
    }
    states = OidcStates(open_redis(settings, shared.secrets))
    shared.closing.extend((transport.aclose, states.close))
    service = OidcService(
        shared.db,
        providers=providers,
        states=states,
        logins=login_service(shared),
        starter=shared.starter,
        factor=shared.factor,
        trail=shared.trail,
    )
    return {"oidc": service}


PART = Part(router, services)
