"""One provider of logins as its client sees it (OpenID Connect Core 1.0, code flow with PKCE by S256)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from config.account_settings import OidcProvider
from config.secrets import SecretStore
from domain.errors import Unauthenticated, Unavailable
from stores.oidc_states import Journey
from stores.outbound import TIMEOUT, TOTAL_SECONDS

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
KEPT_SECONDS = 3600.0
"""How long discovery and keys are believed."""
AGAIN_SECONDS = 60.0
"""How often at most the keys are fetched anew for a token that none of them signed."""
LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider says it has logged in. `email` only when the provider has verified it."""

    issuer: str
    subject: str
    email: str | None = field(repr=False)
    mfa: bool


class Provider:
    """Fetches through a guarded transport only. Raises `Unavailable` when the provider is no help."""

    def __init__(
        self,
        name: str,
        settings: OidcProvider,
        secrets: SecretStore,
        *,
        redirect_uri: str,
        transport: httpx.AsyncBaseTransport,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._settings = settings
        self._secrets = secrets
        self._redirect_uri = redirect_uri
        self._transport = transport
        self._clock = clock
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    async def authorization_url(self, state: str, journey: Journey) -> str:
        """Where the browser is sent."""
        metadata = await self._discovered()
        url = prepare_grant_uri(
            _text(metadata, "authorization_endpoint"),
            self._settings.client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(self._settings.scopes),
            state=state,
            nonce=journey.nonce,
            code_challenge=create_s256_code_challenge(journey.verifier),
            code_challenge_method="S256",
        )
        return str(url)

    async def person(self, code: str, journey: Journey) -> Person:
        """Exchange the code. Raises `Unauthenticated` when the provider or its ID token does not hold."""
        metadata = await self._discovered()
        answer = await self._exchanged(_text(metadata, "token_endpoint"), code, journey.verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise refused()
        claims = await self._claims(token, journey.nonce)
        if "email" not in claims and isinstance(metadata.get("userinfo_endpoint"), str):
            claims = {**await self._userinfo(metadata["userinfo_endpoint"], answer, claims), **claims}
        return self._person(claims)

    async def _exchanged(self, url: str, code: str, verifier: str) -> Mapping[str, Any]:
        secret = self._secrets.resolve(f"oidc-{self.name}").get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        # RFC 6749, 2.3.1: both are form-encoded before they become Basic credentials.
        auth = httpx.BasicAuth(quote_plus(self._settings.client_id), quote_plus(secret))
        answer = await self._send("POST", url, data=form, auth=auth)
        if answer.is_client_error:
            raise refused()
        return self._object(answer)

    async def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        for renew in (False, True):
            keys = await self._key_set(renew=renew)
            try:
                found = jwt.decode(token, keys, algorithms=ALGORITHMS)
                options = {
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "nonce": {"essential": True, "value": nonce},
                }
                params = {"client_id": self._settings.client_id, "nonce": nonce}
                claims = CodeIDToken(found.claims, found.header, options, params)
                claims.validate(leeway=LEEWAY_SECONDS)
            except (JoseError, AuthlibBaseError, ValueError):
                continue
            return dict(claims)
        raise refused()

    async def _userinfo(
        self, url: str, answer: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        found = await self._fetch(url, {"Authorization": f"Bearer {answer.get('access_token')}"})
        if found.get("sub") != claims["sub"]:
            raise refused()
        return found

    def _person(self, claims: Mapping[str, Any]) -> Person:
        email = claims.get("email")
        verified = isinstance(email, str) and claims.get("email_verified") is True
        methods = claims.get("amr")
        return Person(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            email=email if verified else None,
            mfa=isinstance(methods, list) and "mfa" in methods,
        )

    async def _discovered(self) -> Mapping[str, Any]:
        if self._metadata and self._clock() - self._metadata[0] < KEPT_SECONDS:
            return self._metadata[1]
        found = await self._fetch(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise self._away()
        self._metadata = (self._clock(), found)
        return found

    async def _key_set(self, *, renew: bool) -> KeySet:
        age = self._clock() - self._keys[0] if self._keys else KEPT_SECONDS
        if self._keys and age < (AGAIN_SECONDS if renew else KEPT_SECONDS):
            return self._keys[1]
        found = await self._fetch(_text(await self._discovered(), "jwks_uri"))
        try:
            keys = KeySet.import_key_set({"keys": [key for key in found["keys"] if _usable(key)]})
        except (JoseError, KeyError, TypeError, ValueError):
            raise self._away() from None
        self._keys = (self._clock(), keys)
        return keys

    async def _fetch(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._object(await self._send("GET", url, headers=dict(headers or {})))

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            async with (
                asyncio.timeout(TOTAL_SECONDS),
                httpx.AsyncClient(transport=_Shared(self._transport), timeout=TIMEOUT) as client,
            ):
                return await client.request(method, url, **request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            raise self._away() from None

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found = answer.json() if answer.status_code == httpx.codes.OK else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._away()
        return found

    def _away(self) -> Unavailable:
        return Unavailable(
            f"The login provider '{self.name}' cannot be asked. Try again in a moment.",
            code="auth.oidc_unavailable",
            retry_after=10,
        )


class _Shared(httpx.AsyncBaseTransport):
    """A transport that outlives the clients that use it."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


def refused() -> Unauthenticated:
    return Unauthenticated("The login elsewhere was not accepted. Start again.", code="auth.oidc_refused")


def _text(metadata: Mapping[str, Any], name: str) -> str:
    found = metadata.get(name)
    if not isinstance(found, str):
        raise Unavailable(
            "The login provider does not say where to go.", code="auth.oidc_unavailable", retry_after=60
        )
    return found


def _usable(key: object) -> bool:
    """Asymmetric keys for signatures; what else a provider publishes is not ours to read."""
    return isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
