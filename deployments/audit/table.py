"""The audit trail as CSV (RFC 4180). No cell is a formula where the file is opened."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

from deployments.audit.schemas import AuditView
from stores.ports import AuditRecord

COLUMNS = tuple(AuditView.model_fields)
ROWS = 200
"""Rows of one chunk."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def csv_chunks(records: AsyncIterator[AuditRecord]) -> AsyncIterator[bytes]:
    """The head line at once, then the records as they come."""
    waiting = [list(COLUMNS)]
    async with aclosing(records) as rows:  # type: ignore[type-var]
        async for record in rows:
            waiting.append(_cells(record))
            if len(waiting) >= ROWS:
                yield _lines(waiting)
                waiting = []
    yield _lines(waiting)


def escaped(text: str) -> str:
    """A text that spreadsheet programs take as text."""
    return "'" + text if text.lstrip().startswith(FORMULA) or text.startswith(FORMULA) else text


def _cells(record: AuditRecord) -> list[str]:
    view = AuditView.of(record).model_dump(mode="json")
    return [_cell(view[name]) for name in COLUMNS]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return escaped(" ".join(str(item) for item in value))
    if isinstance(value, dict):
        return escaped(json.dumps(value, ensure_ascii=False, sort_keys=True)) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escaped(str(value).replace("\x00", ""))


def _lines(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
