"""Highlights stand exactly on the query's words, by the analysis that found them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from domain.search import Clause
from models.analysis import stems
from models.highlighting import Highlighter


def lit(text: str, *clauses: Clause, offset: int = 0) -> list[str]:
    return [
        text[span.start - offset : span.end - offset]
        for span in Highlighter(clauses).highlights(text, offset=offset)
    ]


def clause(words: str, *others: str) -> Clause:
    return Clause(tuple(stems(words)), alternatives=tuple(tuple(stems(other)) for other in others))


def test_words_are_found_by_their_stem() -> None:
    text = "Oedema of both legs; the EDEMAS, and anoedema."
    assert lit(text, clause("edema")) == ["Oedema", "EDEMAS"]


def test_a_phrase_is_highlighted_as_a_whole_and_only_in_a_row() -> None:
    text = "Pulmonary  embolism. An embolism, pulmonary and other."
    assert lit(text, clause("pulmonary embolism")) == ["Pulmonary  embolism"]


def test_the_longest_match_wins_and_spans_do_not_overlap() -> None:
    text = "acute heart failure"
    assert lit(text, clause("heart"), clause("heart failure"), clause("failure")) == ["heart failure"]


def test_alternatives_count_as_the_clause() -> None:
    found = Highlighter([clause("fever"), clause("heart attack", "myocardial infarction")])
    text = "Myocardial infarction; fever."
    assert [(text[m.span.start : m.span.end], m.clause) for m in found.matches(text)] == [
        ("Myocardial infarction", 1),
        ("fever", 0),
    ]


def test_offsets_count_code_points_of_the_page() -> None:
    text = "😷 naïve β-blocker: Fieber 38.5°C, fever"
    spans = Highlighter([clause("fever")]).highlights(text, offset=100)
    assert [(span.start, span.end) for span in spans] == [(100 + text.index("fever"), 100 + len(text))]


def test_spelling_variants_of_a_hyphenated_name() -> None:
    assert lit("COVID-19, covid 19, Covid19", clause("covid-19")) == ["COVID-19", "covid 19", "Covid19"]


WORDS = [
    "heart",
    "failure",
    "Heart-failure",
    "oedema",
    "COVID-19",
    "10mg",
    "HbA1c",
    "and",
    "naïve",
    "pulmonary",
    "embolism,",
]


@given(
    st.lists(st.sampled_from(WORDS), max_size=30),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    st.integers(0, 500),
)
def test_a_highlight_analyses_to_a_sequence_of_the_query(
    words: list[str], query: list[str], offset: int
) -> None:
    text = " ".join(words)
    clauses = [clause(word) for word in query]
    wanted = {one.stems for one in clauses}
    spans = Highlighter(clauses).highlights(text, offset=offset)
    for span in spans:
        assert tuple(stems(text[span.start - offset : span.end - offset])) in wanted
    for before, behind in itertools.pairwise(spans):
        assert before.end <= behind.start
    in_text = stems(text)
    present = any(
        tuple(in_text[at : at + len(sequence)]) == sequence
        for sequence in wanted
        for at in range(len(in_text))
    )
    assert bool(spans) == present
