"""Fusion of two legs: bounds, agreement, and that nothing found counts as not found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fusion import normalised, reciprocal_rank, weighted

LEG = st.lists(st.integers(0, 40), unique=True, max_size=20)
SCORES = st.dictionaries(st.integers(0, 40), st.floats(0.01, 100), max_size=20)
WEIGHT = st.floats(0, 1)


def test_reciprocal_rank_is_cormacks_sum_scaled_to_one() -> None:
    fused = reciprocal_rank([["a", "b"], ["b", "c"]], [0.5, 0.5])
    assert fused["b"] == pytest.approx(61 * (0.5 / 62 + 0.5 / 61))
    assert fused["a"] == pytest.approx(0.5)
    assert sorted(fused, key=fused.__getitem__, reverse=True) == ["b", "a", "c"]


@given(LEG, LEG, WEIGHT)
def test_reciprocal_rank_holds_every_key_within_bounds(
    one: list[int], other: list[int], weight: float
) -> None:
    fused = reciprocal_rank([one, other], [weight, 1 - weight])
    assert set(fused) == set(one) | set(other)
    assert all(0 <= score <= 1 + 1e-9 for score in fused.values())


@given(LEG, WEIGHT)
def test_legs_that_agree_keep_their_order(leg: list[int], weight: float) -> None:
    fused = reciprocal_rank([leg, leg], [weight, 1 - weight])
    assert sorted(fused, key=lambda key: -fused[key]) == leg


@given(SCORES, SCORES, WEIGHT)
def test_weighted_scores_stay_within_bounds(
    one: dict[int, float], other: dict[int, float], weight: float
) -> None:
    fused = weighted([normalised(one, least=0), normalised(other, least=0)], [weight, 1 - weight])
    assert set(fused) == set(one) | set(other)
    assert all(0 <= score <= 1 + 1e-9 for score in fused.values())


@given(SCORES.filter(bool))
def test_normalising_keeps_order_and_leads_with_one(scores: dict[int, float]) -> None:
    scaled = normalised(scores, least=0)
    assert max(scaled.values()) == 1
    assert all(0 < value <= 1 for value in scaled.values())
    ordered = sorted(scores, key=scores.__getitem__)
    assert [scaled[key] for key in ordered] == sorted(scaled.values())


def test_a_document_of_both_legs_beats_the_leaders_of_one() -> None:
    words = normalised({"a": 10.0, "b": 9.0}, least=0)
    meaning = normalised({"c": 0.7, "b": 0.6}, least=0)
    fused = weighted([words, meaning], [0.5, 0.5])
    assert max(fused, key=fused.__getitem__) == "b"
    assert fused["b"] == pytest.approx(0.5 * 0.9 + 0.5 * 0.6 / 0.7)


def test_what_cannot_be_scaled_is_all_equal() -> None:
    assert normalised({"a": 0.0, "b": 0.0}, least=0) == {"a": 1.0, "b": 1.0}
    assert normalised({}, least=0) == {}
