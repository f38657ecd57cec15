"""Mentions in running text: longest match, borders, abbreviations, offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import MentionType, Page
from models.recognition.dictionary import DictionaryRecogniser
from models.terminology import Vocabulary


@pytest.fixture(scope="session")
def recogniser(vocabulary: Vocabulary) -> DictionaryRecogniser:
    return DictionaryRecogniser(vocabulary)


def found(recogniser: DictionaryRecogniser, *texts: str) -> list[str]:
    pages = [Page(number, text) for number, text in enumerate(texts, 1)]
    return [mention.text for mention in recogniser.recognise(pages)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acute myocardial infarction was seen.", ["Acute myocardial infarction"]),
        ("Type-2 diabetes and HTN.", ["Type-2 diabetes", "HTN"]),
        ("chest\npain", ["chest\npain"]),
        ("He has chest. Pain is absent.", ["Pain"]),
        ("chest, pain", ["pain"]),
        ("chest\n\npain", ["pain"]),
        ("asthma/COPD", ["asthma", "COPD"]),
        ("Metformin 500mg bid", ["Metformin"]),
        ("Crohn's disease", ["Crohn's disease"]),
        ("pneumonias", ["pneumonias"]),
        ("The pe was small, mi casa", []),
        ("PE and DVTs", ["PE", "DVTs"]),
        ("ALL SYSTEMS REVIEWED WITH PATIENT", []),
        ("", []),
        ("🙂 pneumonia 🙂", ["pneumonia"]),
        ("All his symptoms are normal as can be.", []),
    ],
)
def test_mentions(recogniser: DictionaryRecogniser, text: str, expected: list[str]) -> None:
    assert found(recogniser, text) == expected


def test_mention_carries_type_and_ranked_concepts(recogniser: DictionaryRecogniser) -> None:
    (mention,) = recogniser.recognise([Page(3, "Known pneumonia.")])
    assert (mention.page, mention.start, mention.end, mention.text) == (3, 6, 15, "pneumonia")
    assert mention.type is MentionType.PROBLEM
    assert mention.concept is not None
    assert mention.concept.code == "ICD10CM:J18.9"


def test_an_abbreviation_that_the_document_defines(recogniser: DictionaryRecogniser) -> None:
    first = "She has ventilator-associated pneumonia (VAP)."
    assert found(recogniser, first, "The VAP was treated.")[1:] == ["VAP", "VAP"]
    assert found(recogniser, "The VAP was treated.") == []


def test_the_documents_own_definition_counts_for_an_abbreviation_that_stands_for_something_else(
    recogniser: DictionaryRecogniser,
) -> None:
    pages = [Page(1, "Pleural effusion (PE) on the left."), Page(2, "The PE was drained.")]
    codes = [[concept.code for concept in mention.concepts] for mention in recogniser.recognise(pages)]
    effusion, *others = codes
    assert effusion
    assert others == [effusion, effusion]
    (usual,) = recogniser.recognise([Page(1, "The PE was treated.")])
    assert {concept.code for concept in usual.concepts}.isdisjoint(effusion)


def test_what_is_no_definition(recogniser: DictionaryRecogniser) -> None:
    assert found(recogniser, "He had pneumonia (XQZ). XQZ again.") == ["pneumonia"]
    assert found(recogniser, "He had pneumonia (left). The left one.") == ["pneumonia"]


TEXT = st.lists(
    st.sampled_from(
        ["pneumonia", "PE", "COPD", "chest pain", "no", ".", ",", "\n", "é", "🙂", "(", ")", "MI's", "x" * 30]
    ),
    max_size=40,
).map(" ".join)


@given(text=TEXT)
def test_spans_are_the_text_they_claim_and_do_not_overlap(
    recogniser: DictionaryRecogniser, text: str
) -> None:
    position = 0
    for mention in recogniser.recognise([Page(1, text)]):
        assert position <= mention.start < mention.end
        assert text[mention.start : mention.end] == mention.text
        assert mention.concepts
        position = mention.end


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "\n" * 10_000, "مرض " * 5_000, "pneumonia " * 20_000, "((((" * 10_000]
)
def test_odd_text(recogniser: DictionaryRecogniser, text: str) -> None:
    assert len(found(recogniser, text)) == text.count("pneumonia")
