"""The key that access tokens are signed with, and the public keys that everybody verifies with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from config.secrets import SecretStore
from config.settings import Settings
from domain.tokens import SigningKey

KEY = "auth-signing-key"
"""Name of the secret: an Ed25519 private key as a JWK (RFC 8037)."""


def open_signing_key(settings: Settings, secrets: SecretStore) -> SigningKey:
    """The current key, its public half published in `settings.jwks_path`. Made on the first start.

    In production the secret must have been given: raises `SecretMissing`.
    """
    secret = (
        secrets.resolve(KEY)
        if settings.production
        else secrets.ensure(KEY, SigningKey.generate().to_secret())
    )
    key = SigningKey.parse(secret.get_secret_value())
    publish(settings.jwks_path, key)
    return key


def publish(path: Path, key: SigningKey) -> None:
    """Put the public key first in the key file; others stay, so that their tokens are valid to their end."""
    published = _read(path)
    wanted = [key.public_jwk(), *(entry for entry in published if entry.get("kid") != key.kid)]
    if wanted == published:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"keys": wanted}, indent=1), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_bytes())["keys"])
    except FileNotFoundError:
        return []
