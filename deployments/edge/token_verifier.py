"""Verifies access tokens against the public keys that the authentication service writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from domain.errors import Unavailable
from domain.tokens import Claims, PublicKeys, verify


class TokenVerifier:
    """Reads the key file again when it has changed: a new key counts at once, a removed one no more."""

    def __init__(
        self, path: Path, *, issuer: str, audience: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._keys = PublicKeys({})

    def verify(self, token: bytes) -> Claims:
        """The token's claims; raises `TokenRefused`, or `Unavailable` while there are no keys at all."""
        return verify(token, self._current(), issuer=self._issuer, audience=self._audience, now=self._clock())

    def _current(self) -> PublicKeys:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                self._keys = PublicKeys.parse(self._path.read_bytes())
                self._stamp = stamp
        except (OSError, ValueError):
            raise Unavailable(
                "Tokens cannot be checked: the public keys are missing. Try again in a moment.",
                code="auth.keys_unavailable",
                retry_after=2,
            ) from None
        return self._keys
