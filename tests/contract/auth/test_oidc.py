"""Logins through a real provider process: there, back, linked once; rows ID7, A30, A34 and W1."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from config.account_settings import OidcProvider
from config.mail_settings import OutboundSettings
from config.secrets import SecretStore
from config.settings import RedisSettings, Settings
from deployments.auth.app import build_app
from stores.postgres import Postgres
from tests.contract.auth.people import Person, client_of, on_accounts

PATH = "/api/v1/auth/oidc"
COOKIE = "__Host-medsearch-oidc"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider of logins."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def with_provider(quick: Settings, issuer: str, allowed: tuple[str, ...]) -> Settings:
    provider = OidcProvider(issuer=issuer, client_id="medsearch")
    return quick.model_copy(
        update={
            "auth": quick.auth.model_copy(update={"oidc": {"clinic": provider}}),
            "outbound": OutboundSettings(allowed_networks=allowed),
        }
    )


@pytest.fixture(scope="module")
async def elsewhere(quick: Settings, secrets: SecretStore, issuer: str) -> AsyncIterator[FastAPI]:
    secrets.ensure("oidc-clinic")
    application = build_app(with_provider(quick, issuer, ("127.0.0.1/32",)), secrets)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def http(elsewhere: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(elsewhere) as client:
        yield client


@dataclass
class Browser:
    """Somebody with a browser, known to the provider as `person.email` unless told otherwise."""

    http: httpx.AsyncClient
    issuer: str
    person: Person
    claims: dict[str, Any] = field(default_factory=dict)
    cookie: str | None = None

    async def leave(self) -> str:
        """Go to the provider and log in there: the address it sends the browser back to."""
        started = await self.http.get(f"{PATH}/start", params={"provider": "clinic"})
        assert started.status_code == 302, started.text
        assert started.headers["set-cookie"].startswith(f"{COOKIE}=")
        self.cookie = started.headers["set-cookie"].partition("=")[2].partition(";")[0]
        known = {"email": self.person.email, "email_verified": True} | self.claims
        async with httpx.AsyncClient() as provider:
            subject = self.person.name
            (await provider.put(f"{self.issuer}/users/{subject}", json=known)).raise_for_status()
            answer = await provider.post(started.headers["location"], data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def back(self, location: str, **changes: str) -> httpx.Response:
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        answer = await self.http.get(f"{PATH}/callback", params=query | changes, headers=self.headers)
        return self._noted(answer)

    async def login(self) -> httpx.Response:
        return await self.back(await self.leave())

    async def link(
        self, password: str | None = None, origin: str | None = None, **body: str
    ) -> httpx.Response:
        origin = origin or str(Settings(data_dir=".").origin)
        answer = await self.http.post(
            f"{PATH}/link",
            json={"password": password or self.person.password, **body},
            headers={**self.headers, "Origin": origin},
        )
        return self._noted(answer)

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}

    def _noted(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 200:
            self.person.tokens = answer.json()
        return answer


@pytest.fixture
async def browser(http: httpx.AsyncClient, issuer: str) -> Browser:
    """Of somebody with an account."""
    person = Person(http)
    assert (await person.register()).status_code == 202
    return Browser(http, issuer, person)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_id7_an_account_is_linked_by_address_and_password_and_then_the_provider_suffices(
    browser: Browser, settings: Settings, secrets: SecretStore
) -> None:
    assert code(await browser.login()) == (409, "auth.oidc_link_required")
    assert code(await browser.link("not the password")) == (401, "auth.invalid_credentials")
    linked = await browser.link()
    assert linked.status_code == 200, linked.text
    assert COOKIE in linked.headers["set-cookie"]
    assert (await browser.person.me()).json()["email"] == browser.person.email
    assert code(await browser.link()) == (401, "auth.oidc_refused"), "it was released"
    again = await browser.login()
    assert again.status_code == 200, again.text
    listed = await browser.http.get("/api/v1/users/me/sessions", headers=browser.person.bearer)
    assert [one["method"] for one in listed.json()["items"]] == ["oidc", "oidc"]
    user = (await browser.person.me()).json()["id"]
    db = Postgres.of(settings, secrets, "auth")
    async with db.connection() as connection:
        linked_once = await connection.fetchval(
            "SELECT count(*) FROM outbox WHERE body->>'event' = 'auth.oidc_linked' AND body->>'actor' = $1",
            f"user:{user}",
        )
        mails = await connection.fetchval(
            "SELECT count(*) FROM mail WHERE template = 'oidc_linked' AND account_id = $1", UUID(user)
        )
    await db.close()
    assert (linked_once, mails) == (1, 1)


async def test_id7_the_cookie_is_the_browsers_own(http: httpx.AsyncClient, elsewhere: FastAPI) -> None:
    started = await http.get(f"{PATH}/start")
    cookie = started.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
    assert not any(attribute.startswith("domain") for attribute in attributes)


async def test_id7_a30_a_state_counts_once_and_in_its_own_browser(browser: Browser) -> None:
    await browser.login()
    await browser.link()
    location = await browser.leave()
    victim = Browser(browser.http, browser.issuer, Person(browser.http), cookie="x" * 43)
    assert code(await victim.back(location)) == (401, "auth.oidc_refused"), "somebody else's browser"
    assert code(await browser.back(location)) == (401, "auth.oidc_refused"), "the state is used up"
    location = await browser.leave()
    answers = await asyncio.gather(*(browser.back(location) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


@pytest.mark.parametrize(
    "changes",
    [{"state": "another"}, {"iss": "https://evil.example"}, {"code": "made-up"}, {"error": "denied"}],
)
async def test_id7_what_does_not_belong_together_is_refused(
    browser: Browser, changes: dict[str, str]
) -> None:
    location = await browser.leave()
    assert code(await browser.back(location, **changes)) == (401, "auth.oidc_refused")
    unknown = await browser.back(location, surprise="1")
    assert unknown.status_code == 422
    browser.cookie = None
    assert code(await browser.back(await browser.leave(), state="x")) == (401, "auth.oidc_refused")


async def test_id7_an_address_that_the_provider_did_not_verify_links_nothing(browser: Browser) -> None:
    browser.claims = {"email_verified": False}
    assert code(await browser.login()) == (403, "auth.oidc_email_unverified")
    assert code(await browser.link()) == (401, "auth.oidc_refused")


async def test_id7_nobody_learns_whether_an_account_has_the_address(
    http: httpx.AsyncClient, issuer: str
) -> None:
    nobody = Browser(http, issuer, Person(http))
    assert code(await nobody.login()) == (409, "auth.oidc_link_required")
    assert code(await nobody.link()) == (401, "auth.invalid_credentials")


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:8001"])
async def test_a34_linking_from_elsewhere_is_refused(browser: Browser, origin: str) -> None:
    await browser.login()
    assert code(await browser.link(origin=origin)) == (403, "access.foreign_origin")
    assert (await browser.link()).status_code == 200


async def test_id7_a_second_factor_of_ours_is_not_passed_by(browser: Browser) -> None:
    person = browser.person
    await browser.login()
    assert (await browser.link()).status_code == 200
    mfa = "/api/v1/users/me/mfa/totp"
    proposed = await browser.http.post(mfa, headers=person.bearer, json={"current_password": person.password})
    totp = pyotp.TOTP(proposed.json()["secret"])
    confirmed = await browser.http.post(mfa + "/confirm", headers=person.bearer, json={"otp": totp.now()})
    codes = confirmed.json()["recovery_codes"]
    assert code(await browser.login()) == (409, "auth.oidc_link_required")
    assert code(await browser.link()) == (401, "auth.otp_required")
    assert (await browser.link(otp=codes[0])).status_code == 200


@pytest.mark.parametrize("status", ["suspended", "closed"])
async def test_id7_a_suspended_account_is_not_entered(
    browser: Browser, settings: Settings, secrets: SecretStore, status: str
) -> None:
    await browser.login()
    await browser.link()
    user = UUID((await browser.person.me()).json()["id"])
    await on_accounts(settings, secrets, "set_status", user, status)
    assert code(await browser.login()) == (401, "auth.oidc_refused")


async def test_a_provider_that_is_not_set_is_not_there(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"{PATH}/start", params={"provider": "other"})).status_code == 404


async def test_w1_a_provider_inside_is_asked_only_when_its_network_is_named(
    quick: Settings, secrets: SecretStore, issuer: str
) -> None:
    application = build_app(with_provider(quick, issuer, ()), secrets)
    async with application.router.lifespan_context(application), client_of(application) as http:
        assert code(await http.get(f"{PATH}/start")) == (503, "outbound.refused")


async def test_without_redis_nobody_logs_in_elsewhere(
    quick: Settings, secrets: SecretStore, issuer: str
) -> None:
    settings = with_provider(quick, issuer, ("127.0.0.0/8",))
    away = RedisSettings(url="redis://127.0.0.1:1/0", timeout_seconds=0.2)
    application = build_app(settings.model_copy(update={"redis": away}), secrets)
    async with application.router.lifespan_context(application), client_of(application) as http:
        answer = await http.get(f"{PATH}/start")
        assert code(answer) == (503, "store.redis_unavailable")
        assert "set-cookie" not in answer.headers
