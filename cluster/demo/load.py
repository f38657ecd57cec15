"""Loading the demonstration on the first start: accounts, then documents as anybody would upload them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx

from cluster.cli.api import Api, Body
from cluster.cli.tokens import MemoryTokens
from cluster.demo.generate import DemoDocument, demo_documents
from cluster.demo.people import CLINICIANS
from config.secrets import SecretStore
from config.settings import Settings
from deployments.auth.provisioning import Provisioning
from domain.errors import Forbidden

AT_ONCE = 4

Notify = Callable[[str], None]


async def load_demo(
    settings: Settings,
    secrets: SecretStore,
    notify: Notify,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Make the demo accounts, upload their documents and return when all can be found.

    `notify` hears what is being waited for. Does nothing when an earlier call with this data folder came to
    its end, so that what somebody deleted stays deleted; one that was interrupted is simply repeated, because
    equal uploads are one document. Raises `Forbidden` in the production profile: the passwords are public.
    """
    if settings.production:
        raise Forbidden(
            "Demo accounts have public passwords and are refused in the production profile.",
            code="demo.production",
        )
    done = settings.data_dir / "demo-loaded"
    if done.exists():
        return
    notify("the demo accounts")
    await _provision(settings, secrets)
    async with AsyncExitStack() as stack:
        accounts = {}
        for clinician in CLINICIANS:
            api = await stack.enter_async_context(
                Api(settings.local_origin, MemoryTokens(), transport=transport)
            )
            await api.login(clinician.email, clinician.password)
            accounts[clinician.username] = api
        await _upload_all(accounts, list(demo_documents()), notify)
    done.touch()


async def _provision(settings: Settings, secrets: SecretStore) -> None:
    provisioning = Provisioning.of(settings, secrets)
    try:
        for clinician in CLINICIANS:
            await provisioning.create_account(
                email=clinician.email,
                username=clinician.username,
                password=clinician.password,
                first_name=clinician.first_name,
                last_name=clinician.last_name,
                role="doctor",
                departments=[clinician.department],
            )
    finally:
        await provisioning.close()


async def _upload_all(accounts: dict[str, Api], documents: Sequence[DemoDocument], notify: Notify) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def upload(document: DemoDocument) -> str:
        async with room:
            answer = await accounts[document.owner.username].upload(
                _body(document.content), len(document.content), _fields(document)
            )
        return str(answer["id"])

    notify(f"the demo documents (0 of {len(documents)} can be found)")
    ids = await asyncio.gather(*map(upload, documents))
    for found, (document, document_id) in enumerate(zip(documents, ids, strict=True), 1):
        await accounts[document.owner.username].settled(document_id)
        notify(f"the demo documents ({found} of {len(documents)} can be found)")


def _body(content: bytes) -> Body:
    async def pieces() -> Any:
        yield content

    return pieces


def _fields(document: DemoDocument) -> dict[str, str | None]:
    return {
        "filename": document.filename,
        "title": document.title,
        "document_type": document.document_type,
        "document_date": document.document_date.isoformat(),
        "patient": document.patient,
        "department": document.department,
    }
