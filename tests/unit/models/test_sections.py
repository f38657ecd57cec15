"""Headings in their many spellings, and sentences of clinical text."""

from __future__ import annotations

from itertools import accumulate, groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import Page
from models.evaluation.bioscope import read_bioscope, split
from models.evaluation.scores import NONE, Counts
from models.sections import NAMES, find_sections, headings
from models.sentences import split_sentences
from tests.data import evaluation_data


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("IMPRESSION:", "impression"),
        ("Impression", "impression"),
        ("FINAL IMPRESSION: pneumonia", "impression"),
        ("Past Medical History: asthma", "past_history"),
        ("PMH: asthma", "past_history"),
        ("History of Present Illness", "history"),
        ("HPI: cough", "history"),
        ("FAMILY HISTORY", "family_history"),
        ("FH: mother had asthma", "family_history"),
        ("Social History:", "social_history"),
        ("Current Medications:", "medications"),
        ("ALLERGIES: penicillin", "allergies"),
        ("Assessment & Plan:", "assessment"),
        ("A/P: rest", "assessment"),
        ("4. Results", "results"),
        ("## Discussion", "discussion"),
        ("**Diagnosis:** COPD", "diagnosis"),
        ("O/E: chest clear", "examination"),
        ("TECHNIQUE:", "technique"),
        ("WEIGHT AND HEIGHT: 80 kg", "other"),
        ("The impression was that of pneumonia.", None),
        ("history of asthma", None),
        ("plan to discharge: tomorrow", None),
        ("Course of antibiotics", None),
        ("Exam", None),
        ("PE", None),
        ("10:30", None),
    ],
)
def test_heading(line: str, name: str | None) -> None:
    assert [found for _, found in headings(f"{line}\ntext")] == ([] if name is None else [name])


def test_sections_last_until_the_next_heading_across_pages() -> None:
    pages = [
        Page(1, "Letter.\nFINDINGS:\nEffusion."),
        Page(2, "More.\nPLAN:\nRest."),
        Page(3, ""),
        Page(4, "Rest."),
    ]
    texts = {page.number: page.text for page in pages}
    found = [(s.name, s.page, texts[s.page][s.start : s.end]) for s in find_sections(pages)]
    assert found == [
        ("findings", 1, "FINDINGS:\nEffusion."),
        ("findings", 2, "More.\n"),
        ("plan", 2, "PLAN:\nRest."),
        ("plan", 4, "Rest."),
    ]


@given(st.lists(st.text(st.sampled_from("PLAN:plan\nab. "), max_size=60), max_size=3))
def test_sections_are_ordered_within_pages_and_known(texts: list[str]) -> None:
    pages = [Page(number, text) for number, text in enumerate(texts, 1)]
    position = (0, 0)
    for section in find_sections(pages):
        assert position <= (section.page, section.start)
        assert 0 <= section.start < section.end <= len(texts[section.page - 1])
        assert section.name in NAMES
        position = (section.page, section.end)


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fever. Cough since Monday.", ["Fever.", "Cough since Monday."]),
        ("Seen by Dr. Smith today.", ["Seen by Dr. Smith today."]),
        ("Aspirin 81 mg p.o. daily. Rest.", ["Aspirin 81 mg p.o. daily.", "Rest."]),
        ("Creatinine 1.5 mg/dl. Stable.", ["Creatinine 1.5 mg/dl.", "Stable."]),
        ("J. Smith was seen.", ["J. Smith was seen."]),
        ("No fever\nCough present", ["No fever", "Cough present"]),
        ("1. Asthma\n2. Gout", ["1. Asthma", "2. Gout"]),
        ("- Asthma\n- Gout", ["- Asthma", "- Gout"]),
        ("There is no\nevidence of pneumonia.", ["There is no\nevidence of pneumonia."]),
        (
            "The patient was admitted to the hospital because of an acute\nMyocardial infarction.",
            ["The patient was admitted to the hospital because of an acute\nMyocardial infarction."],
        ),
        ("Fever,\nChills.", ["Fever,\nChills."]),
        ("Pain?\nNo!", ["Pain?", "No!"]),
        ("One\n\ntwo", ["One", "two"]),
        ("Name: Smith\nSex: F", ["Name: Smith", "Sex: F"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_what_is_too_long_for_a_sentence_is_cut_between_words() -> None:
    text = "fever and cough " * 1000
    pieces = sentences(text)
    assert " ".join(pieces) == text.strip()
    assert max(map(len, pieces)) <= 2000
    assert sentences("x" * 5000) == ["x" * 2000, "x" * 2000, "x" * 1000]


@given(st.text(st.sampled_from("aB1.?!,-: \n•"), max_size=80))
def test_sentences_hold_all_text_in_order(text: str) -> None:
    spans = split_sentences(text)
    assert "".join("".join(text[s.start : s.end].split()) for s in spans) == "".join(text.split())
    assert all(left.end <= right.start for left, right in pairwise(spans))
    assert all(text[s.start : s.end].strip() == text[s.start : s.end] != "" for s in spans)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("HISTORY OF PAST ILLNESS", "past_history"),
        ("Pertinent Past Medical History:", "past_history"),
        ("PSHx: appendectomy", "past_history"),
        ("Problem List", "diagnosis"),
        ("DX: gout", "diagnosis"),
        ("Imp: migraine", "assessment"),
        ("Reason for exam: fall", "indication"),
        ("Discharge Meds:", "medications"),
        ("Rx: amoxicillin", "medications"),
        ("Safety netting: return if worse", "discharge"),
        ("HOSPITAL DISCHARGE INSTRUCTIONS", "discharge"),
        ("FUNCTIONAL STATUS", "other"),
        ("Dx", None),
        ("Surgeon", None),
    ],
)
def test_more_headings(line: str, name: str | None) -> None:
    assert [found for _, found in headings(f"{line}\ntext")] == ([] if name is None else [name])


