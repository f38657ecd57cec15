"""Access tokens: a compact JWS (RFC 7515) by EdDSA over Ed25519 (RFC 8037), profile RFC 9068, read strictly.

`verify` stands alone: bytes and keys in, claims or `TokenRefused` out; no network, no clock, no store. Only
the one form that `issue` makes is accepted: exactly three header fields, canonical base64url, no member
named twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from domain.errors import Unauthenticated

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
MAX_BYTES = 8 * 1024
MAX_LIFE_SECONDS = 1800
LEEWAY_SECONDS = 60
"""How far `iat` and `nbf` may lie in the future (clocks of other machines); `exp` has no leeway."""

_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LATEST = 2**33  # a time in seconds, far beyond any life: bigger numbers are not times


class TokenRefused(Unauthenticated):
    """The token is not one of ours, or not any more. `reason` is for tests, never for the sender."""

    code = "auth.invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The access token is not valid. Log in again.",
            code="auth.token_expired" if reason == "expired" else None,
        )
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says. Times are seconds since 1970 in UTC."""

    subject: UUID
    session: UUID
    role: str
    token_version: int
    issued_at: int
    expires_at: int
    token_id: UUID


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Verification keys by `kid`: next, current and retired ones."""

    by_id: Mapping[str, Ed25519PublicKey]

    @classmethod
    def parse(cls, document: bytes) -> PublicKeys:
        """Read a JWK Set (RFC 7517). Keys of another form are left out, a `kid` given twice altogether.

        Raises `ValueError` when the document is no JWK Set.
        """
        entries = _object(document).get("keys")
        if not isinstance(entries, list):
            raise ValueError("not a JWK Set")
        kids = [entry.get("kid") for entry in entries if isinstance(entry, dict)]
        found = {}
        for entry in entries:
            key = _public_key(entry)
            if key is not None and kids.count(entry["kid"]) == 1:
                found[entry["kid"]] = key
        return cls(found)


class SigningKey:
    """The private half. As a secret it is a private JWK in JSON."""

    def __init__(self, kid: str, key: Ed25519PrivateKey) -> None:
        self.kid = kid
        self._key = key

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key; its `kid` is the RFC 7638 thumbprint."""
        key = Ed25519PrivateKey.generate()
        return cls(_thumbprint(key.public_key()), key)

    @classmethod
    def parse(cls, secret: str) -> SigningKey:
        """The inverse of `to_secret`; raises `ValueError`."""
        entry = _object(secret.encode())
        if (
            entry.get("kty") != "OKP"
            or entry.get("crv") != "Ed25519"
            or not _KID.fullmatch(str(entry.get("kid")))
        ):
            raise ValueError("not an Ed25519 JWK with a kid")
        return cls(
            str(entry["kid"]), Ed25519PrivateKey.from_private_bytes(_decoded(str(entry.get("d")).encode()))
        )

    def to_secret(self) -> str:
        private = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return json.dumps({**self.public_jwk(), "key_ops": ["sign"], "d": _encoded(private)})

    @property
    def public(self) -> str:
        """The public half, as the `x` of a JWK."""
        return _encoded(_raw(self._key.public_key()))

    def public_jwk(self) -> dict[str, Any]:
        return public_jwk(self.kid, self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032), for what is no token; verify with the key of `PublicKeys.by_id`."""
        return self._key.sign(message)

    def issue(self, claims: Claims, *, issuer: str, audience: str) -> str:
        payload = {
            "iss": issuer,
            "aud": audience,
            "sub": str(claims.subject),
            "sid": str(claims.session),
            "iat": claims.issued_at,
            "nbf": claims.issued_at,
            "exp": claims.expires_at,
            "jti": str(claims.token_id),
            "roles": [claims.role],
            "ver": claims.token_version,
        }
        return jwt.encode(payload, self._key, algorithm=ALGORITHM, headers={"kid": self.kid, "typ": TYPE})


def public_jwk(kid: str, public: str) -> dict[str, Any]:
    """The entry of a JWK Set for a key that verifies access tokens."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": kid,
        "use": "sig",
        "alg": ALGORITHM,
        "key_ops": ["verify"],
        "x": public,
    }


