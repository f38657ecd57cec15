"""Cursors of lists: sealed, ending by themselves, bound to whom and what they were made for."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from config.secrets import SecretStore
from domain.errors import Gone
from stores.field_cipher import NONCE_BYTES, FieldCipher
from stores.ports import Sealed

KEY = "edge-key"
"""Name of the secret that the cursors' key is derived from."""

LIFE_SECONDS = 900.0
MAX_LENGTH = 4096


class CursorSigner:
    """Signs and encrypts (AES-256-GCM), as the place in an order may be a title, and cursors stand in addresses."""

    def __init__(self, secrets: SecretStore, *, clock: Callable[[], float] = time.time) -> None:
        self._cipher = FieldCipher(f"cursor:{KEY}", secrets.ensure(KEY).get_secret_value())
        self._clock = clock

    def sign(self, content: Mapping[str, Any], *, bound_to: str = "", seconds: float = LIFE_SECONDS) -> str:
        """A cursor for `content` (JSON), good for `seconds`, for whoever presents the same `bound_to`."""
        plain = json.dumps([self._clock() + seconds, content], separators=(",", ":"), default=str).encode()
        sealed = self._cipher.seal(plain, bound_to.encode())
        return base64.urlsafe_b64encode(sealed.nonce + sealed.ciphertext).decode().rstrip("=")

    def verify(self, cursor: str, *, bound_to: str = "") -> dict[str, Any]:
        """The content; raises `Gone` for a cursor that is not ours, not for `bound_to`, or too old."""
        if len(cursor) > MAX_LENGTH:
            raise gone()
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
            sealed = Sealed(raw[NONCE_BYTES:], raw[:NONCE_BYTES], self._cipher.key_name)
            plain = self._cipher.open(sealed, bound_to.encode())
        except ValueError:  # `SealBroken` too
            raise gone() from None
        ends, content = json.loads(plain)
        if ends <= self._clock():
            raise gone()
        return dict(content)


def gone() -> Gone:
    """What is answered to a cursor that does not fit any more."""
    return Gone(
        "This cursor has ended or belongs to another request. Start again without it.", code="cursor.gone"
    )
