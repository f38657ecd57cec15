"""Document types of the demonstration set and of C-CDA examples, and the sections that those name by code."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pypdfium2
import pytest

from cluster.demo.generate import DemoDocument, demo_documents
from domain.documents import DocumentType
from domain.text import Page
from models.document_types import LOINC, DocumentGuess, guess_document_type
from models.sections import LOINC as SECTION_CODES
from models.sections import NAMES, find_sections, headings
from tests.data import evaluation_data

HL7 = "{urn:hl7-org:v3}"


def guess(pages: list[Page]) -> DocumentGuess:
    return guess_document_type(pages, find_sections(pages))


def pages_of(document: DemoDocument) -> list[Page]:
    if document.filename.endswith(".txt"):
        texts = document.content.decode().split("\f")
    else:
        pdf = pypdfium2.PdfDocument(document.content)
        texts = [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in pdf]
        pdf.close()
    return [Page(number, text) for number, text in enumerate(texts, 1)]


@pytest.mark.parametrize("document", list(demo_documents()), ids=lambda document: document.filename)
def test_demo_documents(document: DemoDocument) -> None:
    found = guess(pages_of(document))
    assert found.type == document.document_type
    assert found.confidence >= 0.5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "other"),
        ("Shopping list: bread, butter, tea.", "other"),
        ("Dear Dr Smith,\nThank you for seeing this man. I would be grateful for your opinion.", "referral"),
        (
            "CT CHEST WITH CONTRAST\nTECHNIQUE: axial.\nFINDINGS: No opacity.\nIMPRESSION: Normal.",
            "radiology",
        ),
        (
            "Abstract\nWe report a case (p < 0.05).\nMethods\nWe found.\nDiscussion\nFig. 1 [3].\nReferences\n",
            "article",
        ),
    ],
)
def test_short_texts(text: str, kind: str) -> None:
    assert guess([Page(1, text)]).type == kind


def test_an_unsure_guess_is_other() -> None:
    assert guess([Page(1, "The surgeon gave consideration to follow-up.")]).type == DocumentType.OTHER


def ccda() -> Iterator[tuple[str, ET.Element]]:
    for path in sorted(evaluation_data("documents/ccda").rglob("*.[xX][mM][lL]")):
        yield path.name, ET.parse(path).getroot()


def titled(root: ET.Element) -> Iterator[tuple[str, str, str]]:
    """(code, title, text) of every section that has a title."""
    for section in root.iter(f"{HL7}section"):
        code, text = section.find(f"{HL7}code"), section.find(f"{HL7}text")
        title = section.findtext(f"{HL7}title")
        if title and code is not None:
            words = " ".join(" ".join(text.itertext()).split())[:2000] if text is not None else ""
            yield code.attrib["code"], title, words


@pytest.mark.data
def test_types_of_ccda_documents() -> None:
    """11 of 12; the referral note reads like a clinic note."""
    right = 0
    for _, root in ccda():
        lines = [root.findtext(f"{HL7}title") or ""]
        lines += [line for _, title, text in titled(root) for line in (title, text)]
        code = root.find(f"{HL7}code")
        assert code is not None
        right += guess([Page(1, "\n".join(lines))]).type == LOINC[code.attrib["code"]]
    assert right >= 11


@pytest.mark.data
def test_section_titles_of_ccda_documents_mean_their_codes() -> None:
    """168 of 171."""
    found = [
        [name for _, name in headings(f"{title}\ntext")] == [SECTION_CODES[code]]
        for _, root in ccda()
        for code, title, _ in titled(root)
    ]
    assert len(found) == 171
    assert sum(found) >= 168


def test_codes_mean_known_sections() -> None:
    assert set(SECTION_CODES.values()) <= set(NAMES)
