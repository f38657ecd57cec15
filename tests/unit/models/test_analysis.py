"""Terms, stems and their offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.analysis import analyse, fold, stem_of, stems
from models.spelling import american, lookup_form


def words(text: str) -> list[str]:
    return [term.word for term in analyse(text)]


CLINICAL = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("abcABC019-./,'’αβµ₂²½é\u0301\u00ad\u200b肺 \n"),
    ),
    max_size=60,
)


@given(CLINICAL)
def test_spans_are_ordered_and_say_what_they_claim(text: str) -> None:
    position = 0
    for term in analyse(text):
        assert position <= term.start < term.end <= len(text)
        assert fold(text[term.start : term.end]) == term.word != ""
        position = term.end


@given(CLINICAL)
def test_stems_are_those_of_the_terms(text: str) -> None:
    assert stems(text) == [term.stem for term in analyse(text)]


@given(CLINICAL, CLINICAL)
def test_white_space_separates(left: str, right: str) -> None:
    assert words(f"{left} {right}") == words(left) + words(right)


@given(st.text(st.sampled_from("abcxyzABC019-./' \n"), max_size=60))
def test_case_does_not_matter(text: str) -> None:
    assert stems(text.upper()) == stems(text.lower())


@given(st.text(st.sampled_from("abz019-./,' \n"), max_size=60))
def test_ascii_and_other_text_are_cut_alike(text: str) -> None:
    assert words(text) == words(f"{text} é")[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HbA1c", ["hba1c"]),
        ("H1N1 J18.9 CYP2D6", ["h1n1", "j18.9", "cyp2d6"]),
        ("10mg 5 mg/kg", ["10", "mg", "5", "mg", "kg"]),
        ("1,000 7.5 2/6 120/80", ["1000", "7.5", "2/6", "120/80"]),
        ("12,5", ["12", "5"]),
        ("12/03/2024", ["12/03/2024"]),
        ("B12 B-12 IL-6 T2-weighted", ["b12", "b12", "il6", "t2", "weighted"]),
        ("p.o. b.i.d. U.S.", ["po", "bid", "us"]),
        ("Crohn's patient’s O'Brien", ["crohn", "patient", "obrien"]),
        ("β-blocker TNF-α TNFα", ["beta", "blocker", "tnf", "alpha", "tnf", "alpha"]),
        ("5µg μg", ["5", "ug", "ug"]),
        ("Ménière ﬁbrosis STRASSE straße", ["meniere", "fibrosis", "strasse", "strasse"]),
        ("m² SpO₂ 10⁹/L", ["m2", "spo", "2", "10", "9", "l"]),
        ("fever.Patient foo_bar", ["fever", "patient", "foo", "bar"]),
        ("肺炎", ["肺", "炎"]),
        ("pneu\u00admonia", ["pneumonia"]),
        ("... -- /", []),
    ],
)
def test_clinical_tokens(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "spellings",
    [
        ("COVID-19", "covid 19", "Covid19"),
        ("X-ray", "x ray", "xray", "X-rays"),
        ("IL-6", "IL6"),
        ("TNF-α", "TNF alpha"),
        ("SpO2", "SpO₂"),
        ("haemorrhage", "hemorrhages"),
        ("tumour", "tumors"),
        ("oedema", "Edema"),
        ("metastasis", "metastases"),
        ("diagnosis", "diagnoses"),
        ("anaemia", "anemia"),
        ("hospitalisation", "hospitalization"),
        ("vertebra", "vertebrae"),
        ("thrombus", "thrombi"),
    ],
)
def test_spellings_that_meet(spellings: tuple[str, ...]) -> None:
    assert len({tuple(stems(spelling)) for spelling in spellings}) == 1


@pytest.mark.parametrize(("one", "other"), [("aids", "aid"), ("2/6", "26"), ("b12", "b1"), ("hba1c", "hba1")])
def test_words_that_must_not_meet(one: str, other: str) -> None:
    assert stems(one) != stems(other)


def test_codes_and_numbers_are_not_stemmed() -> None:
    assert [stem_of(word) for word in ("hba1c", "10", "j18.9", "ms", "aids")] == [
        "hba1c",
        "10",
        "j18.9",
        "ms",
        "aids",
    ]


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "ab-" * 60_000, "1." * 60_000, "a." * 60_000, "1" * 50_000 + "x"]
)
def test_endless_words_end(text: str) -> None:
    terms = analyse(text)
    assert terms
    assert terms[-1].end <= len(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("disease", "diseases"),
        ("thrombosis", "thromboses"),
        ("artery", "arteries"),
        ("abscess", "abscesses"),
        ("virus", "viruses"),
        ("reflex", "reflexes"),
        ("tumour", "tumors"),
    ],
)
def test_lookup_forms_join_singular_and_plural(one: str, other: str) -> None:
    assert lookup_form(one) == lookup_form(other)


@pytest.mark.parametrize(
    ("one", "other"), [("depression", "depressed"), ("infect", "infection"), ("gas", "ga")]
)
def test_lookup_forms_are_lighter_than_stems(one: str, other: str) -> None:
    assert lookup_form(one) != lookup_form(other)


def test_american() -> None:
    assert american("haematology") == "hematology"
    assert american("aerobic") == "aerobic"
