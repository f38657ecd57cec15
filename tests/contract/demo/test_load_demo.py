"""Loading the demonstration: real accounts and logins; the documents' side is kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from cluster.cli import api
from cluster.demo.load import load_demo
from cluster.demo.people import CLINICIANS
from config.secrets import SecretStore
from config.settings import Profile, Settings
from deployments.auth.app import build_app
from deployments.auth.provisioning import Provisioning
from domain.errors import Forbidden


class Platform(httpx.AsyncBaseTransport):
    """The real authentication service, and documents that take two looks until they are indexed."""

    def __init__(self, auth: httpx.ASGITransport) -> None:
        self._auth = auth
        self.uploads: dict[str, dict[str, str]] = {}
        self.owners: dict[str, str] = {}
        self.looks: dict[str, int] = {}
        self.fail_after: int | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/v1/auth"):
            return await self._auth.handle_async_request(request)
        if request.method == "POST":
            return await self._upload(request)
        document_id = request.url.path.split("/")[-2]
        self.looks[document_id] = self.looks.get(document_id, 0) + 1
        return httpx.Response(
            200, json={"status": "indexed" if self.looks[document_id] > 1 else "processing"}
        )

    async def _upload(self, request: httpx.Request) -> httpx.Response:
        if self.fail_after is not None and len(self.uploads) >= self.fail_after:
            return httpx.Response(507, json={"detail": "There is no room.", "code": "storage.full"})
        document_id = hashlib.sha256(await request.aread()).hexdigest()
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.owners[document_id] = jwt.decode(token, options={"verify_signature": False})["sub"]
        self.uploads[document_id] = dict(request.url.params)
        return httpx.Response(202, json={"id": document_id, "status": "received"})


@pytest.fixture
async def platform(
    settings: Settings, secrets: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Platform]:
    monkeypatch.setattr(api, "POLL_SECONDS", 0.01)
    app = build_app(settings, secrets)
    async with app.router.lifespan_context(app):
        yield Platform(httpx.ASGITransport(app))


@pytest.fixture
def marker(settings: Settings) -> Iterator[Path]:
    marker = settings.data_dir / "demo-loaded"
    yield marker
    marker.unlink(missing_ok=True)


async def test_two_approved_clinicians_own_the_documents(
    settings: Settings, secrets: SecretStore, platform: Platform, marker: Path
) -> None:
    heard: list[str] = []
    await load_demo(settings, secrets, heard.append, transport=platform)
    assert heard[0] == "the demo accounts"
    assert heard[-1] == "the demo documents (27 of 27 can be found)"
    assert all(looks == 2 for looks in platform.looks.values())
    provisioning = Provisioning.of(settings, secrets)
    for clinician in CLINICIANS:
        account = await provisioning.find_account(clinician.username)
        assert account is not None
        assert (account.role, account.status, account.departments) == (
            "doctor",
            "active",
            (clinician.department,),
        )
        own = [document for document, owner in platform.owners.items() if owner == str(account.id)]
        assert len(own) >= 13
    await provisioning.close()
    discharge = next(
        upload for upload in platform.uploads.values() if upload["filename"] == "pneumonia-discharge.pdf"
    )
    assert discharge == {
        "filename": "pneumonia-discharge.pdf",
        "title": "Discharge summary: community-acquired pneumonia",
        "document_type": "discharge_summary",
        "document_date": "2025-03-14",
        "patient": "DEMO|1001",
        "department": "pulmonology",
    }


async def test_it_is_loaded_once(
    settings: Settings, secrets: SecretStore, platform: Platform, marker: Path
) -> None:
    await load_demo(settings, secrets, lambda _: None, transport=platform)
    platform.uploads.clear()
    heard: list[str] = []
    await load_demo(settings, secrets, heard.append, transport=platform)
    assert (platform.uploads, heard) == ({}, [])


async def test_an_interrupted_load_is_taken_up_again(
    settings: Settings, secrets: SecretStore, platform: Platform, marker: Path
) -> None:
    platform.fail_after = 5
    with pytest.raises(Exception, match="no room"):
        await load_demo(settings, secrets, lambda _: None, transport=platform)
    assert not marker.exists()
    platform.fail_after = None
    await load_demo(settings, secrets, lambda _: None, transport=platform)
    assert len(platform.uploads) == 27
    assert marker.exists()


async def test_production_refuses_public_passwords(
    settings: Settings, secrets: SecretStore, platform: Platform
) -> None:
    production = settings.model_copy(update={"profile": Profile.PRODUCTION})
    with pytest.raises(Forbidden, match="production"):
        await load_demo(production, secrets, lambda _: None, transport=platform)
    assert platform.uploads == {}
