"""Trains `models.linking` on the synonyms of the packaged terminologies: `python -m models.training.linking`.

Two names of a concept shall be nearer to each other than to the names of other concepts in the batch, among
them those that are hardest to tell apart so far (InfoNCE, van den Oord et al. 2018; as SapBERT, Liu et al.
2021, trains an encoder). The fifth of the synonyms that is held out (`models.evaluation.linking`) is never
trained on: the weights of the scores are fitted to one half of it, the figures are taken on the other.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy, embedding_bag, normalize

from models.evaluation.linking import (
    LinkingScores,
    Named,
    evaluate,
    halves,
    held_out,
    without,
)
from models.linking.index import NameIndex, all_names, build_index
from models.linking.linker import Linker
from models.linking.scoring import FEATURES, OUTSIDE, Figures, read
from models.linking.vectors import BITS, WEIGHTS, NameVectors, Vectors, quantised, word_rows
from models.terminology import Vocabulary, build_vocabulary
from models.terminology.build import vocabulary_version
from models.terminology.merging import Key, key_of
from models.terminology.sources import SYSTEMS, Entry, entries

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the outcome, with the terminologies."""

    seed: int = 1
    dimension: int = 128
    epochs: int = 10
    batch: int = 1024
    rate: float = 0.01
    sharpness: float = 20.0
    dropped: float = 0.1
    """Share of the rows of words that is left out at random, so that no name hangs on one."""
    pairs: int = 4
    """Of a concept in an epoch, at most."""
    neighbours: int = 32
    """Concepts that lie near each other and come into a batch together."""


class Names:
    """Distinct names as words, words as rows of the table, and which names a concept has.

    Of names with the same words in another order one is enough: their vectors are the same.
    """

    def __init__(self, concepts: Iterable[Sequence[Key]]) -> None:
        self.concepts: list[list[int]] = []
        known: dict[Key, int] = {}
        for names in concepts:
            alike: dict[Key, Key] = {}
            for name in filter(None, names):
                alike.setdefault(tuple(sorted(name)), name)
            own = dict.fromkeys(known.setdefault(name, len(known)) for name in alike.values())
            if len(own) > 1:
                self.concepts.append(list(own))
        words: dict[str, int] = {}
        self.words = [
            np.array([words.setdefault(word, len(words)) for word in name], dtype=np.int64) for name in known
        ]
        self.rows = [np.fromiter(word_rows(word), dtype=np.int64) for word in words]

    def rarity(self) -> Vectors:
        """Of each row: the logarithm of how few of the names have it."""
        names = np.bincount(np.concatenate(self.words), minlength=len(self.rows))
        rows = [np.unique(rows) for rows in self.rows]
        counts = np.bincount(
            np.concatenate(rows), weights=np.repeat(names, [*map(len, rows)]), minlength=1 << BITS
        )
        rarity: Vectors = np.log((len(self.words) + 1) / (counts + 1)).clip(min=0.1).astype(np.float32)
        return rarity


