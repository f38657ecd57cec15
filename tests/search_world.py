"""A small world for search tests: documents in a line, an encoder of word counts, ports that remember."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from uuid import UUID

import numpy as np

from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import SearchSettings
from deployments.edge.cursors import CursorSigner
from deployments.search.service import SearchPorts, SearchService
from domain.access import Caller, Sensitivity
from domain.documents import DocumentState
from domain.errors import Gone, Unavailable
from domain.events import Event
from domain.ids import new_id
from domain.search import Generation, PutDocument, Vector
from domain.text import (
    Annotation,
    Assertion,
    AssertionLabel,
    Certainty,
    Concept,
    Cue,
    Experiencer,
    Mention,
    MentionType,
    Passage,
    Polarity,
    Section,
    Temporality,
)
from domain.windows import Window
from models.analysis import stems
from models.query import ConceptNames, NoNames
from models.records import index_records
from stores.ports import AuditEntry, SearchIndex
from tests.memory_index import MemoryIndex

OWNER = UUID("0190aaaa-0000-7000-8000-000000000001")
PNEUMONIA = "ICD10CM:J18.9"
GENERATION = Generation("g1", encoder="words@1", dimension=512, analysis="1")

AXES: dict[AssertionLabel, Assertion] = {
    AssertionLabel.AFFIRMED: Assertion(),
    AssertionLabel.NEGATED: Assertion(polarity=Polarity.NEGATED),
    AssertionLabel.UNCERTAIN: Assertion(certainty=Certainty.UNCERTAIN),
    AssertionLabel.HISTORICAL: Assertion(temporality=Temporality.HISTORICAL),
    AssertionLabel.FAMILY: Assertion(experiencer=Experiencer.FAMILY),
    AssertionLabel.HYPOTHETICAL: Assertion(temporality=Temporality.HYPOTHETICAL),
}


def vector_of(text: str) -> Vector:
    """Word counts hashed into 512 places, normalised: texts that share words are near."""
    counts = np.zeros(512, dtype=np.float32)
    for stem in stems(text):
        counts[zlib.crc32(stem.encode()) % 512] += 1
    norm = float(np.linalg.norm(counts))
    return counts / norm if norm else counts + np.float32(512**-0.5)


class PneumoniaNames:
    """`models.query.ConceptNames` of one concept: pneumonia, also called lung inflammation."""

    def named(self, text: str) -> list[str]:
        return [PNEUMONIA] if stems(text) in (["pneumonia"], stems("lung inflammation")) else []

    def names(self, text: str) -> list[str]:
        return ["pneumonia", "lung inflammation"] if self.named(text) else []


class WordEncoder:
    """`stores.ports.QueryEncoding`; `away` makes it unavailable."""

    def __init__(self) -> None:
        self.name = GENERATION.encoder
        self.away = False
        self.texts: list[str] = []

    async def encode(self, text: str, encoder: str) -> Vector:
        if self.away or encoder != self.name:
            raise Unavailable("away")
        self.texts.append(text)
        return vector_of(text)


@dataclass
class MemoryVisibility:
    """`stores.ports.Visibility`: what was put, until it is hidden."""

    rows: dict[UUID, tuple[int, frozenset[str]]] = field(default_factory=dict)

    async def visible(self, versions: Mapping[UUID, int], principals: Collection[str]) -> frozenset[UUID]:
        return frozenset(
            document
            for document, version in versions.items()
            if document in self.rows
            and self.rows[document][0] == version
            and self.rows[document][1] & set(principals)
        )


@dataclass
class MemoryWindows:
    """`stores.ports.SearchWindows` without an end of time."""

    windows: dict[UUID, Window] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    async def answered(self, event: Event, window: Window | None) -> None:
        self.events.append(event)
        if window is not None:
            self.windows[window.id] = window

    async def read(self, window_id: UUID, account: str) -> Window:
        window = self.windows.get(window_id)
        if window is None or window.account != account:
            raise Gone("gone")
        return window


@dataclass
class MemoryAudit:
    """`stores.ports.AuditLog`; `away` makes it unavailable."""

    entries: list[AuditEntry] = field(default_factory=list)
    away: bool = False

    async def record(self, entry: AuditEntry) -> None:
        if self.away:
            raise Unavailable("The audit log is away.", code="audit.unavailable", retry_after=2)
        self.entries.append(entry)


def mention(text: str, words: str, code: str, label: AssertionLabel = AssertionLabel.AFFIRMED) -> Mention:
    """The first `words` in a page's text; what is not affirmed has the page's first word as its cue."""
    start = text.index(words)
    first = text.split(maxsplit=1)[0]
    cue = None if label is AssertionLabel.AFFIRMED else Cue(0, len(first), first)
    return Mention(
        1,
        start,
        start + len(words),
        words,
        MentionType.PROBLEM,
        (Concept(code, f"Label of {code}"),),
        replace(AXES[label], cue=cue),
    )


def document(
    *paragraphs: str,
    title: str = "A letter",
    mentions: Sequence[Mention] = (),
    access: Collection[str] = (f"user:{OWNER}",),
    section: str | None = None,
    revision: int = 1,
    document_id: UUID | None = None,
    version: int = 1,
    kind: str = "clinic_note",
    day: date | None = date(2024, 5, 1),
    patient: str | None = None,
    department: str | None = None,
    sensitivity: Sensitivity = Sensitivity.NORMAL,
) -> PutDocument:
    """A document of one page, a paragraph (ending in a newline) a passage."""
    passages, start = [], 0
    for ordinal, text in enumerate(paragraphs):
        passages.append(Passage(ordinal, 1, start, start + len(text), section, text))
        start += len(text) + 1
    found = tuple(replace(one, section=section) for one in mentions)
    sections = (Section(section, 1, 0, start),) if section else ()
    state = DocumentState(
        document_id or new_id(), version, revision, False, "file.pdf", title, kind, day, patient, department,
        OWNER, sensitivity, frozenset(access),
    )  # fmt: skip
    vectors = np.stack([vector_of(text) for text in paragraphs])
    return index_records(state, Annotation(sections, tuple(passages), found, ()), vectors)


def clinician(*principals: str, user: UUID = OWNER) -> Caller:
    return Caller(str(user), "doctor", frozenset({f"user:{user}", "role:doctor", *principals}))


@dataclass
class World:
    """A service over fakes (or a real index), and the hands to change what it stands on."""

    folder: Path
    index: SearchIndex = field(default_factory=MemoryIndex)
    names: ConceptNames = field(default_factory=NoNames)
    settings: SearchSettings = field(
        default_factory=lambda: SearchSettings(
            semantic_floor=0.2, semantic_ratio=0, question_semantic_ratio=0
        )
    )
    encoder: WordEncoder = field(default_factory=WordEncoder)
    visibility: MemoryVisibility = field(default_factory=MemoryVisibility)
    windows: MemoryWindows = field(default_factory=MemoryWindows)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    now: float = 1_000_000.0

    @property
    def service(self) -> SearchService:
        cursors = CursorSigner(SecretStore(self.folder), clock=lambda: self.now)
        ports = SearchPorts(
            self.index,
            self.encoder,
            self.visibility,
            self.windows,
            self.audit,
            cursors,
            self.names,
            AccessPolicy.load(),
        )
        return SearchService(ports, self.settings)

    async def open(self) -> World:
        await self.index.create(GENERATION)
        await self.index.promote(GENERATION.name)
        return self

    async def put(self, *documents: PutDocument, shown: bool = True) -> list[UUID]:
        """Index the documents and, unless not `shown`, make them visible; their ids."""
        await self.index.write(GENERATION.name, documents)
        for one in documents if shown else ():
            self.visibility.rows[one.root.document_id] = (one.root.version, frozenset(one.root.access))
        return [one.root.document_id for one in documents]
