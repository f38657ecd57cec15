"""Keys by purpose. What holds them (files, a vault, a key service) is the implementation's affair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.errors import Unavailable
from domain.keys import KeyInfo, Purpose
from domain.tokens import PublicKeys, SigningKey


class KeyUnknown(Unavailable):
    """The named key is not there, or its secret is not the one that it was (503)."""

    code = "keys.unknown"


class SealBroken(ValueError):
    """What was sealed has been changed, or belongs to another row."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Something encrypted: what is stored, and the name of the key that opens it."""

    ciphertext: bytes
    nonce: bytes
    key_name: str


class Keys(Protocol):
    """A change of keys made by another process counts with the next call.

    Every method raises `KeyUnknown`, or `config.secrets.SecretMissing` for a purpose that has no key yet and may
    not make one.
    """

    def list(self, purpose: Purpose) -> tuple[KeyInfo, ...]:
        """Next, current, then retired ones, the youngest first."""
        ...

    def seal(self, purpose: Purpose, plain: bytes, context: bytes) -> Sealed:
        """Encrypt under the current key (AES-256-GCM). `context` is authenticated: give the row's id."""
        ...

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        """The plain bytes; raises `SealBroken`. Retired keys open what they sealed."""
        ...

    def mac(self, purpose: Purpose, message: bytes, *, key_name: str | None = None) -> bytes:
        """A code of 32 bytes (HMAC-SHA256), under the current key unless one is named."""
        ...

    def signing(self, purpose: Purpose) -> SigningKey:
        """The current key. Ask again for each signature: it may be another one."""
        ...

    def public(self, purpose: Purpose) -> PublicKeys:
        """What verifies the purpose's signatures, by `kid`: next, current and retired keys."""
        ...