class Table(torch.nn.Module):
    """The rows while they are trained; the same sums as `NameVectors`."""

    def __init__(self, names: Names, plan: Plan) -> None:
        super().__init__()
        self._names, self._plan = names, plan
        self._random = torch.Generator().manual_seed(plan.seed)
        start = torch.randn(1 << BITS, plan.dimension, generator=self._random) * plan.dimension**-0.5
        self.rows = torch.nn.Parameter(start * torch.from_numpy(names.rarity())[:, None])

    def forward(self, wanted: Sequence[int]) -> torch.Tensor:
        """(n, dimension) of names by number, of length 1."""
        words, place = np.unique(np.concatenate([self._names.words[n] for n in wanted]), return_inverse=True)
        rows, starts = _flat([self._names.rows[word] for word in words])
        kept: torch.Tensor | None = None
        if self.training:
            kept = (torch.rand(len(rows), generator=self._random) > self._plan.dropped).float()
        of_words = embedding_bag(rows, self.rows, starts, mode="sum", sparse=True, per_sample_weights=kept)
        _, starts = _flat([self._names.words[n] for n in wanted])
        return normalize(embedding_bag(torch.from_numpy(place), of_words, starts, mode="sum"), dim=1)

    def batches(self, shuffled: random.Random) -> Iterator[list[tuple[int, int, int]]]:
        """(name, another name of the same concept, concept), near concepts together."""
        order = list(range(len(self._names.concepts)))
        shuffled.shuffle(order)
        with torch.inference_mode():
            leading = [self._names.concepts[concept][0] for concept in order]
            vectors = torch.cat([self(leading[at : at + 2048]) for at in range(0, len(leading), 2048)])
            planes = torch.randn(self._plan.dimension, 12, generator=self._random)
            codes = ((vectors @ planes > 0).long() * 2 ** torch.arange(12)).sum(1)
        order = [order[place] for place in torch.argsort(codes, stable=True).tolist()]
        size = self._plan.neighbours
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        shuffled.shuffle(parts)
        pairs = [pair for concept in chain.from_iterable(parts) for pair in self._pairs(concept, shuffled)]
        for at in range(0, len(pairs), self._plan.batch):
            yield pairs[at : at + self._plan.batch]

    def _pairs(self, concept: int, shuffled: random.Random) -> Iterator[tuple[int, int, int]]:
        names = self._names.concepts[concept]
        for _ in range(min(self._plan.pairs, len(names) - 1)):
            one, other = shuffled.sample(names, 2)
            yield one, other, concept


def _flat(parts: Sequence[Rows]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = np.array([0, *map(len, parts)])
    return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(np.cumsum(lengths)[:-1])


def train(names: Names, plan: Plan, progress: Progress) -> Vectors:
    """The trained table. The same names and plan give the same table on the same machine."""
    torch.manual_seed(plan.seed)
    shuffled = random.Random(plan.seed)  # noqa: S311 - an order of learning, no secret
    table = Table(names, plan)
    optimizer = torch.optim.SparseAdam([table.rows], lr=plan.rate)
    for epoch in range(plan.epochs):
        optimizer.param_groups[0]["lr"] = plan.rate * (1 - epoch / plan.epochs)
        batches = list(table.eval().batches(shuffled))
        table.train()
        losses = []
        for pairs in progress.track(batches, description=f"Epoch {epoch + 1} of {plan.epochs}"):
            loss = _loss(table, pairs, plan)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
        progress.console.print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}")
    return np.asarray(table.rows.detach().numpy(), dtype=np.float32)


def _loss(table: Table, pairs: Sequence[tuple[int, int, int]], plan: Plan) -> torch.Tensor:
    one, other = (table([pair[side] for pair in pairs]) for side in (0, 1))
    concepts = torch.tensor([pair[2] for pair in pairs])
    same = (concepts[:, None] == concepts).fill_diagonal_(False)
    near = (one @ other.T * plan.sharpness).masked_fill(same, -1e4)
    own = torch.arange(len(pairs))
    return (cross_entropy(near, own) + cross_entropy(near.T, own)) / 2


def fit(linker: Linker, rows: Mapping[str, Iterable[Named]]) -> Figures:
    """The weights of `models.linking.scoring`, by terminology, that make the right names most probable."""
    nothing = np.zeros(len(FEATURES) + len(OUTSIDE))
    return np.stack(
        [
            _fitted(cases) if (cases := _cases(linker, system, rows.get(system, ()))) else nothing
            for system in SYSTEMS
        ]
    )


Case = tuple[Figures, Figures, list[bool]]
"""Features of the candidates and of none of them; which of them are right."""


def _cases(linker: Linker, system: str, rows: Iterable[Named]) -> list[Case]:
    cases = []
    for row in rows:
        mention = read(row.text)
        if candidates := linker.candidates(mention, system):
            hits = [near.code in row.concepts for near in candidates]
            cases.append((*linker.weighable(mention, candidates), hits))
    return cases


