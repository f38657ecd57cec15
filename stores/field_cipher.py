"""Encryption of single fields: AES-256-GCM under a key that is known by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted field: what is stored, and the name of the key that opens it."""

    ciphertext: bytes
    nonce: bytes
    key_name: str


class FieldCipher:
    """Seals and opens with one key. `context` (the row's id) is authenticated: fields cannot be swapped."""

    def __init__(self, key_name: str, secret: str) -> None:
        """`secret` is any text of at least 256 random bits; the key is derived from it (HKDF-SHA256)."""
        self.key_name = key_name
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=key_name.encode()).derive(secret.encode())
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(self._aead.encrypt(nonce, plain, context), nonce, self.key_name)

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        """The plain bytes; raises `cryptography.exceptions.InvalidTag` for another key, row or content."""
        return self._aead.decrypt(sealed.nonce, sealed.ciphertext, context)
