"""Row ID7: what we send to a provider of logins, and which of its answers hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from config.account_settings import OidcProvider
from config.secrets import SecretStore
from deployments.auth.oidc_provider import Person, Provider
from domain.errors import Unauthenticated, Unavailable
from stores.oidc_states import Journey

ISSUER = "https://login.hospital.example/realms/clinic"
JOURNEY = Journey("clinic", "browser", "the-nonce", "v" * 64)
KEY = RSAKey.generate_key(2048, {"kid": "one"})


class Hospital:
    """A provider that says what it is told to say."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.discovery = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        self.id_token = token()

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path.rpartition("/")[2]:
            case "openid-configuration":
                return httpx.Response(200, json=self.discovery)
            case "keys":
                return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
            case "token":
                return httpx.Response(
                    200, json={"access_token": "a", "token_type": "Bearer", "id_token": self.id_token}
                )
        return httpx.Response(404)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": "42",
        "aud": "medsearch",
        "iat": now,
        "exp": now + 300,
        "nonce": JOURNEY.nonce,
        "email": "ada@hospital.example",
        "email_verified": True,
    } | changes


def token(key: Any = KEY, alg: str = "RS256", **changes: Any) -> str:
    content = {name: value for name, value in claims(**changes).items() if value is not None}
    return jwt.encode({"alg": alg, "kid": "one"}, content, key, algorithms=[alg])


def signed_with_the_public_key() -> str:
    """HS256 with the published key as its secret: libraries refuse to make it, so by hand."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "one"}, claims())]
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(KEY.as_pem(private=False), message, "sha256")
    return (message + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


@pytest.fixture
def hospital() -> Hospital:
    return Hospital()


@pytest.fixture
def provider(hospital: Hospital, tmp_path: Path) -> Provider:
    secrets = SecretStore(tmp_path)
    secrets.ensure("oidc-clinic")
    return Provider(
        "clinic",
        OidcProvider(issuer=ISSUER, client_id="medsearch"),
        secrets,
        redirect_uri="https://search.example/api/v1/auth/oidc/callback",
        transport=httpx.MockTransport(hospital.answer),
    )


async def test_id7_the_browser_is_sent_with_state_nonce_and_a_hashed_verifier(
    provider: Provider, hospital: Hospital
) -> None:
    url = urlsplit(await provider.authorization_url("the-state", JOURNEY))
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    digest = hashlib.sha256(JOURNEY.verifier.encode()).digest()
    assert asked == {
        "response_type": "code",
        "client_id": "medsearch",
        "redirect_uri": "https://search.example/api/v1/auth/oidc/callback",
        "scope": "openid email profile",
        "state": "the-state",
        "nonce": JOURNEY.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    assert JOURNEY.verifier not in url.query


async def test_id7_the_code_is_exchanged_with_the_verifier(provider: Provider, hospital: Hospital) -> None:
    person = await provider.person("the-code", JOURNEY)
    assert person == Person(ISSUER, "42", "ada@hospital.example", mfa=False)
    sent = next(request for request in hospital.asked if request.url.path.endswith("/token"))
    form = {name: values[0] for name, values in parse_qs(sent.content.decode()).items()}
    assert form["code_verifier"] == JOURNEY.verifier
    assert (form["grant_type"], form["code"]) == ("authorization_code", "the-code")
    assert sent.headers["authorization"].startswith("Basic ")
    assert "secret" not in str(sent.url)


FORGED: dict[str, Callable[[], str]] = {
    "nonce of another login": lambda: token(nonce="another"),
    "no nonce": lambda: token(nonce=None),
    "for somebody else": lambda: token(aud="other"),
    "for many": lambda: token(aud=["medsearch", "other"], azp="other"),
    "of another provider": lambda: token(iss="https://evil.example"),
    "over": lambda: token(exp=int(time.time()) - 120),
    "no end": lambda: token(exp=None),
    "no subject": lambda: token(sub=None),
    "another key": lambda: token(RSAKey.generate_key(2048, {"kid": "one"})),
    "signed with the public key as a password": signed_with_the_public_key,
    "not signed": lambda: (
        base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        + "."
        + base64.urlsafe_b64encode(json.dumps(claims()).encode()).decode().rstrip("=")
        + "."
    ),
    "nonsense": lambda: "a.b.c",
}


@pytest.mark.parametrize("how", FORGED)
async def test_id7_an_id_token_that_does_not_hold_is_refused(
    provider: Provider, hospital: Hospital, how: str
) -> None:
    hospital.id_token = FORGED[how]()
    with pytest.raises(Unauthenticated) as refused:
        await provider.person("the-code", JOURNEY)
    assert refused.value.code == "auth.oidc_refused"


@pytest.mark.parametrize("value", [False, None, "true", 1])
async def test_id7_an_address_counts_only_when_the_provider_has_verified_it(
    provider: Provider, hospital: Hospital, value: Any
) -> None:
    hospital.id_token = token(email_verified=value)
    assert (await provider.person("the-code", JOURNEY)).email is None


async def test_a_second_factor_at_the_provider_is_seen(provider: Provider, hospital: Hospital) -> None:
    hospital.id_token = token(amr=["pwd", "mfa"])
    assert (await provider.person("the-code", JOURNEY)).mfa


async def test_id7_a_discovery_document_of_somebody_else_is_not_believed(
    provider: Provider, hospital: Hospital
) -> None:
    hospital.discovery["issuer"] = "https://evil.example"
    with pytest.raises(Unavailable):
        await provider.authorization_url("the-state", JOURNEY)


async def test_discovery_and_keys_are_fetched_once(provider: Provider, hospital: Hospital) -> None:
    for _ in range(3):
        await provider.person("the-code", JOURNEY)
    paths = [request.url.path.rpartition("/")[2] for request in hospital.asked]
    assert (paths.count("openid-configuration"), paths.count("keys"), paths.count("token")) == (1, 1, 3)
