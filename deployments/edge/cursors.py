"""Cursors of lists: signed, ending by themselves, bound to whom and what they were made for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from config.secrets import SecretStore
from domain.errors import Gone

KEY = "edge-key"
"""Name of the secret that cursors are signed with."""

LIFE_SECONDS = 900.0
MAC_BYTES = 16
MAX_LENGTH = 4096


class CursorSigner:
    """Signs with HMAC-SHA256. Its owner can read the content: put ids and positions in it, never PHI."""

    def __init__(self, secrets: SecretStore, *, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"cursor:" + secrets.ensure(KEY).get_secret_value().encode()).digest()
        self._clock = clock

    def sign(self, content: Mapping[str, Any], *, bound_to: str = "", seconds: float = LIFE_SECONDS) -> str:
        """A cursor for `content` (JSON), good for `seconds`, for whoever presents the same `bound_to`."""
        plain = json.dumps([self._clock() + seconds, content], separators=(",", ":"), default=str).encode()
        return base64.urlsafe_b64encode(self._mac(plain, bound_to) + plain).decode().rstrip("=")

    def verify(self, cursor: str, *, bound_to: str = "") -> dict[str, Any]:
        """The content; raises `Gone` for a cursor that is not ours, not for `bound_to`, or too old."""
        if len(cursor) > MAX_LENGTH:
            raise _gone()
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        except ValueError:
            raise _gone() from None
        mac, plain = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(plain, bound_to)):
            raise _gone()
        ends, content = json.loads(plain)
        if ends <= self._clock():
            raise _gone()
        return dict(content)

    def _mac(self, plain: bytes, bound_to: str) -> bytes:
        message = len(bound_to.encode()).to_bytes(4, "big") + bound_to.encode() + plain
        return hmac.digest(self._key, message, "sha256")[:MAC_BYTES]


def _gone() -> Gone:
    return Gone(
        "This cursor has ended or belongs to another request. Start again without it.", code="cursor.gone"
    )
