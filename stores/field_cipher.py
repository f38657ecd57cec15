"""Encryption of single fields: AES-256-GCM under a key that is known by its name."""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stores.ports import SealBroken, Sealed

NONCE_BYTES = 12


class FieldCipher:
    """Seals, opens and makes codes with one secret, by keys of their own derived from it (HKDF-SHA256).

    `context` (the row's id) is authenticated: fields cannot be swapped.
    """

    def __init__(self, key_name: str, secret: str) -> None:
        """`secret` is any text of at least 256 random bits."""
        self.key_name = key_name
        self.kid = _derived(secret, f"kid:{key_name}")[:8].hex()
        """Says which secret this is, and nothing about it."""
        self._aead = AESGCM(_derived(secret, key_name))
        self._mac_key = _derived(secret, f"mac:{key_name}")

    def seal(self, plain: bytes, context: bytes) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(self._aead.encrypt(nonce, plain, context), nonce, self.key_name)

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        """The plain bytes; raises `SealBroken` for another key, row or content."""
        try:
            return self._aead.decrypt(sealed.nonce, sealed.ciphertext, context)
        except InvalidTag:
            raise SealBroken(f"not what was sealed under {self.key_name}") from None

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes."""
        return hmac.digest(self._mac_key, message, "sha256")


def _derived(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret.encode())
