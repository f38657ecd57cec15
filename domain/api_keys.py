"""API keys as text: `ms_PREFIX_SECRET`. The prefix finds the key, the secret (256 bits) proves it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

SCHEME = "ms_"
PREFIX_BYTES = 6
SECRET_BYTES = 32

NEVER = frozenset({"profile.self", "apikey.manage", "breakglass.start"})
"""Permissions that no key has: they need somebody who can be asked for a password."""

_FORM = re.compile(r"ms_(?P<prefix>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in clear: only its owner has it, and only its digest is stored."""

    prefix: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> ApiKey:
        return cls(secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> ApiKey | None:
        """None for what has not exactly this form."""
        found = _FORM.fullmatch(text)
        return cls(found["prefix"], found["secret"]) if found else None

    @property
    def text(self) -> str:
        return f"{SCHEME}{self.prefix}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """SHA-256: enough for 256 random bits."""
        return hashlib.sha256(self.secret.encode()).digest()

    def proves(self, digest: bytes) -> bool:
        return hmac.compare_digest(self.digest, digest)
