"""What processing would say of a document, for tests that read the results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from config.secrets import SecretStore
from config.settings import Settings
from domain.events import Event, EventType, LoggedEvent, Position, Topic
from domain.text import Annotation, Assertion, Concept, Cue, Extraction, Mention, MentionType, Page, Polarity
from models.artefacts import dump_annotation, dump_extraction
from stores.blobs import DiskBlobs
from stores.document_projection import document_projection
from stores.postgres import Postgres

EXTRACTION = Extraction(
    "application/pdf",
    (Page(1, "No evidence of pneumonia."), Page(2, ""), Page(3, "Fever.")),
    unreadable_pages=(2,),
)
PNEUMONIA = Mention(
    1, 15, 24, "pneumonia", MentionType.PROBLEM,
    (Concept("ICD10CM:J18.9", "Pneumonia, unspecified organism"), Concept("MESH:D011014", "Pneumonia")),
    Assertion(polarity=Polarity.NEGATED, cue=Cue(0, 14, "No evidence of")), "impression",
)  # fmt: skip
FEVER = Mention(3, 0, 5, "Fever", MentionType.SIGN)
ANNOTATION = Annotation((), (), (FEVER, PNEUMONIA), ("dictionary@1",))


class Processing:
    """Speaks to the projection as the event pump does."""

    def __init__(self, settings: Settings, secrets: SecretStore) -> None:
        self.blobs = DiskBlobs(settings.blobs_path)
        self._db = Postgres.of(settings, secrets, "document")
        self._subscription = document_projection(self._db, self.blobs)
        self._offset = 0

    async def say(self, kind: EventType, document_id: str, **data: Any) -> Event:
        base = {"document_id": document_id, "version": 1, "revision": 1, "failures": 0, "reason_code": None}
        event = Event(kind, document_id, base | data, "/medsearch/processing")
        await self.hear(event)
        return event

    async def hear(self, event: Event) -> None:
        self._offset += 1
        await self._subscription.handle([LoggedEvent(event, Position(Topic.DOCUMENT, 0, self._offset))])

    async def stage(self, document_id: str, sequence: int, status: str, stage: str, **data: Any) -> Event:
        said = {"sequence": sequence, "status": status, "stage": stage, "progress": 0.5}
        return await self.say(EventType.DOCUMENT_STAGE_CHANGED, document_id, **said | data)

    async def end(self, document_id: str, sequence: int, outcome: str, **data: Any) -> Event:
        said = {"sequence": sequence, "status": outcome, "outcome": outcome, "stage": None, "progress": 1.0}
        return await self.say(EventType.DOCUMENT_PROCESSED, document_id, **said | data)

    async def index(self, document_id: str, sequence: int = 9, *, version: int = 1) -> None:
        """The document was read, annotated and indexed."""
        keys = {stage: f"artefacts/{document_id}/{version}/{stage}.1" for stage in ("extract", "annotate")}
        await self.blobs.put(keys["extract"], dump_extraction(EXTRACTION))
        await self.blobs.put(keys["annotate"], dump_annotation(ANNOTATION))
        await self.end(
            document_id, sequence, "indexed", version=version, revision=version, artefacts=keys, pages=3, passages=2, unreadable_pages=[2],
            warnings=["page_unreadable"], media_type="application/pdf", parser="pdfium@1", models=[],
        )  # fmt: skip

    async def close(self) -> None:
        await self._db.close()


@asynccontextmanager
async def processing_of(settings: Settings, secrets: SecretStore) -> AsyncIterator[Processing]:
    processing = Processing(settings, secrets)
    yield processing
    await processing.close()
