"""What no clinical text looks like, and arrives all the same: no crash, exact offsets, no quadratic work.

A superlinear pass over these megabytes would take hours and meet the time limit of every test.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import Assertion, Mention, MentionType, Page
from models.assertion.context import ContextRules
from models.assertion.scopes import MOST_CUES, ScopeModel, scope_model, tokens_of
from models.document_types import guess_document_type
from models.sections import find_sections
from models.sentences import split_sentences

TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "one line of 5 MB": "no fever and cough, " * 250_000,
    "a sentence of cues": "no " * 6_000,
    "one word of 1 MB": "x" * 1_000_000,
    "question marks": "?" * 200_000,
    "parentheses": "(" * 20_000 + "no fever" + ")" * 20_000,
    "control characters": "No\x00 fever\x07 \x1b[31mcough\x7f\u200b.\ufeff",
    "right to left": "لا حمى ولا سعال. אין חום. \u202eNo fever\u202c.",
    "emoji": "No fever 🤒👩‍⚕️, cough 😷 present. 🇩🇪",
    "10,000 newlines": "No fever" + "\n" * 10_000 + "cough",
    "10,000 lines": "FAMILY HISTORY: asthma\n" * 10_000,
    "lone surrogates": "No \ud800 fever.",
    "combining": "No fe\u0301ver" + "\u0301" * 5000,
}


@pytest.mark.parametrize("article", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_everything_answers(name: str, article: bool) -> None:
    text = TEXTS[name]
    page = Page(1, text)
    sections = find_sections([page])
    spans = split_sentences(text)
    assert "".join(text[s.start : s.end] for s in spans[:50]).strip() == (
        "".join(text[s.start : s.end] for s in spans[:50])
    )
    step = max(1, len(text) // 200)
    mentions = [
        Mention(1, start, min(start + 5, len(text)), text[start : start + 5], MentionType.SIGN)
        for start in range(0, len(text), step)
        if text[start : start + 5].strip()
    ]
    for assertion in ContextRules().assess(page, mentions, sections, article=article):
        if assertion.cue is not None:
            assert text[assertion.cue.start : assertion.cue.end] == assertion.cue.text
    assert 0 <= guess_document_type([page], sections).confidence <= 1


@given(st.text(max_size=200), st.booleans(), st.data())
def test_cues_are_the_text_they_claim(text: str, article: bool, data: st.DataObject) -> None:
    page = Page(1, "No evidence of " + text + " was ruled out?")
    start = data.draw(st.integers(0, len(page.text) - 1))
    end = data.draw(st.integers(start + 1, len(page.text)))
    mention = Mention(1, start, end, page.text[start:end], MentionType.PROBLEM)
    (assertion,) = ContextRules().assess(page, [mention], find_sections([page]), article=article)
    if assertion.cue is not None:
        assert page.text[assertion.cue.start : assertion.cue.end] == assertion.cue.text


@given(
    st.lists(
        st.sampled_from("no not may cells suggest that , . ( ) and gene we was detected Ω 🤒".split()),
        max_size=40,
    )
)
def test_learned_scopes_hold_their_cue(words: list[str]) -> None:
    text = " ".join(words)
    for cue in model().cue_scopes(text):
        assert 0 <= cue.scope.start <= cue.pieces[0].start < cue.pieces[-1].end <= cue.scope.end <= len(text)


def model() -> ScopeModel:
    return scope_model()


def test_tokens_have_exact_offsets() -> None:
    text = "NF-κB didn't bind (p < .05)."
    assert [text[token.start : token.end].lower() for token in tokens_of(text)] == [
        token.text for token in tokens_of(text)
    ]


def test_a_sentence_of_too_many_cues_is_no_prose() -> None:
    assert len(model().cue_scopes("It is not known. " * MOST_CUES)) == MOST_CUES
    assert model().cue_scopes("It is not known. " * (MOST_CUES + 1)) == []


def in_article(text: str, *words: str) -> list[Assertion]:
    """The assertions of the words in a text that is said to be of an article."""
    mentions = [
        Mention(1, text.index(word), text.index(word) + len(word), word, MentionType.PROBLEM)
        for word in words
    ]
    return ContextRules().assess(Page(1, text), mentions, (), article=True)


def test_articles_are_judged_by_the_learned_scopes() -> None:
    text = "We show that the mutant protein was not expressed in T cells, whereas the kinase was induced in mice."
    found = in_article(text, "T cells", "kinase")
    assert [assertion.polarity for assertion in found] == ["negated", "affirmed"]
    assert found[0].cue is not None
    assert found[0].cue.text == "not"


def test_cues_that_the_model_does_not_see_still_count_in_articles() -> None:
    found = in_article(
        "They had no infection, and denied any asthma or allergy.", "infection", "asthma", "allergy"
    )
    assert [assertion.polarity for assertion in found] == ["negated", "negated", "negated"]


def test_what_the_model_does_not_judge_stays_with_the_rules() -> None:
    (found,) = in_article("We report that no family history of stroke was found.", "stroke")
    assert (found.experiencer, found.polarity) == ("family", "negated")
