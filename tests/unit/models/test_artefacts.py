"""Artefacts keep their values, are compact and deterministic, and refuse everything else."""

from __future__ import annotations

import gzip
import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import (
    Annotation,
    Assertion,
    Certainty,
    Concept,
    Cue,
    Experiencer,
    Extraction,
    Mention,
    MentionType,
    Page,
    Passage,
    Polarity,
    Section,
    Temporality,
)
from models.artefacts import (
    ArtefactFormat,
    dump_annotation,
    dump_extraction,
    dump_vectors,
    load_annotation,
    load_extraction,
    load_vectors,
)
from models.members import pack

EXTRACTION = Extraction(
    "text/plain", (Page(1, "Fièvre 🙂"), Page(2, "")), (2,), ("page_unreadable",), "plain@1"
)
ASSERTION = Assertion(
    Polarity.NEGATED, Certainty.UNCERTAIN, Temporality.HISTORICAL, Experiencer.FAMILY, Cue(0, 2, "no")
)
ANNOTATION = Annotation(
    (Section("plan", 1, 0, 8),),
    (Passage(0, 1, 0, 8, None, "No fever"), Passage(1, 2, 0, 1, "plan", "x")),
    (
        Mention(
            1,
            3,
            8,
            "fever",
            MentionType.SIGN,
            (Concept("HP:1", "Fever", 0.8), Concept("MESH:2", "F")),
            ASSERTION,
        ),
        Mention(2, 0, 1, "x", MentionType.DRUG, section="plan"),
    ),
    ("dictionary@1", "rules@1"),
)


def test_values_survive() -> None:
    assert load_extraction(dump_extraction(EXTRACTION)) == EXTRACTION
    assert load_annotation(dump_annotation(ANNOTATION)) == ANNOTATION


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_storable_text_survives(texts: list[str]) -> None:
    extraction = Extraction("text/plain", tuple(Page(number, text) for number, text in enumerate(texts, 1)))
    assert load_extraction(dump_extraction(extraction)) == extraction


def test_pages_are_counted_without_a_gap() -> None:
    with pytest.raises(ValueError, match="gap"):
        Extraction("text/plain", (Page(1, "a"), Page(3, "b")))


def test_a_head_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="head"):
        pack({"kind": "x" * 64}, [])


def test_the_same_value_gives_the_same_bytes() -> None:
    assert dump_annotation(ANNOTATION) == dump_annotation(ANNOTATION)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4)])
def test_vectors_survive(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).random(shape, dtype=np.float32)
    loaded = load_vectors(dump_vectors(vectors, encoder="m@1"), encoder="m@1")
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, vectors)


def test_vectors_of_another_model_are_refused() -> None:
    content = dump_vectors(np.zeros((1, 2), dtype=np.float32), encoder="m@1")
    with pytest.raises(ArtefactFormat, match="another embedding model"):
        load_vectors(content, encoder="m@2")


@pytest.mark.parametrize("load", [load_extraction, load_annotation, load_vectors])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"junk",
        dump_extraction(EXTRACTION)[:-9],
        gzip.compress(b"[" * 100_000),
        gzip.compress(json.dumps({"kind": "extraction", "version": 99, "value": {}}).encode()),
        gzip.compress(json.dumps({"kind": "annotation", "version": 1, "value": {"sections": 3}}).encode()),
        gzip.compress(json.dumps({"kind": "extraction", "version": 1, "value": None}).encode()),
        pack({"kind": "extraction", "version": 99}, [b"{}"]),
        pack({"kind": "extraction", "version": 2}, []),
        pack({"kind": "annotation", "version": 2}, [b"[]"]),
        b'{"kind":"extraction","version":2,"members":-1}'.ljust(64),
        b'{"kind":"extraction","version":2,"members":1000000000000}'.ljust(80),
        b'{"kind":"annotation","version":2}'.ljust(64),
        dump_vectors(np.zeros((2, 2), dtype=np.float32))[:-3],
    ],
)
def test_other_bytes_are_refused(load: object, content: bytes) -> None:
    with pytest.raises(ArtefactFormat):
        load(content)  # type: ignore[operator]


def test_a_pickled_array_is_never_loaded() -> None:
    body = io.BytesIO()
    np.save(body, np.array([object()], dtype=object), allow_pickle=True)
    header = b'{"kind": "vectors", "version": 1, "encoder": ""}\n'
    for content in (body.getvalue(), pickle.dumps([1])):
        with pytest.raises(ArtefactFormat):
            load_vectors(header + content)


def test_wrong_array_is_refused() -> None:
    body = io.BytesIO()
    np.save(body, np.zeros(3, dtype=np.float64))
    with pytest.raises(ArtefactFormat, match="shape"):
        load_vectors(b'{"kind": "vectors", "version": 1, "encoder": ""}\n' + body.getvalue())
