"""Documents as others see them."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from domain.documents import DocumentState


class DocumentDirectory(Protocol):
    """The published view of the document service, read by workers, index writer and event pump."""

    async def state(self, document_id: UUID) -> DocumentState | None: ...
