"""The part of `/api/v1` that reads the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from deployments.audit.routes import router
from deployments.audit.service import AuditService
from deployments.auth.shared import Part, Shared
from deployments.edge.cursors import CursorSigner
from stores.audit_chain import AuditChain
from stores.audit_reader import PostgresAuditReader
from stores.postgres import Postgres


def services(shared: Shared) -> Mapping[str, object]:
    db = Postgres.of(shared.settings, shared.secrets, "audit", "audit-reader")
    shared.closing.append(db.close)
    keys = shared.edge.keys
    chain = AuditChain(db, keys, retention=timedelta(days=shared.settings.audit.retention_days))
    reader = PostgresAuditReader(db, keys)
    return {"trail": AuditService(reader, chain, keys, shared.edge.audit, CursorSigner(shared.secrets))}


PART = Part(router, services)
