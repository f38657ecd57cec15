"""Rows of the audit trail as the chain sees them: their one serialisation, and the hash of a link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import asyncpg

FORMAT = "medsearch-audit-1"
GENESIS = bytes(32)
"""What the first link of all follows."""

TEXTS = (
    "action", "event", "outcome", "actor", "role", "on_behalf_of", "patient", "patients", "version", "reason",
    "purpose", "address", "request_id", "session_id", "key_name",
)  # fmt: skip
COLUMNS = ("id", "position", "transaction_id", "at", "recorded_at", *TEXTS, "document_ids", "sealed", "nonce")
"""Every column of `audit_record`: what is not hashed could be changed unseen."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def link_hash(previous: bytes, day: date, row: Mapping[str, Any] | asyncpg.Record) -> bytes:
    """SHA-256 over the previous link's hash and the row, 32 bytes."""
    return sha256(previous + canonical(day, row)).digest()


def canonical(day: date, row: Mapping[str, Any] | asyncpg.Record) -> bytes:
    """The row and its day of sealing as a JSON array in UTF-8, without blanks.

    Texts and numbers as they are, times as UTC in ISO 8601 with microseconds, ids as text, bytes in hex.
    """
    sealed, nonce = row["sealed"], row["nonce"]
    return _encode(
        [
            FORMAT,
            day.isoformat(),
            str(row["id"]),
            row["position"],
            row["transaction_id"],
            timestamp(row["at"]),
            timestamp(row["recorded_at"]),
            *[row[name] for name in TEXTS],
            [str(document_id) for document_id in row["document_ids"]],
            None if sealed is None else sealed.hex(),
            None if nonce is None else nonce.hex(),
        ]
    ).encode()


def timestamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
