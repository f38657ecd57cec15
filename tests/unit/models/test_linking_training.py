"""Vectors of names and scores: how they are computed, and how they are trained."""

from __future__ import annotations

import numpy as np
import pytest
from rich.progress import Progress

from models.evaluation.linking import Named, calibration_error, evaluate
from models.linking import Linker
from models.linking.scoring import FEATURES, OUTSIDE, features, outside_features, probabilities, read
from models.linking.vectors import NameVectors, quantised, word_rows
from models.terminology.sources import SYSTEMS
from models.training.linking import Names, Plan, fit, train


class TestVectors:
    def test_a_name_is_the_sum_of_its_words(self) -> None:
        table = np.random.default_rng(0).normal(size=(1 << 16, 8)).astype(np.float32)
        vectors = NameVectors(*quantised(table))
        both = sum(table[list(word_rows(word))].sum(axis=0) for word in ("kidney", "stone"))
        assert vectors.of(("kidney", "stone")) == pytest.approx(both / np.linalg.norm(both), abs=0.02)
        assert vectors.of(("stone", "kidney")) == pytest.approx(vectors.of(("kidney", "stone")), abs=1e-6)
        assert not vectors.of(()).any()
        assert vectors.of_all([]).shape == (0, 8)

    def test_probabilities_leave_room_for_none(self) -> None:
        mention = read("renal stone")
        names = [read("kidney stone"), read("fever")]
        near = features(mention, names, [0.9, 0.1], [2, 0])
        outside = outside_features(mention)
        weights = np.zeros(len(FEATURES) + len(OUTSIDE))
        assert probabilities(near, outside, weights) == pytest.approx([1 / 3, 1 / 3])
        weights[0] = 5
        first, second = probabilities(near, outside, weights)
        assert first > second
        assert first + second < 1


class TestTraining:
    GROUPS = (
        (("renal", "stone"), ("kidney", "calculus"), ("kidney", "stone")),
        (("renal", "failure"), ("kidney", "failure")),
        (("heart", "attack"), ("cardiac", "infarct")),
        (("heart", "pain"), ("cardiac", "pain")),
        (("nothing", "else"),),
    )

    def trained(self, seed: int = 1) -> NameVectors:
        plan = Plan(seed=seed, epochs=15, batch=4, dimension=16, rate=0.05, neighbours=2)
        with Progress(disable=True) as progress:
            return NameVectors(*quantised(train(Names(self.GROUPS), plan, progress)))

    def test_words_that_mean_the_same_come_near(self) -> None:
        vectors = self.trained()
        heart, cardiac, renal = (vectors.of((word,)) for word in ("heart", "cardiac", "renal"))
        assert heart @ cardiac > max(heart @ renal, cardiac @ renal)

    def test_the_same_seed_gives_the_same_table(self) -> None:
        one, again, other = self.trained(), self.trained(), self.trained(2)
        assert (one._table == again._table).all()
        assert (one._table != other._table).any()

    def test_scores_are_fitted_to_what_is_right(self, linker: Linker) -> None:
        names = [linker._index._parts["HP"].at(row) for row in range(0, 800, 2)]
        rows = [Named(0, f"{each.name} sign", frozenset({each.code})) for each in names]
        nothing = linker.weighed_by(np.zeros((len(SYSTEMS), len(FEATURES) + len(OUTSIDE))))
        weights = fit(nothing, {"HP": rows})
        assert not weights[SYSTEMS.index("MESH")].any()
        fitted = linker.weighed_by(weights)
        before, after = evaluate(nothing.ranked, rows), evaluate(fitted.ranked, rows)
        assert after.accuracy() > before.accuracy()
        assert calibration_error(after) < 0.2
