"""Training the scopes on a toy corpus: what it learns, that it learns it again, that a file holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open

from domain.text import Span
from models.assertion.scopes import KINDS, PARTS, ScopedCue
from models.evaluation.bioscope import ScopedSentence, evaluate
from models.training.scopes import save, train

VERBS = ("bind", "inhibit", "express", "activate")
NAMES = ("kinase", "ligand", "promoter", "antigen", "receptor")


def sentence(name: str, verb: str) -> ScopedSentence:
    text = f"The {name} did not {verb} DNA, but the gene may {verb} it."
    scopes = {"negation": ("not", f"not {verb} DNA"), "speculation": ("may", f"may {verb} it")}
    cues = tuple(
        ScopedCue(kind, (_span(text, scopes[kind][0]),), _span(text, scopes[kind][1])) for kind in KINDS
    )
    return ScopedSentence(name, text, cues)


def _span(text: str, words: str) -> Span:
    return Span(text.index(words), text.index(words) + len(words))


CORPUS = [sentence(name, verb) for name in NAMES for verb in VERBS]


def test_a_toy_corpus_is_learned_and_new_words_are_understood() -> None:
    _, model, _ = train(CORPUS, 25)
    scores = evaluate(model, [sentence("enzyme", "cleave")])
    assert [scores[kind].tokens.f1 for kind in KINDS] == [1, 1]
    assert [scores[kind].exact_cues.f1 for kind in KINDS] == [1, 1]


def test_the_same_data_gives_the_same_weights() -> None:
    first, second = (train(CORPUS[:6], 3)[2] for _ in range(2))
    for part in PARTS:
        assert np.array_equal(first[part], second[part])


def test_weights_are_kept_in_a_file(tmp_path: Path) -> None:
    lexicon, _, weights = train(CORPUS[:6], 3)
    save(tmp_path / "scopes.safetensors", lexicon, weights, {"note": "toy"})
    with safe_open(str(tmp_path / "scopes.safetensors"), "numpy") as stored:
        assert stored.metadata() == {"negation": "not", "speculation": "may", "note": "toy"}
        for part in PARTS:
            places = np.flatnonzero(weights[part])
            assert np.array_equal(stored.get_tensor(f"{part}.places"), places)
            assert np.array_equal(
                stored.get_tensor(f"{part}.weights"), weights[part][places].astype(np.float16)
            )
