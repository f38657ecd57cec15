"""Alembic's environment: runs on the connection that `cluster.databases.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

LOCK = 7_305_128_401

connection = context.config.attributes["connection"]
connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
context.configure(connection=connection, transactional_ddl=True)
context.run_migrations()
