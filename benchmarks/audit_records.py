"""Seeded audit records as a hospital would make them, sealed by the product and copied in bulk."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from domain.audit import AuditEvent
from stores.audit import PLAIN, PostgresAudit
from stores.ports import AuditEntry

COLUMNS = ("id", "at", "patients", "document_ids", "sealed", "nonce", "key_name", *PLAIN)
DAYS = 365
ENDS_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""The records lie in the `DAYS` before."""
PATIENTS = 50_000
ACTORS = 800
DOCUMENTS_EACH = 6

KINDS = (
    (AuditEvent.SEARCH_PERFORMED, "E", 0.40),
    (AuditEvent.DOCUMENT_VIEW, "R", 0.25),
    (AuditEvent.DOCUMENT_TEXT, "R", 0.10),
    (AuditEvent.DOCUMENT_LIST, "R", 0.05),
    (AuditEvent.DOCUMENT_UPLOAD, "C", 0.05),
    (AuditEvent.LOGIN, "E", 0.10),
    (AuditEvent.ACCESS_DENIED, "R", 0.05),
)
WITHOUT_PATIENT = frozenset({AuditEvent.LOGIN, AuditEvent.ACCESS_DENIED})
SHOWN = 8
"""Patients of one search or list."""


class Records:
    """`count` entries in order of time. Patients are asked for as often as their rank says (Zipf)."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._rng = np.random.default_rng(seed)
        self._ranked = 1 / np.arange(1, PATIENTS + 1) ** 0.6
        self._ranked /= self._ranked.sum()

    def batches(self, size: int) -> Iterator[list[tuple[datetime, AuditEntry]]]:
        for first in range(0, self.count, size):
            yield list(self._batch(first, min(size, self.count - first)))

    def patients(self, count: int) -> list[str]:
        """Whom to ask for: the one most seen, and others by chance."""
        return [patient(0), *(patient(int(rank)) for rank in self._rng.integers(0, PATIENTS, count - 1))]

    def entry(self) -> AuditEntry:
        """One more, of a search."""
        return self._entry(0, self._ranks(SHOWN), 1, 1)

    def _batch(self, first: int, count: int) -> Iterator[tuple[datetime, AuditEntry]]:
        kinds = self._rng.choice(len(KINDS), count, p=[share for _, _, share in KINDS])
        ranks = self._ranks((count, SHOWN))
        numbers = self._rng.integers(0, 1_000_000, (count, 2))
        for row in range(count):
            elapsed = timedelta(days=DAYS) * ((first + row) / self.count)
            actor, word = (int(number) for number in numbers[row])
            entry = self._entry(int(kinds[row]), ranks[row], actor % ACTORS, word)
            yield ENDS_AT - timedelta(days=DAYS) + elapsed, entry

    def _ranks(self, shape: Any) -> Any:
        return self._rng.choice(PATIENTS, shape, p=self._ranked)

    def _entry(self, kind: int, ranks: Any, actor: int, word: int) -> AuditEntry:
        event, action, _ = KINDS[kind]
        many = event in (AuditEvent.SEARCH_PERFORMED, AuditEvent.DOCUMENT_LIST)
        seen = [] if event in WITHOUT_PATIENT else [int(rank) for rank in (ranks if many else ranks[:1])]
        documents = tuple(document(rank, word) for rank in seen)
        return AuditEntry(
            action=action,
            event=event,
            outcome="denied" if event is AuditEvent.ACCESS_DENIED else "success",
            actor=f"user:{UUID(int=actor)}",
            role=("doctor", "nurse", "records_manager")[actor % 3],
            patient=patient(seen[0]) if len(seen) == 1 else None,
            patients=tuple(patient(rank) for rank in seen) if many else (),
            document_id=documents[0] if len(documents) == 1 else None,
            document_ids=documents if many else (),
            version=1 if len(documents) == 1 else None,
            address=f"10.0.{actor % 250}.{word % 250}",
            request_id=f"request-{word}",
            session_id=str(UUID(int=word)),
            query=f"dyspnoea and oedema {word}" if event is AuditEvent.SEARCH_PERFORMED else None,
            names={"filename": f"letter-{word}.pdf"} if event is AuditEvent.DOCUMENT_UPLOAD else {},
        )


def patient(rank: int) -> str:
    return f"LAB|{rank:06}"


def document(rank: int, word: int) -> UUID:
    return UUID(int=rank * DOCUMENTS_EACH + word % DOCUMENTS_EACH)


def row(audit: PostgresAudit, at: datetime, entry: AuditEntry) -> tuple[Any, ...]:
    """What the product stores for the entry (`COLUMNS`): its encoder and its encryption."""
    body = audit.seal(entry)
    sealed = body["sealed"] or {}
    return (
        UUID(body["id"]),
        at,
        body["patients"],
        [UUID(document_id) for document_id in body["document_ids"]],
        b64decode(sealed["ciphertext"]) if sealed else None,
        b64decode(sealed["nonce"]) if sealed else None,
        sealed.get("key_name"),
        *(body[name] for name in PLAIN),
    )
