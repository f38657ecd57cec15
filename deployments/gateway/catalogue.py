"""The merged OpenAPI document of all services, made from their route declarations."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from deployments.auth.parts import PARTS
from deployments.documents.routes import router as documents
from deployments.documents.sharing_routes import router as sharing
from deployments.edge.route_table import facts_of_route
from deployments.edge.schemas import Problem
from deployments.processing.routes import router as processing
from deployments.search.routes import router as search

DESCRIPTION = """
Search over medical documents, by words and by meaning, negation told apart, access kept.

Log in with `POST /api/v1/auth/login`, press **Authorize** and paste the access token. Errors are
`application/problem+json` (RFC 9457) with a stable `code`; lists have a `next_cursor`.
"""


def slice_routers() -> list[APIRouter]:
    """The routers of all slices; importing them opens nothing."""
    return [
        *(part.router for part in PARTS),
        documents,
        sharing,
        processing,
        search,
    ]


def merged_openapi(routers: list[APIRouter]) -> dict[str, Any]:
    """One document (OpenAPI 3.1) in which every operation also names its problem answers and who may call it.

    `x-permission` is a permission of the access policy, or `anyone`.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    document = get_openapi(
        title="medsearch", version=version("medsearch"), description=DESCRIPTION.strip(), routes=routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs")
    schemas["Problem"] = schema
    for route in (route for route in routes if route.include_in_schema):
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["x-permission"] = facts_of_route(route).permission or "anyone"
    for operations in document["paths"].values():
        for operation in operations.values():
            _name_problems(operation["responses"])
    return document


def _name_problems(responses: dict[str, Any]) -> None:
    """An error is a problem unless its route says otherwise, and so is everything that is not listed."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, response in responses.items():
        if status >= "4" and re.search(
            r"/(Problem|HTTPValidationError)'|^$", str(response.get("content", ""))
        ):
            response["content"] = content
    responses.setdefault("default", {"description": "Any error.", "content": content})
