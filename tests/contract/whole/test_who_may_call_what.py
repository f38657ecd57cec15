"""Row AC12: every kind of caller meets every endpoint, and gets what the policy says.

Callers come from the policy file, endpoints from the merged OpenAPI document: neither is listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from config.policy import AccessPolicy
from deployments.gateway.catalogue import slice_routers
from deployments.gateway.routes import router as gateway
from tests.contract.whole.platform import Whole
from tests.openapi import Operation, operations

POLICY = AccessPolicy.load()
OPERATIONS = operations()
ROLES = {role: role for role in POLICY.roles} | {"approval pending": "patient"}
"""Kind of caller -> the role that counts."""
STRANGERS = ("anonymous", "unverified", "suspended", "logged out")
PUBLIC = re.compile(
    r"GET /(health|ready|\.well-known/[a-z.-]+)"
    r"|GET /api/v1/auth/(jwks|oidc/(start|callback|providers)(/\{provider\})?)"
    r"|POST /api/v1/auth/(register|login|refresh|verify-email|resend-verification|forgot-password|reset-password|oidc/link)"
)
"""What may be called without an account; anything else that says `anyone` is a mistake."""


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_ac12_every_endpoint_has_a_policy(operation: Operation) -> None:
    if operation.permission == "anyone":
        assert PUBLIC.fullmatch(operation.name)
        assert "security" not in operation.detail
    else:
        assert operation.permission in POLICY.table
        assert operation.detail["security"]


def test_ac12_the_document_has_every_route() -> None:
    routes = [
        route
        for router in [*slice_routers(), gateway]
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
    ]
    declared = {f"{method} {route.path_format}" for route in routes for method in route.methods}
    assert declared == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("kind", [*STRANGERS, *ROLES])
async def test_ac12_each_kind_of_caller_gets_what_the_policy_says(whole: Whole, kind: str) -> None:
    caller = await _caller(whole, kind)
    wrong = []
    for operation in OPERATIONS:
        answer = await _call(whole, operation, await caller())
        if fault := _fault(answer, operation, ROLES.get(kind)):
            wrong.append(f"{operation.name}: {fault}: {answer.text[:200]}")
    assert wrong == []


def _fault(answer: httpx.Response, operation: Operation, role: str | None) -> str | None:
    """What is wrong with the answer, by the policy alone."""
    status, permission = answer.status_code, operation.permission
    code = answer.json().get("code") if "problem" in answer.headers.get("content-type", "") else None
    if status >= 500:
        return f"{status}"
    if permission == "anyone":
        return f"closed ({code})" if code in ("auth.unauthenticated", "access.forbidden") else None
    if role is None:
        return None if status == 401 else f"{status} without a session"
    if not POLICY.allows(role, permission):
        return None if (status, code) == (403, "access.forbidden") else f"{status} without the right"
    if status == 401 or (status == 403 and f"({permission})" in answer.text):
        return f"{status} with the right"
    return None


async def _caller(whole: Whole, kind: str) -> Any:
    """Gives the headers of a fresh session of one account of that kind."""
    if kind == "anonymous":
        return _nothing
    if kind == "unverified":
        return await _unverified(whole)
    if kind in STRANGERS:
        return lambda: _ended(whole, kind)
    wish = {"requested_role": "doctor"} if kind == "approval pending" else {}
    user = await whole.account(ROLES[kind], **wish)
    return lambda: whole.bearer(user)


async def _nothing() -> Mapping[str, str]:
    return {}


async def _unverified(whole: Whole) -> Any:
    """Somebody who registered and did not follow the link: no login, so no token."""
    name = f"u{uuid4().hex[:12]}"
    login = {"email": f"{name}@example.com", "password": "copper-lantern-meadow-64"}
    wish = {**login, "username": name, "first_name": "Ada", "last_name": "Lovelace", "role": "doctor"}
    assert (await whole.client.post("/api/v1/auth/register", json=wish)).status_code == 202
    answer = await whole.client.post("/api/v1/auth/login", json=login)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.email_not_verified")
    return _nothing


async def _ended(whole: Whole, kind: str) -> Mapping[str, str]:
    user = await whole.account("admin", status="suspended" if kind == "suspended" else "active")
    headers = await whole.bearer(user)
    if kind == "logged out":
        await whole.owner.execute("UPDATE session SET revoked_at = now() WHERE account_id = $1", user)
    return headers


async def _call(whole: Whole, operation: Operation, headers: Mapping[str, str]) -> httpx.Response:
    """The request with nothing in it but what the address needs."""
    path = operation.path
    for parameter in operation.detail.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", _some(parameter["schema"]))
    body: dict[str, Any] = {"json": {}} if operation.takes_json else {"content": b"x"}
    return await whole.client.request(
        operation.method, path, headers=headers, **({} if operation.method == "GET" else body)
    )


def _some(schema: Mapping[str, Any]) -> str:
    """A value of that kind that names nothing."""
    if choices := schema.get("enum"):
        return str(choices[0])
    return "1" if schema.get("type") == "integer" else str(uuid4())
