"""The query language: what is required, excluded, expanded; and that no text whatever is a syntax error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.search import Clause, Occur
from models.analysis import stems
from models.query import MOST_NAMES, ParsedQuery, contains, parse

NAMES = {
    "I21.9": ["heart attack", "myocardial infarction", "acute heart attack"],
    "J18.9": ["pneumonia", "lung inflammation", "pneumonia, unspecified organism"],
    "C34": ["cancer of lung", "lung cancer"],
}


class FewNames:
    def named(self, text: str) -> list[str]:
        return [code for code, names in NAMES.items() if stems(text) in [stems(name) for name in names]]

    def names(self, text: str) -> list[str]:
        return [name for code in self.named(text) for name in NAMES[code]]


def understood(text: str) -> ParsedQuery:
    return parse(text, max_clauses=64, names=FewNames())


def shape(text: str) -> list[str]:
    """Clauses in a short form: `+stem stem`, `-stem`, `stem|stem`."""
    marks = {Occur.MUST: "+", Occur.MUST_NOT: "-", Occur.SHOULD: ""}
    return [
        marks[clause.occur] + "|".join(" ".join(stems) for stems in (clause.stems, *clause.alternatives))
        for clause in parse(text, max_clauses=64).clauses
    ]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("fever", ["+fever"]),
        ("fever cough", ["+fever", "+cough"]),
        ("fever cough rash", ["fever", "cough", "rash"]),
        ('"pleural effusion" fever', ["+pleural effus", "+fever"]),
        ("+fever cough rash chills", ["+fever", "cough", "rash", "chill"]),
        ("fever -cough", ["+fever", "-cough"]),
        ('fever -"dry cough"', ["+fever", "-dri cough"]),
        ("fever NOT cough", ["+fever", "-cough"]),
        ("fever AND NOT cough", ["+fever", "-cough"]),
        ("fever AND cough rash chills pain", ["+fever", "+cough", "rash", "chill", "pain"]),
        ("stroke OR bleeding", ["+stroke|bleed"]),
        ("stroke | bleeding | infarct", ["+stroke|bleed|infarct"]),
        ('stroke OR "heart attack" fever', ["+stroke|heart attack", "+fever"]),
        ("COVID-19", ["+covid 19"]),
        ("chest/abdomen", ["+chest", "+abdomen"]),
        ("(fever -cough)", ["+fever", "-cough"]),
        ("base excess -5", ["base", "excess", "5"]),
        ("-fever", ["-fever"]),
        ("fever fever FEVER", ["+fever"]),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert shape(text) == clauses


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("OR", ["+or"]),
        ("fever OR", ["+fever"]),
        ("AND fever", ["+fever"]),
        ("fever AND AND cough", ["+fever", "+cough"]),
        ("fever NOT OR cough", ["+fever", "+cough"]),
        ("fever || || cough", ["+fever|cough"]),
        ("fever NOT", ["+fever"]),
        ('"fever', ["+fever"]),
        ('-"', []),
        ('""', []),
        ("+ - !", []),
        ("title:fever~2^3 *", ["titl", "fever", "2", "3"]),
        ("fever or cough", ["+fever", "+cough"]),
        ("fever and not cough", ["+fever", "+cough"]),
    ],
)
def test_operator_soup_is_words(text: str, clauses: list[str]) -> None:
    assert shape(text) == clauses


def test_function_words_count_only_when_there_is_nothing_else() -> None:
    question = parse("has this patient ever had a pulmonary embolism?", max_clauses=64)
    assert question.words == ("patient", "pulmonary", "embolism")
    assert question.minimum == 2
    assert parse("pain, of the (chest)", max_clauses=64).words == ("pain", "chest")
    assert shape("the who") == ["+the", "+who"]
    assert shape('"the who"') == ["+the who"]


@pytest.mark.parametrize(("words", "minimum"), [(3, 2), (4, 3), (5, 3), (8, 6)])
def test_three_quarters_of_many_words_are_required(words: int, minimum: int) -> None:
    query = parse(" ".join(f"word{letter}" for letter in "abcdefgh"[:words]), max_clauses=64)
    assert {clause.occur for clause in query.clauses} == {Occur.SHOULD}
    assert query.minimum == minimum


def test_what_the_user_insists_on_is_explicit() -> None:
    query = understood('fever "dry cough" -rash +chills')
    assert [clause.stems for clause in query.explicit] == [("dri", "cough"), ("rash",), ("chill",)]
    assert [clause.stems for clause in query.wanted] == [("fever",), ("dri", "cough"), ("chill",)]
    assert understood("fever cough").explicit == ()


def test_relaxed_requires_nothing_and_leaves_exclusions_out() -> None:
    relaxed = understood("+fever -rash cough").relaxed()
    assert [(clause.stems, clause.occur) for clause in relaxed.clauses] == [
        (("fever",), Occur.SHOULD),
        (("cough",), Occur.SHOULD),
    ]


def test_every_word_of_a_concept_may_be_met_by_its_other_names() -> None:
    query = understood("heart attack treatment")
    infarction = (tuple(stems("myocardial infarction")),)
    assert query.concepts == (("I21.9",),)
    assert [clause.alternatives for clause in query.clauses] == [infarction, infarction, ()]


def test_the_longest_name_wins_and_function_words_belong_to_names() -> None:
    query = understood("cancer of lung")
    assert query.concepts == (("C34",),)
    assert query.words == ("cancer", "of", "lung")


def test_names_that_hold_the_word_already_are_not_added() -> None:
    clause = understood("pneumonia").clauses[0]
    assert clause.alternatives == (tuple(stems("lung inflammation")),)


def test_quoted_words_name_their_concept_but_are_asked_as_typed() -> None:
    quoted = understood('"heart attack"')
    assert (quoted.concepts, quoted.clauses[0].alternatives) == ((("I21.9",),), ())


@pytest.mark.parametrize("text", ["pneumonia OR fever", "-pneumonia", "NOT pneumonia", "lung -cancer"])
def test_what_is_excluded_or_combined_names_no_concept(text: str) -> None:
    assert understood(text).concepts == ()


def test_only_so_many_other_names_are_asked() -> None:
    class Many(FewNames):
        def names(self, text: str) -> list[str]:
            return [f"name{number}" for number in range(50)]

    assert len(parse("pneumonia", max_clauses=64, names=Many()).clauses[0].alternatives) == MOST_NAMES


@pytest.mark.parametrize(
    ("text", "cued"),
    [
        ("pneumonia", False),
        ("no pneumonia", True),
        ("family history of stroke", True),
        ("fever NOT pneumonia", False),
        ("pneumonia -family", False),
    ],
)
def test_a_query_may_speak_of_negation_itself(text: str, cued: bool) -> None:
    assert understood(text).cued is cued


def test_the_meaning_leaves_operators_and_excluded_words_out() -> None:
    assert understood('stroke OR "heart attack" -fever NOT rash').meaning == "stroke heart attack"
    assert understood("-fever").meaning == ""


def test_too_many_clauses_are_refused_with_a_code() -> None:
    fits = " ".join(f"w{n}x" for n in range(64))
    assert len(parse(fits, max_clauses=64).clauses) == 64
    for text in (
        fits + " more",
        " ".join(f"x{n}" for n in range(10_000)),
        " OR ".join(f"x{n}y" for n in range(65)),
    ):
        with pytest.raises(Invalid) as refused:
            parse(text, max_clauses=64)
        assert refused.value.code == "search.too_many_clauses"


NAUGHTY = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "AND",
                "OR",
                "NOT",
                '"',
                "“",
                "-",
                "+",
                "|",
                "(",
                ")",
                "~",
                "*",
                ":",
                "\\",
                "fever",
                "-x",
                '+"a b"',
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=40,
).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(NAUGHTY)
def test_no_text_is_a_syntax_error(text: str) -> None:
    query = parse(text, max_clauses=10_000, names=FewNames())
    assert len(query.words) == len(query.clauses)
    known = stems(text)
    for clause in query.clauses:
        assert clause.stems
        assert set(clause.stems) <= set(known) | set(" ".join(known).split())
    shoulds = [clause for clause in query.clauses if clause.occur is Occur.SHOULD]
    assert 1 <= query.minimum <= max(1, len(shoulds))


@pytest.mark.parametrize(
    "text", ['"' * 1000, "- " * 500, "(" * 1000, "a|" * 500, "NOT " * 250, "\x00\ud800 fever", "AND-" * 250]
)
def test_long_soup_is_fast(text: str) -> None:
    parse(text, max_clauses=2000)


def test_contains() -> None:
    assert contains(("a", "b", "c"), ("b", "c"))
    assert not contains(("a", "b", "c"), ("a", "c"))


def test_clauses_are_what_the_port_takes() -> None:
    assert understood("fever").clauses == (Clause(("fever",), Occur.MUST),)
