"""The durable results of the stages as bytes: versioned, compact, never executable.

Extraction and annotation are gzip-compressed JSON; vectors are a JSON line followed by a `.npy` array.
Another format or version raises `ArtefactFormat`: the stage that made the artefact is then run again.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from domain.errors import MedsearchError
from domain.text import Annotation, Extraction

VERSION = 1

T = TypeVar("T")

Vectors = npt.NDArray[np.float32]
_EXTRACTION = TypeAdapter(Extraction)
_ANNOTATION = TypeAdapter(Annotation)


class ArtefactFormat(MedsearchError):
    """The bytes are not an artefact of the expected kind and version."""

    code = "artefact.format"


def dump_extraction(extraction: Extraction) -> bytes:
    return _pack("extraction", _EXTRACTION.dump_python(extraction, mode="json", exclude_defaults=True))


def load_extraction(content: bytes) -> Extraction:
    return _validated(_EXTRACTION, _unpack("extraction", content))


def dump_annotation(annotation: Annotation) -> bytes:
    return _pack("annotation", _ANNOTATION.dump_python(annotation, mode="json", exclude_defaults=True))


def load_annotation(content: bytes) -> Annotation:
    return _validated(_ANNOTATION, _unpack("annotation", content))


def dump_vectors(vectors: Vectors, *, encoder: str = "") -> bytes:
    """`vectors` is (passages, dimension) float32; `encoder` is the `name@version` that made them."""
    body = io.BytesIO()
    body.write(json.dumps({"kind": "vectors", "version": VERSION, "encoder": encoder}).encode() + b"\n")
    np.save(body, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
    return body.getvalue()


def load_vectors(content: bytes, *, encoder: str | None = None) -> Vectors:
    """The array; with `encoder`, vectors of another model raise `ArtefactFormat`."""
    header, _, body = content.partition(b"\n")
    document = _checked("vectors", _parsed(header))
    if encoder is not None and document.get("encoder") != encoder:
        raise ArtefactFormat("The vectors were made by another embedding model.")
    try:
        vectors: Vectors = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ArtefactFormat("The vectors are damaged.") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise ArtefactFormat("The vectors have the wrong shape.")
    return vectors


def _pack(kind: str, value: Any) -> bytes:
    document = {"kind": kind, "version": VERSION, "value": value}
    return gzip.compress(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), 6, mtime=0)


def _unpack(kind: str, content: bytes) -> Any:
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ArtefactFormat("The artefact is damaged.") from error
    return _checked(kind, _parsed(plain)).get("value")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtefactFormat("The artefact is damaged.") from error


def _checked(kind: str, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or (document.get("kind"), document.get("version")) != (kind, VERSION):
        raise ArtefactFormat(f"Not a version {VERSION} artefact of the kind {kind}.")
    return document


def _validated(adapter: TypeAdapter[T], value: Any) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ArtefactFormat("The artefact does not have the expected fields.") from error
