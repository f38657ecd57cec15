"""Trains the cues and scopes of `models.assertion.scopes` on BioScope: `python -m models.training.scopes DATA`.

Logistic regression over hashed features, by full batches and a fixed number of steps, so that the same data
gives the same weights. The fifth of the documents that is held out is only scored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file

from models.assertion.scopes import (
    BITS,
    KINDS,
    PARTS,
    WEIGHTS,
    Candidate,
    Kind,
    ScopeModel,
    Token,
    cue_features,
    left_features,
    left_places,
    number,
    right_features,
    right_places,
    tokens_of,
)
from models.evaluation.bioscope import ScopedSentence, evaluate, read_bioscope, split

STEPS = 40
RATE = 0.05
DECAY = 0.5
SMALLEST = 0.02
"""Weights nearer to 0 are not kept."""

Weights = npt.NDArray[np.float32]
Rows = list[list[int]]


@dataclass(frozen=True, slots=True)
class Example:
    """A cue of the corpus in tokens, with the tokens left..right of its scope."""

    tokens: list[Token]
    cue: Candidate
    left: int
    right: int


def examples(sentence: ScopedSentence) -> Iterator[Example]:
    """The sentence's cues by their first pieces."""
    tokens = tokens_of(sentence.text)
    for cue in sentence.cues:
        words = _touching(tokens, cue.pieces[0].start, cue.pieces[0].end)
        scope = _touching(tokens, cue.scope.start, cue.scope.end)
        name = " ".join(tokens[index].text for index in words)
        candidate = Candidate(cue.kind, words[0], words[-1] + 1, name)
        yield Example(tokens, candidate, min(scope[0], candidate.first), max(scope[-1] + 1, candidate.behind))


def _touching(tokens: Sequence[Token], start: int, end: int) -> list[int]:
    return [index for index, token in enumerate(tokens) if token.start < end and start < token.end]


def train(
    sentences: Sequence[ScopedSentence], steps: int = STEPS
) -> tuple[dict[Kind, list[str]], ScopeModel, dict[str, Weights]]:
    """(lexicon, model, weights) out of labelled sentences."""
    known = [list(examples(sentence)) for sentence in sentences]
    lexicon: dict[Kind, list[str]] = {
        kind: sorted({e.cue.name for own in known for e in own if e.cue.kind == kind}) for kind in KINDS
    }
    empty = {part: np.zeros(1 << BITS, np.float32) for part in PARTS}
    finder = ScopeModel(lexicon, empty)
    cues: tuple[Rows, list[float]] = ([], [])
    left: list[Rows] = []
    right: list[Rows] = []
    answers: tuple[list[int], list[int]] = ([], [])
    for sentence, own in zip(sentences, known, strict=True):
        tokens, right_ones = tokens_of(sentence.text), {e.cue for e in own}
        for candidate in finder.candidates(tokens):
            cues[0].append(_numbers(cue_features(tokens, candidate)))
            cues[1].append(float(candidate in right_ones))
        for e in own:
            if e.left in left_places(e.cue):
                left.append([_numbers(row) for row in left_features(tokens, e.cue)])
                answers[0].append(e.left - left_places(e.cue).start)
            if e.right in (ends := right_places(tokens, e.cue)):
                right.append([_numbers(row) for row in right_features(tokens, e.cue, e.left)])
                answers[1].append(ends.index(e.right))
    weights = {
        "cue": fit_yes_or_no(*cues, steps),
        "left": fit_choice(left, answers[0], steps),
        "right": fit_choice(right, answers[1], steps),
    }
    return lexicon, ScopeModel(lexicon, weights), weights


def fit_yes_or_no(rows: Rows, answers: Sequence[float], steps: int) -> Weights:
    """Weights of a logistic regression."""
    expected = torch.tensor(answers)
    return _fit(
        rows,
        lambda scores: torch.nn.functional.binary_cross_entropy_with_logits(
            scores, expected, reduction="sum"
        ),
        steps,
    )


def fit_choice(groups: Sequence[Rows], answers: Sequence[int], steps: int) -> Weights:
    """Weights of a softmax over the rows of each group, of which `answers` is the right one."""
    sizes = torch.tensor([len(group) for group in groups])
    group_of = torch.repeat_interleave(torch.arange(len(groups)), sizes)
    chosen = torch.cumsum(sizes, 0) - sizes + torch.tensor(answers)

    def loss(scores: torch.Tensor) -> torch.Tensor:
        highest = torch.full((len(groups),), -torch.inf).scatter_reduce(0, group_of, scores.detach(), "amax")
        total = torch.zeros(len(groups)).index_add(0, group_of, torch.exp(scores - highest[group_of]))
        return (torch.log(total) + highest - scores[chosen]).sum()

    return _fit([row for group in groups for row in group], loss, steps)


def _fit(rows: Rows, loss: Callable[[torch.Tensor], torch.Tensor], steps: int) -> Weights:
    lengths = torch.tensor([len(row) for row in rows])
    places = torch.tensor([place for row in rows for place in row])
    used, compact = torch.unique(places, return_inverse=True)
    table = torch.nn.EmbeddingBag(len(used), 1, mode="sum")
    torch.nn.init.zeros_(table.weight)
    optimizer = torch.optim.Adam(table.parameters(), lr=RATE)
    starts = torch.cumsum(lengths, 0) - lengths
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(table(compact, starts)[:, 0]) + DECAY * (table.weight**2).sum()
        torch.autograd.backward(value)
        optimizer.step()
    weights = np.zeros(1 << BITS, np.float32)
    weights[used.numpy()] = table.weight.detach()[:, 0].numpy()
    weights[np.abs(weights) < SMALLEST] = 0
    return weights.astype(np.float16).astype(np.float32)


def _numbers(features: Iterable[str]) -> list[int]:
    return [number(feature) for feature in features]


def save(
    path: Path, lexicon: dict[Kind, list[str]], weights: dict[str, Weights], record: dict[str, str]
) -> None:
    """As `scope_model` reads it."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for part, values in weights.items():
        places = np.flatnonzero(values).astype(np.int32)
        tensors[f"{part}.places"] = places
        tensors[f"{part}.weights"] = values[places].astype(np.float16)
    save_file(tensors, path, {**{kind: "\n".join(names) for kind, names in lexicon.items()}, **record})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="bioscope_abstracts_papers.jsonl.gz")
    parser.add_argument("--output", type=Path, default=Path("models/assertion/data") / WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    develop, held_out = split(read_bioscope(arguments.data))
    lexicon, model, weights = train(develop)
    scores = {
        kind: {
            "cues": score.cues.figures(),
            "exact_cues": score.exact_cues.figures(),
            "tokens": score.tokens.figures(),
        }
        for kind, score in evaluate(model, held_out).items()
    }
    record = {
        "data_sha256": hashlib.sha256(arguments.data.read_bytes()).hexdigest(),
        "settings": json.dumps({"steps": STEPS, "rate": RATE, "decay": DECAY, "smallest": SMALLEST}),
        "held_out": json.dumps(scores),
    }
    save(arguments.output, lexicon, weights, record)
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
