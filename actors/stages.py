"""The stages of a document before the index: from the original's bytes to text, to annotation, to vectors.

Each is a plain function from inputs to a durable result or a `Failure`. Processor-bound work runs in one
thread of its own, so that the event loop stays free.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import structlog

from actors.embedders import Embedders
from actors.parser import Parser
from domain.errors import NotFound
from domain.job_life import DAMAGED
from domain.jobs import QUARANTINES, Failure, Lease, Stage
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
    """Runs the stage that a lease names; the passages of one batch are embedded without a pause."""

    def __init__(
        self,
        blobs: BlobStore,
        parser: Parser,
        load_annotator: Callable[[], Annotator],
        embedders: Embedders,
    ) -> None:
        self._blobs = blobs
        self._parser = parser
        self._annotator = functools.cache(load_annotator)
        self._embedders = embedders
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")

    async def load(self, stages: Iterable[Stage]) -> None:
        """Load the models that these stages need, once. What keeps a model from loading is no document's fault:
        it is raised as it comes, before there is a document.
        """
        for stage in stages:
            if stage is Stage.ANNOTATE:
                await self._in_thread(self._annotator)
            if stage is Stage.EMBED:
                await self._in_thread(self._embedders.loaded, await self._embedders.wanted(None))

    async def run(self, lease: Lease) -> StageResult | Failure:
        """The result of the lease's stage. Raises `Unavailable` when storage is away."""
        match lease.stage:
            case Stage.EXTRACT:
                return await self._extract(lease)
            case Stage.ANNOTATE:
                return await self._compute(lease, Stage.EXTRACT, self._annotate)
            case Stage.EMBED:
                return await self._compute(
                    lease, Stage.ANNOTATE, functools.partial(self._embed, lease.generation)
                )
            case Stage.INDEX:
                raise ValueError("the index writer runs the last stage")

    async def _extract(self, lease: Lease) -> StageResult | Failure:
        try:
            path = await self._blobs.local_path(lease.blob_key)
        except NotFound:
            return failure("original_missing")
        outcome = await self._parser.parse(path, attempt=lease.attempt)
        return outcome if isinstance(outcome, Failure) else await self._in_thread(extracted, outcome)

    async def _compute(
        self, lease: Lease, before: Stage, work: Callable[[bytes], Awaitable[StageResult | Failure]]
    ) -> StageResult | Failure:
        try:
            return await work(await self._blobs.read(lease.artefacts[before]))
        except (NotFound, ArtefactFormat) as error:
            log.warning("artefact_damaged", stage=before, document_id=str(lease.document_id), exc_info=error)
            return failure(DAMAGED)
        except (MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            # the document breaks the model: its text must not get into the log with the message
            log.warning("stage_failed", stage=lease.stage, document_id=str(lease.document_id), exc_info=error)
            return failure("model_failed")

    async def _annotate(self, extraction: bytes) -> StageResult | Failure:
        return await self._in_thread(lambda: annotate(extraction, self._annotator()))

    async def _embed(self, generation: str | None, annotation: bytes) -> StageResult:
        """Some passages at a time, by length: in between, the thread is free for another document."""
        content = await self._in_thread(load_annotation, annotation)
        wanted = await self._embedders.wanted(generation)
        embedder = await self._in_thread(self._embedders.loaded, wanted)
        texts = [passage.text for passage in content.passages]
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        parts = [
            await self._in_thread(
                embedder.embed, [texts[index] for index in order[start : start + embedder.batch]]
            )
            for start in range(0, max(len(texts), 1), embedder.batch)
        ]
        return await self._in_thread(
            embedded, content, np.concatenate(parts)[np.argsort(order)], embedder.name
        )

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


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
