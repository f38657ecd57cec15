"""The demonstration set: stable bytes, marked pages, and the content that the README's tour tells of."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pypdfium2
import pytest

from cluster.demo.generate import DemoDocument, corpus, demo_documents, write
from cluster.demo.letters import Block, all_letters
from cluster.demo.people import CLINICIANS, PATIENTS
from cluster.demo.render import NOTICE
from domain.access import Access, default_access, may_read


@pytest.fixture(scope="module")
def documents() -> list[DemoDocument]:
    return list(demo_documents())


def pages(document: DemoDocument) -> list[str]:
    if document.filename.endswith(".txt"):
        return document.content.decode().split("\f")
    pdf = pypdfium2.PdfDocument(document.content)
    try:
        return [page.get_textpage().get_text_range() for page in pdf]
    finally:
        pdf.close()


def whole(document: DemoDocument) -> str:
    return " ".join(" ".join(pages(document)).split())


def test_the_set_is_large_and_mixed(documents: list[DemoDocument]) -> None:
    kinds = Counter(document.document_type for document in documents)
    assert len(documents) >= 24
    assert {"discharge_summary", "radiology", "laboratory", "referral", "clinic_note", "operative"} <= set(
        kinds
    )
    assert {document.filename[-3:] for document in documents} == {"pdf", "txt"}
    assert sum(len(pages(document)) > 1 for document in documents) >= 5


def test_the_same_bytes_each_time(documents: list[DemoDocument]) -> None:
    assert [document.content for document in demo_documents()] == [document.content for document in documents]


def test_every_page_says_synthetic_and_has_no_gap_left(documents: list[DemoDocument]) -> None:
    for document in [*documents, *corpus(60)]:
        for page in pages(document):
            assert NOTICE in page, document.filename
            assert "{" not in page, document.filename


def test_the_document_says_whose_it_is(documents: list[DemoDocument]) -> None:
    for document in documents:
        assert document.title in whole(document)
        if document.patient is not None:
            assert document.patient in whole(document)
            assert document.patient == f"DEMO|{document.folder}"


def test_the_accounts_see_different_documents(documents: list[DemoDocument]) -> None:
    visible = {}
    for clinician in CLINICIANS:
        principals = {f"user:{clinician.username}", f"department:{clinician.department}"}
        visible[clinician.username] = {
            document.filename
            for document in documents
            if may_read(
                principals,
                default_access_of(document),
            )
        }
    ada, ben = visible["dr.ada"], visible["dr.ben"]
    assert len(ada) >= 10
    assert len(ben) >= 10
    assert ada & ben == {"breathlessness-guideline.txt"}
    assert len(ada | ben) == len(documents)


def default_access_of(document: DemoDocument) -> Access:
    return Access(
        default_access(document.owner.username, patient=document.patient, department=document.department)
    )


@pytest.mark.parametrize(
    ("filename", "words"),
    [
        ("pneumonia-discharge.pdf", "showed pneumonia of the right lower lobe"),
        ("copd-chest-ct.pdf", "No evidence of pneumonia."),
        ("heart-failure-radiograph.pdf", "No evidence of pneumonia."),
        ("embolism-chest-radiograph.pdf", "possible pneumonia"),
        ("copd-clinic-note.txt", "History of pneumonia in 2019"),
        ("asthma-referral.txt", "Mother had breast cancer"),
        ("sarcoidosis-clinic-note.txt", "if fever, rash or signs of pneumonia develop"),
        ("heart-failure-discharge.txt", "Pneumonia was treated with piperacillin"),
        ("infarction-discharge.pdf", "Troponin T 112 2840 610 ng/L"),
    ],
)
def test_the_tour_finds_its_words(documents: list[DemoDocument], filename: str, words: str) -> None:
    assert words in whole(next(document for document in documents if document.filename == filename))


def test_a_corpus_is_distinct_stable_and_a_prefix_of_a_larger_one() -> None:
    some = list(corpus(60, seed=3))
    assert len({document.content for document in some}) == 60
    assert len({document.patient for document in some}) == 60
    assert not {document.folder for document in some} & {str(number) for number in PATIENTS}
    assert sum(document.filename.endswith(".pdf") for document in some) == 30
    assert list(islice(corpus(1000, seed=3), 60)) == some
    assert list(corpus(2, seed=4)) != some[:2]


def test_invented_patients_keep_the_sex_of_the_letter() -> None:
    for document in corpus(40):
        assert ("Mrs" in whole(document)) <= (
            " she " in whole(document).lower() or " her " in whole(document).lower()
        )


def test_files_lie_in_the_folder_of_their_patient(tmp_path, documents: list[DemoDocument]) -> None:
    assert write(iter(documents), tmp_path) == len(documents)
    assert (tmp_path / "1001" / "pneumonia-discharge.pdf").is_file()
    assert (tmp_path / "inhaler-guideline.pdf").is_file()


def test_blocks_keep_tables_and_join_wrapped_paragraphs() -> None:
    letter = next(letter for letter in all_letters() if letter.name == "copd-clinic-note")
    (blocks,) = letter.pages()
    table = next(block for block in blocks if block.kind == "table")
    assert table.rows[0] == ("Measure", "Before", "After salbutamol", "Predicted")
    assert {len(row) for row in table.rows} == {4}
    assert Block("heading", (("Family history",),)) in blocks
    assert any(block.text.startswith("George Pruitt is a retired welder of 73 years") for block in blocks)
