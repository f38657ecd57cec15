"""Bytes to upload, and uploads of further versions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from tests.contract.documents.conftest import Account

PDF = b"%PDF-1.7\nsome bytes"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def version(account: Account, document_id: str, content: bytes, **fields: str) -> httpx.Response:
    return await account.client.post(
        f"/api/v1/documents/{document_id}/versions", params=fields, content=content
    )