def _fitted(cases: Sequence[Case]) -> Figures:
    weights = torch.zeros(len(FEATURES) + len(OUTSIDE), dtype=torch.float64, requires_grad=True)
    longest = max(len(near) for near, _, _ in cases)
    near = torch.zeros(len(cases), longest, len(FEATURES), dtype=torch.float64)
    outside = torch.zeros(len(cases), len(OUTSIDE), dtype=torch.float64)
    there, right = (torch.zeros(len(cases), longest + 1, dtype=torch.bool) for _ in range(2))
    for case, (own, none, hits) in enumerate(cases):
        near[case, : len(own)], outside[case] = torch.from_numpy(own), torch.from_numpy(none)
        there[case, : len(own)] = there[case, longest] = True
        right[case, : len(own)] = torch.tensor(hits)
        right[case, longest] = not any(hits)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        scores = torch.cat(
            [near @ weights[: len(FEATURES)], (outside @ weights[len(FEATURES) :])[:, None]], dim=1
        )
        every, good = (torch.logsumexp(scores.masked_fill(~of, -1e9), dim=1) for of in (there, right & there))
        loss = (every - good).mean() + 1e-4 * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(step)  # type: ignore[no-untyped-call]
    return np.asarray(weights.detach().numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A linker whose vocabulary and index lack the held-out synonyms, and these by terminology."""

    linker: Linker
    rows: dict[str, list[Named]]


def hold_out(every: Sequence[Entry], vectors: NameVectors, weights: Figures, folder: Path) -> HeldOut:
    """Builds vocabulary and index without the held-out synonyms below `folder`."""
    folder.mkdir(exist_ok=True)
    rows = held_out(every)
    known = without(every, (row.text for own in rows.values() for row in own))
    build_vocabulary(folder / "vocabulary", known)
    build_index(folder / "linking", all_names(known), vectors)
    return HeldOut(
        Linker(Vocabulary(folder / "vocabulary"), NameIndex(folder / "linking"), vectors, weights), rows
    )


def scores_of(held: HeldOut) -> dict[str, LinkingScores]:
    """Of the half of the held-out synonyms that scores were not fitted to, by terminology."""
    return {system: evaluate(held.linker.ranked, halves(own)[1]) for system, own in held.rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--epochs", type=int, default=Plan().epochs)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scores", action="store_true", help="Keep the table in --out, fit the scores anew.")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    plan = replace(Plan(), epochs=chosen.epochs)
    every = list(entries())
    if chosen.scores:
        arrays = load_file(chosen.out)
    else:
        with Progress(console=Console(stderr=True)) as progress:
            table, scales = quantised(train(Names(known_names(every)), plan, progress))
        arrays = {
            "table": table,
            "scales": scales,
            "logit": np.zeros((len(SYSTEMS), len(FEATURES) + len(OUTSIDE))),
        }
        save_file(arrays, chosen.out)
    vectors = NameVectors(arrays["table"], arrays["scales"])
    with tempfile.TemporaryDirectory(prefix="medsearch-linking-") as folder:
        held = hold_out(every, vectors, arrays["logit"], Path(folder))
        arrays["logit"] = fit(held.linker, {system: halves(own)[0] for system, own in held.rows.items()})
        scores = scores_of(replace(held, linker=held.linker.weighed_by(arrays["logit"])))
    save_file(arrays, chosen.out)
    chosen.out.chmod(0o644)
    record: dict[str, Any] = {
        "plan": asdict(plan),
        "terminologies": vocabulary_version(),
        "logit": {
            system: dict(zip((*FEATURES, *OUTSIDE), own.round(4).tolist(), strict=True))
            for system, own in zip(SYSTEMS, arrays["logit"], strict=True)
        },
        "sha256": sha256(chosen.out.read_bytes()).hexdigest(),
        "held_out": {system: own.figures() for system, own in scores.items()},
    }
    chosen.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def known_names(every: Sequence[Entry]) -> list[list[Key]]:
    """The names of each concept that are not held out, abbreviations left out."""
    by_code: dict[str, list[Key]] = {}
    for entry in without(every, (row.text for rows in held_out(every).values() for row in rows)):
        own = by_code.setdefault(entry.code, [])
        own.extend(key_of(name.text) for name in entry.names if not name.capitals)
    return list(by_code.values())


if __name__ == "__main__":
    main()
