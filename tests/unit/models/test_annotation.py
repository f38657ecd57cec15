"""The annotate stage as a whole, on the real vocabulary."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from uuid import UUID

import numpy as np
import pytest
import slipcover
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ModelSettings
from domain.access import Sensitivity
from domain.documents import DocumentState
from domain.text import Annotation, Extraction, Page
from models.annotation import Annotator, load_annotator
from models.records import index_records
from models.terminology import Vocabulary

SLIPCOVER = str(Path(slipcover.__file__).parent)
DOCUMENT = DocumentState(
    UUID(int=1), 1, 1, False, "a.txt", "A", "other", None, None, None, UUID(int=2), Sensitivity.NORMAL,
    frozenset({"user:2"}),
)  # fmt: skip

LETTER = """Discharge summary

HISTORY OF PRESENT ILLNESS:
The patient has community acquired pneumonia. Denies chest pain, fever or
chills. No evidence of pulmonary embolism.

Family History:
Mother had breast cancer.

PLAN:
Amoxicillin 500mg p.o. Return if dyspnea develops."""


@pytest.fixture(scope="session")
def annotator(vocabulary: Vocabulary, vocabulary_cache: Path) -> Annotator:
    return load_annotator(ModelSettings(recognizer="dictionary"), cache_dir=vocabulary_cache)


def annotate(annotator: Annotator, *texts: str) -> Annotation:
    return annotator.annotate(
        Extraction("text/plain", tuple(Page(n, text) for n, text in enumerate(texts, 1)))
    )


def test_a_letter(annotator: Annotator) -> None:
    annotation = annotate(annotator, LETTER)
    said = {mention.text: (mention.assertion.label, mention.section) for mention in annotation.mentions}
    assert said == {
        "community acquired pneumonia": ("affirmed", "history"),
        "chest pain": ("negated", "history"),
        "fever": ("negated", "history"),
        "chills": ("negated", "history"),
        "pulmonary embolism": ("negated", "history"),
        "breast cancer": ("family", "family_history"),
        "Amoxicillin": ("affirmed", "plan"),
        "dyspnea": ("hypothetical", "plan"),
    }
    assert annotation.models == annotator.models
    assert [section.name for section in annotation.sections] == ["history", "family_history", "plan"]
    assert [passage.page for passage in annotation.passages] == [1]


def test_pages_keep_their_own_mentions_and_sections_go_on(annotator: Annotator) -> None:
    annotation = annotate(annotator, "FAMILY HISTORY:\nNone known.", "", "Asthma.")
    (mention,) = annotation.mentions
    assert (mention.page, mention.section, mention.assertion.label) == (3, "family_history", "family")


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        (
            (
                "Pathology report. Immunohistochemistry: receptor analysis.\nEstrogen receptor positive. The specimen "
                "is negative for carcinoma, no lymphoma. Melanoma not seen, sarcoma: none."
            ),
            {"carcinoma", "lymphoma", "Melanoma", "sarcoma"},
        ),
        (
            (
                "Dear Ms Miller, we have the results of your biopsy. These results indicate no malignancy. You had no "
                "infection, and denied any asthma or allergy."
            ),
            {"malignancy", "infection", "asthma", "allergy"},
        ),
        (
            (
                "Molecular analysis. EGFR gene: no mutation. Patient without anemia, sepsis or jaundice. Hepatitis B "
                "virus DNA: not detected."
            ),
            {"anemia", "sepsis", "jaundice", "Hepatitis B"},
        ),
        (
            "Urology clinic. Prostate volume 40 ml. Patient without anemia, sepsis or jaundice.",
            {"anemia", "sepsis", "jaundice"},
        ),
    ],
)
def test_reports_with_words_of_research_are_judged_as_notes(
    annotator: Annotator, text: str, negated: set[str]
) -> None:
    found = annotate(annotator, text).mentions
    assert {mention.text for mention in found if mention.assertion.label == "negated"} == negated


ARTICLE = """Original article
Abstract
The mutation was not found in patients with asthma, whereas it was frequent in sepsis (p < 0.05).
Methods
We found.
Discussion
Fig. 1 [3].
References
"""


def test_an_article_is_judged_as_one_on_every_page(annotator: Annotator) -> None:
    said = [mention.assertion.label for mention in annotate(annotator, ARTICLE).mentions]
    assert said == ["negated", "affirmed"]
    sentence = ARTICLE.splitlines()[2]
    apart = annotate(annotator, ARTICLE.replace(sentence, ""), sentence)
    assert [mention.assertion.label for mention in apart.mentions] == said
    assert [mention.assertion.label for mention in annotate(annotator, sentence).mentions] != said


WORDS = st.sampled_from(
    ["pneumonia", "no", "PLAN:\n", "fever", ".", ",", "\n", "if", "mother", "🙂", "(", "MI", "?"]
)


@settings(deadline=None)
@given(texts=st.lists(st.lists(WORDS, max_size=25).map(" ".join), max_size=3))
def test_every_span_is_the_text_it_claims(annotator: Annotator, texts: list[str]) -> None:
    annotation = annotate(annotator, *texts)
    for mention in annotation.mentions:
        text = texts[mention.page - 1]
        assert text[mention.start : mention.end] == mention.text
        cue = mention.assertion.cue
        assert cue is None or text[cue.start : cue.end] == cue.text
        assert any(p.page == mention.page and p.start <= mention.start < p.end for p in annotation.passages)
    for passage in annotation.passages:
        assert texts[passage.page - 1][passage.start : passage.end] == passage.text


@pytest.mark.parametrize(
    "text", ["", "x" * 200_000, "\n" * 10_000, "لا يوجد التهاب رئوي " * 500, "\u0007🙂" * 1_000]
)
def test_bad_input_gives_few_or_no_mentions(annotator: Annotator, text: str) -> None:
    assert annotate(annotator, text).mentions == ()


def test_results_are_the_same_each_time(annotator: Annotator) -> None:
    assert annotate(annotator, LETTER) == annotate(annotator, LETTER)


@pytest.mark.parametrize(
    "unit", ["fever ", "no fever but ", "PLAN:\nfever\n", "12. Fever 13. Cough ", "fever (F) ", ". ", "x"]
)
def test_work_grows_with_the_text_and_not_faster(annotator: Annotator, unit: str) -> None:
    def work(characters: int) -> int:
        return calls(lambda: whole_stage(annotator, (unit * characters)[:characters]))

    work(5_000)
    assert work(40_000) < 2.2 * work(20_000)


def test_work_grows_with_the_pages_and_not_faster(annotator: Annotator) -> None:
    def work(pages: int) -> int:
        return calls(lambda: whole_stage(annotator, *["PLAN:\nfever\nHISTORY:\ncough"] * pages))

    work(100)
    assert work(1_000) < 2.2 * work(500)


def whole_stage(annotator: Annotator, *pages: str) -> None:
    annotation = annotate(annotator, *pages)
    index_records(DOCUMENT, annotation, np.zeros((len(annotation.passages), 1), dtype=np.float32))


def calls(work: Callable[[], None]) -> int:
    """Functions, of Python and of C, that were called; the same number on any machine.

    What measures coverage works while code runs for the first time. It does not count, but its probes do: run the
    same before.
    """
    count = 0
    measuring: FrameType | None = None

    def called(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count, measuring
        if measuring is None and event == "call" and frame.f_code.co_filename.startswith(SLIPCOVER):
            measuring = frame
        elif measuring is None:
            count += event in ("call", "c_call")
        elif measuring is frame and event == "return":
            measuring = None

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count