def verify(token: bytes, keys: PublicKeys, *, issuer: str, audience: str, now: float) -> Claims:
    """The claims of a token that is ours and valid at `now` (Unix seconds); else raises `TokenRefused`."""
    if len(token) > MAX_BYTES:
        raise TokenRefused("too_long")
    try:
        header, payload, signature = (_decoded(part) for part in token.split(b"."))
        fields = _object(header)
    except ValueError:
        raise TokenRefused("malformed") from None
    if set(fields) != {"alg", "typ", "kid"}:
        raise TokenRefused("header")
    if fields["alg"] != ALGORITHM or fields["typ"] != TYPE or len(signature) != 64:
        raise TokenRefused("algorithm_or_type")
    key = keys.by_id.get(fields["kid"]) if isinstance(fields["kid"], str) else None
    if key is None:
        raise TokenRefused("unknown_key")
    try:
        jwt.api_jws.decode(token, key, algorithms=[ALGORITHM])
        stated = _object(payload)
    except (jwt.InvalidTokenError, ValueError):
        raise TokenRefused("signature") from None
    if stated.get("iss") != issuer or stated.get("aud") != audience:
        raise TokenRefused("issuer_or_audience")
    return _claims(stated, now)


def _claims(stated: dict[str, Any], now: float) -> Claims:
    issued, not_before, expires = (_time(stated, name) for name in ("iat", "nbf", "exp"))
    if max(issued, not_before) > now + LEEWAY_SECONDS:
        raise TokenRefused("not_yet")
    if expires - issued > MAX_LIFE_SECONDS or expires <= issued:
        raise TokenRefused("lifetime")
    if expires <= now:
        raise TokenRefused("expired")
    roles, version = stated.get("roles"), stated.get("ver")
    if not isinstance(roles, list) or [type(role) for role in roles] != [str] or type(version) is not int:
        raise TokenRefused("claims")
    return Claims(
        _uuid(stated, "sub"), _uuid(stated, "sid"), roles[0], version, issued, expires, _uuid(stated, "jti")
    )


def _time(stated: dict[str, Any], name: str) -> int:
    value = stated.get(name)
    if type(value) is not int or not 0 <= value < _LATEST:
        raise TokenRefused("claims")
    return value


def _uuid(stated: dict[str, Any], name: str) -> UUID:
    value = stated.get(name)
    try:
        found = UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise TokenRefused("claims") from None
    if str(found) != value:
        raise TokenRefused("claims")
    return found


def _public_key(entry: Any) -> Ed25519PublicKey | None:
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("kid"), str)
        or not _KID.fullmatch(entry["kid"])
    ):
        return None
    if (entry.get("kty"), entry.get("crv"), entry.get("alg", ALGORITHM)) != ("OKP", "Ed25519", ALGORITHM):
        return None
    if entry.get("use", "sig") != "sig" or entry.get("key_ops", ["verify"]) != ["verify"] or "d" in entry:
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(_decoded(str(entry.get("x")).encode()))
    except ValueError:
        return None


def _object(document: bytes) -> dict[str, Any]:
    """A JSON object in which no member is named twice; raises `ValueError`."""
    try:
        value = json.loads(document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member is named twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _decoded(part: bytes) -> bytes:
    """Base64url without padding, in its one canonical spelling (unused bits zero)."""
    if not _BASE64URL.fullmatch(part):
        raise ValueError("not base64url")
    value = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if _encoded(value).encode() != part:
        raise ValueError("not canonical")
    return value


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _thumbprint(key: Ed25519PublicKey) -> str:
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _encoded(_raw(key))}, separators=(",", ":"))
    return _encoded(hashlib.sha256(canonical.encode()).digest())