def test_the_next_heading_ends_the_prior_of_family_history() -> None:
    page = Page(1, "FAMILY HISTORY\nGout.\nFUNCTIONAL STATUS\nAnkle pain.")
    assert [section.name for section in find_sections([page])] == ["family_history", "other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Seen at 3 p.m. by Dr. Lee. Well.", ["Seen at 3 p.m. by Dr. Lee.", "Well."]),
        ("BP 120/80 mm Hg. Pulse 72.", ["BP 120/80 mm Hg.", "Pulse 72."]),
        ("Hb 10.2 g/dl, Na 131. K 4.1.", ["Hb 10.2 g/dl, Na 131.", "K 4.1."]),
        ("Plan: 1) rest\n2) fluids\n3) review", ["Plan: 1) rest", "2) fluids", "3) review"]),
        ("? UTI", ["? UTI"]),
        ("Joint hot ? Gout", ["Joint hot ? Gout"]),
        ("Is it gout? No.", ["Is it gout?", "No."]),
        ("Dose 2.5 mg b.i.d. for a week.", ["Dose 2.5 mg b.i.d. for a week."]),
        ("Pain in R. knee.", ["Pain in R. knee."]),
        (
            "She was admitted with worsening shortness of breath over\ntwo days. No fever.",
            ["She was admitted with worsening shortness of breath over\ntwo days.", "No fever."],
        ),
        ("Deficient in vitamin B. The diet is poor.", ["Deficient in vitamin B.", "The diet is poor."]),
        ("Positive for HTLV-I. Activation is seen.", ["Positive for HTLV-I.", "Activation is seen."]),
        ("Infused over 30 min. Well tolerated.", ["Infused over 30 min.", "Well tolerated."]),
        ("Plan: 1. Rest. 2. Fluids.", ["Plan: 1. Rest.", "2. Fluids."]),
        (
            "No distress, HR: 88. Pneumonia in the left lower lobe.",
            ["No distress, HR: 88.", "Pneumonia in the left lower lobe."],
        ),
        (
            "Denies pain, VAS: 0. Fracture of the wrist seen.",
            ["Denies pain, VAS: 0.", "Fracture of the wrist seen."],
        ),
        (
            "Afebrile, no rigors, RR: 18. Pneumonia on the left.",
            ["Afebrile, no rigors, RR: 18.", "Pneumonia on the left."],
        ),
        ("Without oxygen SpO2: 92. COPD exacerbation.", ["Without oxygen SpO2: 92.", "COPD exacerbation."]),
        ("Seen with J. R. Smith.", ["Seen with J. R. Smith."]),
        ("Fever... then chills.", ["Fever... then chills."]),
        ("a) Gout\nb) Asthma", ["a) Gout", "b) Asthma"]),
    ],
)
def test_more_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.data
def test_sentences_of_articles() -> None:
    """Ends of the sentences of BioScope's documents, joined by blanks: F1 .983 on those to develop on, .969 held out."""
    path = evaluation_data("negation") / "bioscope_abstracts_papers.jsonl.gz"
    for part, least in zip(split(read_bioscope(path)), (0.98, 0.965), strict=True):
        counts = NONE
        for _, of_document in groupby(part, key=lambda sentence: sentence.document):
            texts = [text for sentence in of_document if (text := sentence.text.strip())]
            found = {span.end for span in split_sentences(" ".join(texts))}
            expected = set(accumulate((len(text) for text in texts), lambda end, length: end + 1 + length))
            counts += Counts(len(found & expected), len(found - expected), len(expected - found))
        assert counts.f1 >= least
