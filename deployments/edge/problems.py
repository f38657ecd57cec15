"""Errors as problem+json (RFC 9457): the one table from error class to HTTP status, and its handlers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from deployments.edge.context import request_id
from deployments.edge.headers import SECURITY_HEADERS
from domain import errors

STATUS: dict[type[errors.MedsearchError], int] = {
    errors.BadLink: 400,
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
}
"""Error class (or its nearest ancestor) -> HTTP status."""

CODES = {
    400: "request.malformed",
    401: errors.Unauthenticated.code,
    403: errors.Forbidden.code,
    404: errors.NotFound.code,
    405: "request.method_not_allowed",
    411: "request.length_required",
    413: errors.TooLarge.code,
    415: errors.UnsupportedMedia.code,
    422: errors.Invalid.code,
    429: errors.TooMany.code,
}
"""Status -> code for what the framework itself answers."""

DETAILS = {
    404: "There is nothing at this address, or you may not see it.",
    405: "This address does not take this method; the Allow header says which.",
    413: "The body is larger than allowed.",
}

log = structlog.get_logger(__name__)


def status_of(error: errors.MedsearchError) -> int:
    """The HTTP status of an error, by its class or the nearest ancestor in the table; else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    fields: Sequence[errors.FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A complete problem answer; may be sent from any place of the stack."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": f"urn:request:{request_id()}",
    }
    if fields:
        body["errors"] = [{"field": f.field, "code": f.code, "message": f.message} for f in fields]
    content = json.dumps(body, ensure_ascii=True).encode()
    return Response(content, status, {**SECURITY_HEADERS, **(headers or {})}, "application/problem+json")


def from_error(error: errors.MedsearchError) -> Response:
    """The answer to one of our own errors."""
    status = status_of(error)
    headers = {}
    if error.retry_after is not None or status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if status == 401:
        detail = ', error="invalid_token"' if error.code != errors.Unauthenticated.code else ""
        headers["WWW-Authenticate"] = f'Bearer realm="medsearch"{detail}'
    return problem(status, error.code, error.message, fields=error.errors, headers=headers)


def from_framework(error: HTTPException) -> Response:
    """The answer to what Starlette, FastAPI or `BodyLimit` raise."""
    status = error.status_code
    detail = DETAILS.get(status, error.detail)
    return problem(status, CODES.get(status, "error"), detail, headers=error.headers)


def internal_error(error: Exception) -> Response:
    """500 without detail; the log has the class and the place, under the request id."""
    log.error("unexpected_error", exc_info=error)
    return problem(
        500, "internal", "Something went wrong on our side. Quote the request id when you report it."
    )


def install(app: FastAPI) -> None:
    """Let the application answer every error as problem+json."""
    app.exception_handler(errors.MedsearchError)(_expected)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_framework)


async def _expected(_: Request, error: errors.MedsearchError) -> Response:
    return from_error(error)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    fields = tuple(_field(item) for item in error.errors())
    named = ", ".join(dict.fromkeys(field.field for field in fields))
    return problem(422, errors.Invalid.code, f"The request is not valid: {named}.", fields=fields)


async def _framework(_: Request, error: HTTPException) -> Response:
    return from_framework(error)


def _field(item: Mapping[str, Any]) -> errors.FieldError:
    """Path, code and message of one validation error: never the value that was sent."""
    parts = [str(part) for part in item["loc"]]
    path = ".".join(parts[1:] if len(parts) > 1 else parts)
    return errors.FieldError(path.encode("ascii", "replace").decode()[:200], item["type"], item["msg"])
