"""The durable results of the stages as bytes: versioned, compact, never executable.

Extraction and annotation are `models.members` of JSON: member 0 is about the document, member n about its page n, so
that a page is read without the others. Vectors are a JSON line followed by a `.npy` array. Another format or version
raises `ArtefactFormat`: the stage that made the artefact is then run again. Version 1 of extraction and annotation,
one gzip-compressed JSON object each, is still read.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from domain.errors import MedsearchError
from domain.text import Annotation, Extraction, Mention, Page, Passage, Section, by_page
from models import members

VERSION = 1
PAGED = 2
"""Version of extraction and annotation."""

GZIP = b"\x1f\x8b"

T = TypeVar("T")

Vectors = npt.NDArray[np.float32]


class ArtefactFormat(MedsearchError):
    """The bytes are not an artefact of the expected kind and version."""

    code = "artefact.format"


@dataclass(frozen=True, slots=True)
class ExtractionFacts:
    """What member 0 of an extraction says."""

    media_type: str
    warnings: tuple[str, ...] = ()
    parser: str = ""


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """What a page's member of an extraction says."""

    text: str
    readable: bool = True


@dataclass(frozen=True, slots=True)
class AnnotationFacts:
    """What member 0 of an annotation says; `mentions` are their numbers, page by page."""

    models: tuple[str, ...]
    mentions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedPage:
    """What a page's member of an annotation says."""

    sections: tuple[Section, ...] = ()
    passages: tuple[Passage, ...] = ()
    mentions: tuple[Mention, ...] = ()


_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind)
    for kind in (Extraction, ExtractionFacts, ExtractedPage, Annotation, AnnotationFacts, AnnotatedPage)
}


def dump_extraction(extraction: Extraction) -> bytes:
    unreadable = set(extraction.unreadable_pages)
    facts = ExtractionFacts(extraction.media_type, extraction.warnings, extraction.parser)
    pages = (ExtractedPage(page.text, page.number not in unreadable) for page in extraction.pages)
    return _pack("extraction", facts, pages)


def load_extraction(content: bytes) -> Extraction:
    if content.startswith(GZIP):
        return _first_version("extraction", Extraction, content)
    first, *others = _unpack("extraction", content)
    facts, pages = load_member(ExtractionFacts, first), [load_member(ExtractedPage, one) for one in others]
    return Extraction(
        facts.media_type,
        tuple(Page(number, page.text) for number, page in enumerate(pages, 1)),
        tuple(number for number, page in enumerate(pages, 1) if not page.readable),
        facts.warnings,
        facts.parser,
    )


def dump_annotation(annotation: Annotation) -> bytes:
    counts = Counter(mention.page for mention in annotation.mentions)
    placed = (section.page for section in annotation.sections), (one.page for one in annotation.passages)
    last = max(chain(*placed, counts), default=0)
    facts = AnnotationFacts(annotation.models, tuple(counts[page] for page in range(1, last + 1)))
    return _pack("annotation", facts, _annotated_pages(annotation, last))


def load_annotation(content: bytes) -> Annotation:
    if content.startswith(GZIP):
        return _first_version("annotation", Annotation, content)
    first, *others = _unpack("annotation", content)
    facts, pages = load_member(AnnotationFacts, first), [load_member(AnnotatedPage, one) for one in others]
    return Annotation(
        tuple(section for page in pages for section in page.sections),
        tuple(passage for page in pages for passage in page.passages),
        tuple(mention for page in pages for mention in page.mentions),
        facts.models,
    )


def load_member(kind: type[T], member: bytes) -> T:
    """A member as the class that it is of."""
    try:
        return _adapter(kind).validate_json(member)
    except ValidationError as error:
        raise _other_fields() from error


def check_head(kind: str, start: bytes) -> int:
    """How many members there are in the artefact that begins like this."""
    head = _checked(kind, PAGED, _parsed(start[: members.HEAD_BYTES]))
    if not isinstance(head.get("members"), int):
        raise _other_fields()
    return int(head["members"])


def paged(kind: str, content: bytes) -> bytes:
    """An artefact of version 1 as one that can be read page by page."""
    if kind == "extraction":
        return dump_extraction(load_extraction(content))
    return dump_annotation(load_annotation(content))


def dump_vectors(vectors: Vectors, *, encoder: str = "") -> bytes:
    """`vectors` is (passages, dimension) float32; `encoder` is the `name@version` that made them."""
    body = io.BytesIO()
    body.write(json.dumps({"kind": "vectors", "version": VERSION, "encoder": encoder}).encode() + b"\n")
    np.save(body, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
    return body.getvalue()


def encoder_of_vectors(content: bytes) -> str | None:
    """Which model made them."""
    header = _checked("vectors", VERSION, _parsed(content.partition(b"\n")[0]))
    encoder: str | None = header.get("encoder")
    return encoder


def load_vectors(content: bytes, *, encoder: str | None = None) -> Vectors:
    """The array; with `encoder`, vectors of another model raise `ArtefactFormat`."""
    header, _, body = content.partition(b"\n")
    document = _checked("vectors", VERSION, _parsed(header))
    if encoder is not None and document.get("encoder") != encoder:
        raise ArtefactFormat("The vectors were made by another embedding model.")
    try:
        vectors: Vectors = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ArtefactFormat("The vectors are damaged.") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise ArtefactFormat("The vectors have the wrong shape.")
    return vectors


def _pack(kind: str, facts: Any, pages: Iterable[Any]) -> bytes:
    contents = (_adapter(type(one)).dump_json(one, exclude_defaults=True) for one in (facts, *pages))
    return members.pack({"kind": kind, "version": PAGED}, contents)


def _unpack(kind: str, content: bytes) -> list[bytes]:
    check_head(kind, content)
    try:
        found = members.unpack(content)
    except ValueError as error:
        raise ArtefactFormat("The artefact is damaged.") from error
    if not found:
        raise ArtefactFormat("The artefact is empty.")
    return found


def _first_version(kind: str, whole: type[T], content: bytes) -> T:
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ArtefactFormat("The artefact is damaged.") from error
    value = _checked(kind, VERSION, _parsed(plain)).get("value")
    try:
        return _adapter(whole).validate_python(value)
    except ValidationError as error:
        raise _other_fields() from error


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtefactFormat("The artefact is damaged.") from error


def _checked(kind: str, version: int, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or (document.get("kind"), document.get("version")) != (kind, version):
        raise ArtefactFormat(f"Not a version {version} artefact of the kind {kind}.")
    return document


def _other_fields() -> ArtefactFormat:
    return ArtefactFormat("The artefact does not have the expected fields.")


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    adapter: TypeAdapter[T] = _ADAPTERS[kind]
    return adapter


def _annotated_pages(annotation: Annotation, last: int) -> Iterator[AnnotatedPage]:
    sections = by_page(annotation.sections)
    passages = by_page(annotation.passages)
    mentions = by_page(annotation.mentions)
    for page in range(1, last + 1):
        yield AnnotatedPage(
            tuple(sections.get(page, ())), tuple(passages.get(page, ())), tuple(mentions.get(page, ()))
        )
