"""The authentication application on real servers, as a client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from config.account_settings import AuthSettings, LoginSettings, PasswordSettings
from config.secrets import SecretStore
from config.settings import HttpSettings, Settings
from deployments.auth.app import build_app
from deployments.documents.app import build_app as build_documents
from tests.contract.auth.links import PUBLIC
from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person, client_of
from tests.contract.auth.staff import Staff

ROOMY = LoginSettings(address_attempts=100_000, everybody_attempts=100_000)
"""Limits of addresses and of all together do not get in the way of tests that share an address."""


@pytest.fixture(scope="session")
def quick(settings: Settings) -> Settings:
    """Cheap hashes and no request limit, so that tests with hundreds of requests are quick.

    Redis has seconds to answer: on a busy machine its limits stay those of the settings, not the stricter ones.
    """
    cheap = AuthSettings(
        password=PasswordSettings(argon2_memory_kib=64, argon2_time=1), login=ROOMY, hash_workers=16
    )
    changes = {
        "auth": cheap,
        "http": HttpSettings(rate_limit_per_minute=1_000_000),
        "redis": settings.redis.model_copy(update={"timeout_seconds": 10}),
    }
    return settings.model_copy(update=changes)


@pytest.fixture(scope="session")
async def app(quick: Settings, secrets: SecretStore) -> AsyncIterator[FastAPI]:
    application = build_app(quick, secrets)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture(scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as http:
        yield http


@pytest.fixture
def arrive(client: httpx.AsyncClient) -> Callable[[], Awaitable[Person]]:
    """Somebody new, registered and logged in."""
    return lambda: Person(client).arrive()


@pytest.fixture
def staff(client: httpx.AsyncClient, quick: Settings, secrets: SecretStore) -> Staff:
    return Staff(client, quick, secrets)


@pytest.fixture
async def documents(quick: Settings, secrets: SecretStore) -> AsyncIterator[httpx.AsyncClient]:
    """The documents application, on the same accounts and sessions."""
    application = build_documents(quick, secrets)
    async with application.router.lifespan_context(application), client_of(application) as client:
        yield client


@pytest.fixture(scope="module")
def proving(quick: Settings) -> Settings:
    """Addresses must be proven, and users come by another address than the tests."""
    auth = quick.auth.model_copy(update={"verify_email": True})
    http = HttpSettings(public_url=PUBLIC, rate_limit_per_minute=1_000_000)
    return quick.model_copy(update={"auth": auth, "http": http})


@pytest.fixture(scope="module")
async def strict(proving: Settings, secrets: SecretStore) -> AsyncIterator[httpx.AsyncClient]:
    application = build_app(proving, secrets)
    async with application.router.lifespan_context(application), client_of(application) as http:
        yield http


@pytest.fixture(scope="module")
async def mailbox(
    proving: Settings, secrets: SecretStore, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mailbox]:
    box = Mailbox(proving, secrets, tmp_path_factory.mktemp("mail"))
    yield box
    await box.close()


@pytest.fixture
async def own_mails(mailbox: Mailbox) -> None:
    """What other tests left to be sent is thousands of mails, and nobody's here."""
    async with mailbox.db.connection() as connection:
        await connection.execute("DELETE FROM mail")
