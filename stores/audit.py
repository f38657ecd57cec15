"""The audit trail in Postgres (`audit_db`). The role behind it can insert and nothing else.

Two ways in: `record` before an answer that shows PHI leaves, and `seal` with `stores.outbox.publish_audit` in
the transaction of a change, from where the relay brings it by `insert_sealed`. Query and names are encrypted
in both, before anything is stored.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from config.secrets import SecretStore
from config.settings import Settings
from domain.ids import new_id
from stores.keyring import SecretKeys
from stores.ports import AuditEntry, Keys, Purpose, Sealed
from stores.postgres import Postgres

PLAIN = (
    "action", "event", "outcome", "actor", "role", "on_behalf_of", "patient", "version", "reason", "purpose",
    "address", "request_id", "session_id",
)  # fmt: skip
"""Fields that are stored as they are; columns of the same names."""

INSERT = f"""
    INSERT INTO audit_record (id, at, patients, document_ids, sealed, nonce, key_name, {", ".join(PLAIN)})
    VALUES ($1, $2, $3, $4, $5, $6, $7, {", ".join(f"${n}" for n in range(8, 8 + len(PLAIN)))})
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - column names of ours


class PostgresAudit:
    """Raises `Unavailable` when a record cannot be stored: whoever shows PHI must then answer 503."""

    def __init__(self, db: Postgres, keys: Keys) -> None:
        self.db = db
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings, secrets: SecretStore) -> PostgresAudit:
        """Raises `SecretMissing` at once, not with the first record, when there is no key."""
        keys = SecretKeys.of(settings, secrets)
        keys.list(Purpose.AUDIT_FIELD)
        return cls(Postgres.of(settings, secrets, "audit"), keys)

    async def record(self, entry: AuditEntry) -> None:
        """Store the entry now; it is durable when this returns."""
        body = self.seal(entry)
        await self.insert_sealed(UUID(body["id"]), body)

    def seal(self, entry: AuditEntry) -> dict[str, Any]:
        """The entry as JSON with its secret fields encrypted; `id` is its identity from now on."""
        record_id = new_id()
        patients = dict.fromkeys((*([entry.patient] if entry.patient else []), *entry.patients))
        documents = dict.fromkeys((*([entry.document_id] if entry.document_id else []), *entry.document_ids))
        return {
            "id": str(record_id),
            "at": datetime.now(UTC).isoformat(),
            "patients": list(patients),
            "document_ids": [str(document_id) for document_id in documents],
            "sealed": self._sealed(entry, record_id),
            **{name: getattr(entry, name) for name in PLAIN},
        }

    async def insert_sealed(self, record_id: UUID, body: Mapping[str, Any]) -> None:
        """Store what `seal` made; one with this id that is already there is left as it is."""
        async with self.db.connection() as connection:
            await insert(connection, record_id, body)

    async def close(self) -> None:
        await self.db.close()

    def _sealed(self, entry: AuditEntry, record_id: UUID) -> dict[str, str] | None:
        if entry.query is None and not entry.names:
            return None
        plain = json.dumps({"query": entry.query, "names": dict(entry.names)}, ensure_ascii=False)
        sealed = self._keys.seal(Purpose.AUDIT_FIELD, plain.encode("utf-8", "surrogatepass"), record_id.bytes)
        return {
            "ciphertext": b64encode(sealed.ciphertext).decode(),
            "nonce": b64encode(sealed.nonce).decode(),
            "key_name": sealed.key_name,
        }


async def insert(connection: asyncpg.Connection, record_id: UUID, body: Mapping[str, Any]) -> None:
    """As `PostgresAudit.insert_sealed`, on a connection of `audit_db` that the caller has."""
    sealed = body["sealed"] or {}
    await connection.execute(
        INSERT,
        record_id,
        datetime.fromisoformat(body["at"]),
        body.get("patients", [body["patient"]] if body["patient"] else []),  # absent: an older outbox row
        [UUID(document_id) for document_id in body["document_ids"]],
        b64decode(sealed["ciphertext"]) if sealed else None,
        b64decode(sealed["nonce"]) if sealed else None,
        sealed.get("key_name"),
        *(body[name] for name in PLAIN),
    )


def opened(keys: Keys, record_id: UUID, sealed: Sealed) -> tuple[str | None, dict[str, str]]:
    """Query and names of a stored record, for those who may read the trail. Raises as `Keys.open`."""
    plain = json.loads(keys.open(sealed, record_id.bytes))
    return plain["query"], plain["names"]
