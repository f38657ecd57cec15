"""The gateway: documentation from here only, health, readiness, metrics, keys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.recovery_routes import router as links
from deployments.auth.routes import router as accounts
from deployments.gateway.app import build_app
from deployments.gateway.metrics import Sample
from deployments.gateway.readiness import Check, examine
from tests.contract.auth.people import Person, client_of, provision


class OneNumber:
    """Gauges that show a label which needs escaping."""

    async def collect(self) -> Sequence[Sample]:
        return [
            Sample("medsearch_x", "Some number.", 2, {"pool": 'a"b'}),
            Sample("medsearch_x", "Some number.", 3, {"pool": "c"}),
        ]

    async def close(self) -> None:
        return None


@pytest.fixture(scope="module")
async def gateway(quick: Settings, secrets: SecretStore, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    gate = build_app(quick, secrets, gauges=OneNumber(), routers=[accounts])
    async with gate.router.lifespan_context(gate), client_of(gate) as http:
        yield http


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/account/verify", "/account/reset"])
async def test_pages_load_nothing_from_elsewhere(gateway: httpx.AsyncClient, page: str) -> None:
    answer = await gateway.get(page)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert not re.search(r"<script(?! src=\"/)|https?://| on\w+=", answer.text)
    for link in re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.text):
        asset = await gateway.get(link)
        assert (asset.status_code, len(asset.content) > 100) == (200, True), link
        assert asset.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page", ["verify", "reset"])
async def test_a33_pages_of_mailed_links_take_the_token_from_the_fragment(
    gateway: httpx.AsyncClient, page: str
) -> None:
    answer = await gateway.get(f"/account/{page}")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<style| style=|<script>", answer.text)
    script = (await gateway.get("/static/account.js")).text
    assert "location.hash" in script
    assert "location.search" not in script
    calls = re.findall(r'data-call="([^"]+)"', answer.text)
    assert set(calls) < {route.path for route in links.routes if isinstance(route, APIRoute)}
    assert len(calls) == 1
    assert (await gateway.get(f"/account/{page}?token=x")).status_code == 422


async def test_there_are_no_other_account_pages(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/account/other")).status_code == 404


async def test_the_issuer_and_its_keys_are_published(gateway: httpx.AsyncClient, quick: Settings) -> None:
    found = (await gateway.get("/.well-known/oauth-authorization-server")).json()
    assert found == {
        "issuer": quick.token_issuer,
        "jwks_uri": f"{quick.origin}/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": [],
        "service_documentation": f"{quick.origin}/docs",
    }
    assert (await gateway.get("/.well-known/jwks.json")).json()["keys"]


async def test_the_root_leads_to_the_documentation(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_assets_are_only_those(gateway: httpx.AsyncClient) -> None:
    for name in ("..%2f__init__.py", "core.py", "%2e%2e/secrets"):
        assert (await gateway.get(f"/static/{name}")).status_code == 404


async def test_openapi_describes_every_slice_with_its_errors(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/auth/login", "/api/v1/users/me", "/health", "/metrics"} <= set(document["paths"])
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/api/v1/users/me"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in document["paths"]["/api/v1/auth/login"]["post"]
    register = document["paths"]["/api/v1/auth/register"]["post"]["responses"]
    assert list(register["422"]["content"]) == ["application/problem+json"]
    ready = document["paths"]["/ready"]["get"]["responses"]
    assert list(ready["503"]["content"]) == ["application/json"]
    assert list(ready["default"]["content"]) == ["application/problem+json"]
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert named <= set(document["components"]["schemas"])


async def test_health_and_readiness(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/health")).json() == {"status": "ok"}
    ready = await gateway.get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    names = {check["name"] for check in ready.json()["checks"]}
    assert {"auth_db", "document_db", "processing_db", "search_db", "audit_db", "event_db", "redis"} <= names


async def test_readiness_names_the_store_that_is_away(
    tmp_path_factory: pytest.TempPathFactory, quick: Settings, secrets: SecretStore
) -> None:
    empty = tmp_path_factory.mktemp("e")
    gate = build_app(quick.model_copy(update={"data_dir": empty}), secrets, gauges=OneNumber(), routers=[])
    async with gate.router.lifespan_context(gate), client_of(gate) as http:
        ready = await http.get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "failing")
    assert ready.headers["retry-after"] == "2"
    assert {(check["name"], check["error"]) for check in ready.json()["checks"] if check["needed"]} >= {
        ("auth_db", "Unavailable"),
        ("token_keys", "FileNotFoundError"),
    }


async def test_a_store_that_hangs_does_not_hang_the_check() -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    found = await examine([Check("slow", hang, needed=False)], limit=0.05)
    assert [(finding.name, finding.error) for finding in found] == [("slow", "TimeoutError")]


async def test_metrics_are_for_administrators(
    gateway: httpx.AsyncClient, client: httpx.AsyncClient, quick: Settings, secrets: SecretStore
) -> None:
    assert (await gateway.get("/metrics")).status_code == 401
    doctor, admin = Person(client), Person(client)
    await provision(quick, secrets, doctor, "doctor")
    await provision(quick, secrets, admin, "admin")
    await doctor.login()
    await admin.login()
    refused = await gateway.get("/metrics", headers=doctor.bearer)
    assert (refused.status_code, refused.json()["code"]) == (403, "access.forbidden")
    shown = await gateway.get("/metrics", headers=admin.bearer)
    assert shown.headers["content-type"].startswith("text/plain")
    assert (
        '# TYPE medsearch_x gauge\nmedsearch_x{pool="a\\"b"} 2.0\nmedsearch_x{pool="c"} 3.0\n' in shown.text
    )


async def test_the_keys_are_public_and_the_same_in_both_places(
    gateway: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    one = await gateway.get("/.well-known/jwks.json")
    other = await client.get("/api/v1/auth/jwks")
    assert one.json() == other.json()
    assert {"kty", "crv", "x", "kid", "use", "alg", "key_ops"} == set(one.json()["keys"][0])
