"""Signed heads of the audit chain: what a head says, and who signed it."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import asyncpg
from cryptography.exceptions import InvalidSignature

from domain.errors import Invalid
from domain.tokens import PublicKeys, SigningKey
from stores.audit_rows import timestamp

FORMAT = "medsearch-audit-head-1"
COLUMNS = "seq, day, count, hash, signature, key_name, at"


class Signed(StrEnum):
    """What is to be said of a head's signature."""

    GOOD = "good"
    BAD = "bad_signature"
    UNKNOWN = "unknown_key"


@dataclass(frozen=True, slots=True)
class Head:
    """The chain up to the link `seq`: its hash, and the number of links that its day has so far."""

    seq: int
    day: date
    count: int
    hash: bytes
    at: datetime
    signature: bytes = b""
    key_name: str = ""
    """`kid` of the key that signed."""

    @property
    def message(self) -> bytes:
        """What is signed: a JSON array in UTF-8, without blanks."""
        said = [FORMAT, self.seq, self.day.isoformat(), self.count, self.hash.hex(), timestamp(self.at)]
        return json.dumps(said, separators=(",", ":")).encode()

    def signed(self, key: SigningKey) -> Head:
        return Head(self.seq, self.day, self.count, self.hash, self.at, key.sign(self.message), key.kid)

    def check(self, keys: PublicKeys) -> Signed:
        key = keys.by_id.get(self.key_name)
        if key is None:
            return Signed.UNKNOWN
        try:
            key.verify(self.signature, self.message)
        except InvalidSignature:
            return Signed.BAD
        return Signed.GOOD

    @classmethod
    def of(cls, row: Mapping[str, Any] | asyncpg.Record) -> Head:
        return cls(
            row["seq"], row["day"], row["count"], row["hash"], row["at"], row["signature"], row["key_name"]
        )

    def exported(self) -> dict[str, Any]:
        """As JSON, to be kept elsewhere; `parse_heads` reads it."""
        return {
            "seq": self.seq,
            "day": self.day.isoformat(),
            "count": self.count,
            "hash": self.hash.hex(),
            "at": timestamp(self.at),
            "signature": b64encode(self.signature).decode(),
            "key_name": self.key_name,
        }


def parse_heads(text: str) -> list[Head]:
    """Exported heads: one JSON object a line, or an object or array with all. Raises `Invalid`."""
    try:
        return [_parsed(entry) for entry in _entries(text)]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Invalid("This is no file of exported heads.", code="audit.heads_unreadable") from None


def _entries(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(whole, dict) and "items" in whole:
        whole = whole["items"]
    return whole if isinstance(whole, list) else [whole]


def _parsed(entry: Mapping[str, Any]) -> Head:
    hashed = bytes.fromhex(entry["hash"])
    if len(hashed) != 32:
        raise ValueError("not a hash")
    return Head(
        int(entry["seq"]),
        date.fromisoformat(entry["day"]),
        int(entry["count"]),
        hashed,
        datetime.fromisoformat(entry["at"]),
        b64decode(entry["signature"], validate=True),
        str(entry["key_name"]),
    )
