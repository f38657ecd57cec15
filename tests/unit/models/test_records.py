"""What the index gets: terms once and in order, concepts by assertion and section, mentions by passage."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import numpy as np
import pytest

from domain.access import Sensitivity
from domain.documents import DocumentState
from domain.text import (
    Annotation,
    Assertion,
    Concept,
    Mention,
    MentionType,
    Passage,
    Polarity,
    Section,
)
from models.records import index_records

DOCUMENT = UUID(int=7)
TEXT = "Fever and coughs. PLAN: No fever."


def state(**changes: object) -> DocumentState:
    values = {
        "document_id": DOCUMENT,
        "version": 2,
        "revision": 5,
        "deleted": False,
        "filename": "letter.pdf",
        "title": "Clinic letters",
        "document_type": "clinic_note",
        "document_date": date(2024, 5, 1),
        "patient": "MRN|1",
        "department": "cardiology",
        "owner_id": UUID(int=1),
        "sensitivity": Sensitivity.RESTRICTED,
        "access_list": frozenset({"user:1", "treating:MRN|1"}),
    }
    return DocumentState(**{**values, **changes})  # type: ignore[arg-type]


def mention(
    start: int, end: int, concepts: tuple[Concept, ...], *, negated: bool = False, section: str | None = None
) -> Mention:
    assertion = Assertion(Polarity.NEGATED if negated else Polarity.AFFIRMED)
    return Mention(1, start, end, TEXT[start:end], MentionType.SIGN, concepts, assertion, section)


FEVER = (Concept("HP:0001945", "Fever"), Concept("MESH:D005334", "Fever"))
ANNOTATION = Annotation(
    sections=(Section("plan", 1, 18, 33),),
    passages=(
        Passage(0, 1, 0, 17, None, TEXT[0:17]),
        Passage(1, 1, 10, 33, "plan", TEXT[10:33]),
        Passage(2, 2, 0, 5, "plan", "Rest."),
    ),
    mentions=(
        mention(0, 5, FEVER),
        mention(10, 16, ()),
        mention(27, 32, FEVER, negated=True, section="plan"),
    ),
    models=("m@1",),
)
VECTORS = np.eye(3, 4, dtype=np.float32)


def test_root_fields() -> None:
    root = index_records(state(), ANNOTATION, VECTORS).root
    assert (root.document_id, root.version, root.revision) == (DOCUMENT, 2, 5)
    assert (root.title, root.document_type, root.department) == (
        "Clinic letters",
        "clinic_note",
        "cardiology",
    )
    assert (root.patient, root.date) == ("MRN|1", date(2024, 5, 1))
    assert root.sections == ("plan",)


def test_access_is_the_effective_one() -> None:
    assert index_records(state(), ANNOTATION, VECTORS).root.access == ("user:1",)


def test_root_terms_once_and_in_order_title_first() -> None:
    root = index_records(state(), ANNOTATION, VECTORS).root
    assert root.stems == "clinic letter fever and cough plan no fever rest"
    assert root.section_stems == ("plan#plan", "plan#no", "plan#fever")
    assert root.title_stems == 2


def test_without_a_title_the_file_name_is_searched() -> None:
    root = index_records(state(title=""), ANNOTATION, VECTORS).root
    assert root.title == "letter.pdf"
    assert root.stems.startswith("letter pdf fever")


def test_concepts_by_assertion_and_section() -> None:
    root = index_records(state(), ANNOTATION, VECTORS).root
    assert root.concepts == (
        "HP:0001945#affirmed",
        "HP:0001945#negated",
        "MESH:D005334#affirmed",
        "MESH:D005334#negated",
        "plan#HP:0001945#negated",
        "plan#MESH:D005334#negated",
    )
    assert root.facet_concepts == ("HP:0001945#affirmed", "HP:0001945#negated")
    assert root.concept_labels == {"HP:0001945": "Fever"}


def test_passages_hold_their_own_mentions_terms_and_vector() -> None:
    first, second, third = index_records(state(), ANNOTATION, VECTORS).passages
    assert [m.start for m in first.mentions] == [0, 10]
    assert [m.start for m in second.mentions] == [10, 27]
    assert third.mentions == ()
    assert first.stems == "fever and cough"
    assert second.concepts == (
        "HP:0001945#negated",
        "MESH:D005334#negated",
        "plan#HP:0001945#negated",
        "plan#MESH:D005334#negated",
    )
    assert (third.ordinal, third.page, third.section, third.text) == (2, 2, "plan", "Rest.")
    assert np.array_equal(second.vector, VECTORS[1])


def test_missing_vectors_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 passages but 2 vectors"):
        index_records(state(), ANNOTATION, VECTORS[:2])


def test_empty_document() -> None:
    empty = Annotation((), (), (), ("m@1",))
    put = index_records(state(), empty, np.zeros((0, 4), dtype=np.float32))
    assert put.passages == ()
    assert put.root.stems == "clinic letter"
