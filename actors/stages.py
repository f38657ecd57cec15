"""The stages of a document before the index: from the original's bytes to text, to annotation, to vectors.

Each is a plain function from inputs to a durable result or a `Failure`. Processor-bound work runs in threads of its
own, so that the event loop stays free.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import structlog

from actors.embedders import Embedders
from actors.parser import Parser
from config.niceness import give_way
from domain.errors import NotFound
from domain.job_life import DAMAGED
from domain.jobs import QUARANTINES, Failure, Lane, Lease, Stage
from domain.text import Annotation, Extraction
from models.artefacts import (
    ArtefactFormat,
    Vectors,
    dump_annotation,
    dump_extraction,
    dump_vectors,
    load_annotation,
    load_extraction,
)
from models.extraction import rejection
from stores.ports import BlobStore

T = TypeVar("T")

MAX_PASSAGES = 50_000
MAX_MENTIONS = 500_000
"""Of a document; several times what the longest ordinary text has. Embedder and index hold all of them at once."""

BULK_NICENESS = 5
"""Of the bulk lane, on Linux: uploads by hand and searches do not wait for it."""

log = structlog.get_logger(__name__)


class Annotator(Protocol):
    """Sections, passages and mentions of a text."""

    def annotate(self, extraction: Extraction) -> Annotation: ...


@dataclass(frozen=True, slots=True)
class StageResult:
    """The artefact's bytes, and what operators and events may know about it (never text)."""

    content: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)


class Stages:
    """Runs the stage that a lease names. Each lane computes in a thread of its own: what is uploaded by hand does not
    wait for the document of a bulk load, however long that is.
    """

    def __init__(
        self,
        blobs: BlobStore,
        parser: Parser,
        load_annotator: Callable[[], Annotator],
        embedders: Embedders,
    ) -> None:
        self._blobs = blobs
        self._parser = parser
        self._annotator = _once(load_annotator)
        self._embedders = embedders
        self._threads = {
            Lane.ONLINE: ThreadPoolExecutor(1, "models-online"),
            Lane.BULK: ThreadPoolExecutor(1, "models-bulk", give_way, (BULK_NICENESS,)),
        }

    async def load(self, stages: Iterable[Stage]) -> None:
        """Load the models that these stages need, once. What keeps a model from loading is no document's fault:
        it is raised as it comes, before there is a document.
        """
        for stage in stages:
            if stage is Stage.ANNOTATE:
                await self._in_thread(Lane.ONLINE, self._annotator)
            if stage is Stage.EMBED:
                wanted = await self._embedders.wanted(None)
                await self._in_thread(Lane.ONLINE, self._embedders.loaded, wanted)

    async def run(self, lease: Lease) -> StageResult | Failure:
        """The result of the lease's stage. Raises `Unavailable` when storage is away."""
        match lease.stage:
            case Stage.EXTRACT:
                return await self._extract(lease)
            case Stage.ANNOTATE:
                return await self._compute(lease, Stage.EXTRACT, self._annotate)
            case Stage.EMBED:
                return await self._compute(lease, Stage.ANNOTATE, self._embed)
            case Stage.INDEX:
                raise ValueError("the index writer runs the last stage")

    async def _extract(self, lease: Lease) -> StageResult | Failure:
        try:
            path = await self._blobs.local_path(lease.blob_key)
        except NotFound:
            return failure("original_missing")
        outcome = await self._parser.parse(path, attempt=lease.attempt)
        if isinstance(outcome, Failure):
            return outcome
        return await self._in_thread(lease.lane, extracted, outcome)

    async def _compute(
        self, lease: Lease, before: Stage, work: Callable[[Lease, bytes], Awaitable[StageResult | Failure]]
    ) -> StageResult | Failure:
        try:
            return await work(lease, await self._blobs.read(lease.artefacts[before]))
        except (NotFound, ArtefactFormat) as error:
            log.warning("artefact_damaged", stage=before, document_id=str(lease.document_id), exc_info=error)
            return failure(DAMAGED)
        except (MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            # the document breaks the model: its text must not get into the log with the message
            log.warning("stage_failed", stage=lease.stage, document_id=str(lease.document_id), exc_info=error)
            return failure("model_failed")

    async def _annotate(self, lease: Lease, extraction: bytes) -> StageResult | Failure:
        return await self._in_thread(lease.lane, lambda: annotate(extraction, self._annotator()))

    async def _embed(self, lease: Lease, annotation: bytes) -> StageResult:
        """Some passages at a time, by length: tokens take more room than vectors."""
        content = await self._in_thread(lease.lane, load_annotation, annotation)
        wanted = await self._embedders.wanted(lease.generation)
        embedder = await self._in_thread(lease.lane, self._embedders.loaded, wanted)
        texts = [passage.text for passage in content.passages]
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        parts = [
            await self._in_thread(
                lease.lane, embedder.embed, [texts[index] for index in order[start : start + embedder.batch]]
            )
            for start in range(0, max(len(texts), 1), embedder.batch)
        ]
        return await self._in_thread(
            lease.lane, embedded, content, np.concatenate(parts)[np.argsort(order)], embedder.name
        )

    async def _in_thread(self, lane: Lane, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads[lane], work, *arguments)


def extracted(extraction: Extraction) -> StageResult:
    """The parser's answer as an artefact."""
    facts = asdict(extraction)
    facts["pages"] = len(extraction.pages)
    return StageResult(dump_extraction(extraction), facts)


def annotate(extraction: bytes, annotator: Annotator) -> StageResult | Failure:
    """From the extraction artefact to the annotation artefact; too much of anything is a rejection."""
    annotation = annotator.annotate(load_extraction(extraction))
    if len(annotation.passages) > MAX_PASSAGES or len(annotation.mentions) > MAX_MENTIONS:
        return rejection("too_large")
    facts = {"passages": len(annotation.passages), "models": list(annotation.models)}
    return StageResult(dump_annotation(annotation), facts)


def embedded(annotation: Annotation, vectors: Vectors, encoder: str) -> StageResult:
    """The vectors, one a passage, as an artefact."""
    return StageResult(dump_vectors(vectors, encoder=encoder), {"models": [*annotation.models, encoder]})


def failure(code: str) -> Failure:
    """The failure with this code of `domain.jobs.QUARANTINES`."""
    return Failure(code, QUARANTINES[code][0])


def _once(load: Callable[[], T]) -> Callable[[], T]:
    """Loads when first called, whatever threads call at once."""
    lock, cached = threading.Lock(), functools.cache(load)

    def loaded() -> T:
        with lock:
            return cached()

    return loaded
