"""Trains the adapter of the shipped encoder on questions and the passages that answer them.

    python -m models.training.embedding --data ../shared/data --out FOLDER

A question shall be nearer to its passage than to those of the other questions in its batch, which are about much
the same (InfoNCE, van den Oord et al. 2018): batches are made of neighbours. Vectors shall stay near what they were, so
that what the encoder knew of other texts is not forgotten (docs/models.md has what happens without). Learnt are the
questions of BioASQ, but for each twentieth by its hash; MedQuAD's, kept back altogether, tell whether it helps elsewhere.
Stopped by a signal it goes on where it was.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from models.adaptation import LowRank, attach, write
from models.encoders import locate
from models.evaluation.retrieval import read_collection
from models.folders import TOKENIZER, digest, read_tokenizer
from models.pretrained import read_encoder
from models.training.runs import on_signals, origin, saved, say, write_whole

Vectors = npt.NDArray[np.float32]

ADAPTER = "adapter.safetensors"
KEPT_BACK = 20
MEDQUAD, BIOASQ = "retrieval/medquad_pairs/pairs.jsonl.gz", "retrieval/bioasq_snippets"
DATA = (MEDQUAD, *(f"{BIOASQ}/{name}" for name in ("corpus.jsonl.gz", "queries.jsonl", "qrels/test.tsv")))


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the outcome, beside data and code."""

    seed: int = 5
    epochs: int = 1
    rank: int = 16
    batch: int = 32
    rate: float = 3e-4
    warmup_steps: int = 50
    sharpness: float = 20.0
    anchor: float = 2.0
    """Weight of staying near what vectors were."""
    passage_tokens: int = 96
    question_tokens: int = 48
    distractors: int = 3000


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and one passage that answers it."""

    question: str
    passage: str


def pairs(data: Path) -> tuple[list[Pair], dict[str, list[Pair]]]:
    """(for learning, kept back by collection), each passage once a question."""
    bioasq = dict.fromkeys(_bioasq(data / BIOASQ))
    kept = {
        "bioasq": [pair for pair in bioasq if _kept_back(pair.question)],
        "medquad": [pair for pair in dict.fromkeys(_medquad(data / MEDQUAD)) if _kept_back(pair.question)],
    }
    return [pair for pair in bioasq if not _kept_back(pair.question)], kept


def _kept_back(question: str) -> bool:
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:4]) % KEPT_BACK == 0


def _medquad(file: Path) -> Iterator[Pair]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            question, answer = (" ".join(row[name].split()) for name in ("question", "answer"))
            # Many answers say their question first: nothing is learnt from that.
            if answer.lower().startswith(question.lower()):
                answer = answer[len(question) :].lstrip(" ?")
            if answer:
                yield Pair(question, answer)


def _bioasq(folder: Path) -> Iterator[Pair]:
    collection = read_collection(folder)
    texts = {document.identity: document.text for document in collection.documents}
    for key, grades in collection.grades.items():
        for identity in sorted(grades):
            yield Pair(collection.queries[key], texts[identity])


class Reader:
    """Texts to vectors by the model that is trained: mean over tokens, length 1."""

    def __init__(self, model: nn.Module, tokenizer: Path) -> None:
        self._model = model
        self._tokenizer = read_tokenizer(tokenizer)

    def __call__(self, texts: Sequence[str], tokens: int) -> Tensor:
        """(n, dimension)."""
        self._tokenizer.enable_truncation(tokens)
        rows = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1)

    def before(self, texts: Sequence[str], tokens: int) -> Tensor:
        """The same by the encoder as it comes."""
        changed = [layer for layer in self._model.modules() if isinstance(layer, LowRank)]
        for layer in changed:
            layer.on = False
        try:
            with torch.no_grad():
                return self(texts, tokens)
        finally:
            for layer in changed:
                layer.on = True

    def all(self, texts: Sequence[str], tokens: int) -> Vectors:
        """The same for many, in order, without learning."""
        vectors: list[Tensor | None] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        with torch.inference_mode():
            for start in range(0, len(order), 32):
                places = order[start : start + 32]
                for place, vector in zip(places, self([texts[p] for p in places], tokens), strict=True):
                    vectors[place] = vector
        made: Vectors = torch.stack([vector for vector in vectors if vector is not None]).numpy()
        return made


def neighbours(questions: Vectors, size: int, chance: random.Random) -> list[list[int]]:
    """Batches of questions near each other: halved again and again along random lines between two of them."""
    waiting, batches = [list(range(len(questions)))], []
    while waiting:
        group = waiting.pop()
        if len(group) <= size:
            batches.append(group)
            continue
        one, other = chance.sample(group, 2)
        side = questions[group] @ (questions[one] - questions[other])
        order = [group[place] for place in np.argsort(side, kind="stable")]
        middle = size * max(1, len(group) // size // 2)
        waiting += [order[:middle], order[middle:]]
    chance.shuffle(batches)
    return batches


def loss(reader: Reader, batch: Sequence[Pair], plan: Plan) -> Tensor:
    """Each question among the batch's passages and each passage among its questions; doubles do not count."""
    asked, told = [pair.question for pair in batch], [pair.passage for pair in batch]
    questions = reader(asked, plan.question_tokens)
    passages = reader(told, plan.passage_tokens)
    near = questions @ passages.T * plan.sharpness
    same = torch.tensor(
        [
            [
                place != other and (a.question == b.question or a.passage == b.passage)
                for other, b in enumerate(batch)
            ]
            for place, a in enumerate(batch)
        ]
    )
    near = near.masked_fill(same, -torch.inf)
    right = torch.arange(len(batch))
    moved = _moved(questions, reader.before(asked, plan.question_tokens))
    moved = moved + _moved(passages, reader.before(told, plan.passage_tokens))
    return (cross_entropy(near, right) + cross_entropy(near.T, right)) / 2 + plan.anchor * moved


def _moved(vectors: Tensor, before: Tensor) -> Tensor:
    return (1 - (vectors * before).sum(1)).mean()


def ranks(reader: Reader, kept: Sequence[Pair], others: Sequence[str], plan: Plan) -> float:
    """Mean reciprocal rank, to the tenth, of the first right passage of the questions kept back."""
    passages = list(dict.fromkeys([*(pair.passage for pair in kept), *others]))
    place = {passage: number for number, passage in enumerate(passages)}
    right: dict[str, set[int]] = {}
    for pair in kept:
        right.setdefault(pair.question, set()).add(place[pair.passage])
    questions = reader.all(list(right), plan.question_tokens)
    best = np.argsort(-(questions @ reader.all(passages, plan.passage_tokens).T), axis=1)[:, :10]
    found = [
        next((1 / rank for rank, number in enumerate(row, 1) if number in own), 0.0)
        for row, own in zip(best, right.values(), strict=True)
    ]
    return float(np.mean(found))


class Training:
    """One run; its folder holds the checkpoint."""

    def __init__(
        self, folder: Path, plan: Plan, model: nn.Module, tokenizer: Path, data: Mapping[str, str]
    ) -> None:
        self._file = folder / "checkpoint.pt"
        self._plan = plan
        self._origin = origin(plan, data)
        self.changed: dict[str, LowRank] = attach(model, plan.rank)
        self.reader = Reader(model, tokenizer)
        self._learnt = [p for layer in self.changed.values() for p in (layer.down, layer.up)]
        self._optimiser = torch.optim.AdamW(self._learnt, lr=plan.rate, weight_decay=0.0)
        self.step = 0
        self._stop = False

    def stop(self) -> None:
        """Save and end behind the present step."""
        self._stop = True

    def run(self, learning: Sequence[Pair]) -> bool:
        """False when it was stopped. Raises `ValueError` for a folder of another training."""
        batches = self._batches(learning)
        self._resume()
        began, losses = time.monotonic(), []
        while self.step < len(batches):
            for group in self._optimiser.param_groups:
                group["lr"] = self._plan.rate * self._factor(len(batches))
            lost = loss(self.reader, [learning[place] for place in batches[self.step]], self._plan)
            torch.autograd.backward(lost)
            torch.nn.utils.clip_grad_norm_(self._learnt, 1.0)
            self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
            losses.append(float(lost.detach()))
            self.step += 1
            if self.step % 20 == 0:
                seconds = (time.monotonic() - began) / len(losses)
                say(f"step {self.step}/{len(batches)} loss {np.mean(losses[-20:]):.4f} {seconds:.2f} s/step")
            if self._stop or self.step % 100 == 0:
                self._save()
            if self._stop:
                return False
        self._save()
        return True

    def _batches(self, learning: Sequence[Pair]) -> list[list[int]]:
        chance = random.Random(self._plan.seed)  # noqa: S311 - reproducible on purpose
        questions = list(dict.fromkeys(pair.question for pair in learning))
        say(f"{len(learning)} pairs of {len(questions)} questions")
        vectors = self.reader.all(questions, self._plan.question_tokens)
        place = {question: number for number, question in enumerate(questions)}
        of_pairs = vectors[[place[pair.question] for pair in learning]]
        return [
            batch
            for _ in range(self._plan.epochs)
            for batch in neighbours(of_pairs, self._plan.batch, chance)
            if len(batch) > 1
        ]

    def _factor(self, steps: int) -> float:
        return min((self.step + 1) / self._plan.warmup_steps, 1 - self.step / steps)

    def _save(self) -> None:
        write_whole(
            self._file,
            {
                "origin": self._origin,
                "learnt": self._learnt,
                "optimiser": self._optimiser.state_dict(),
                "step": self.step,
            },
        )

    def _resume(self) -> None:
        state = saved(self._file, self._origin)
        if state is None:
            return
        with torch.no_grad():
            for own, kept in zip(self._learnt, state["learnt"], strict=True):
                own.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        say(f"resumed at step {self.step}")


def reached(
    reader: Reader, kept: Mapping[str, Sequence[Pair]], learning: Sequence[Pair], plan: Plan
) -> dict[str, float]:
    """`ranks` by collection, among passages that were learnt."""
    chance = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose
    others = [pair.passage for pair in chance.sample(list(learning), min(plan.distractors, len(learning)))]
    return {name: round(ranks(reader, own, others, plan), 4) for name, own in kept.items() if own}


def main() -> None:
    options = argparse.ArgumentParser(description="Train the adapter of the encoder.")
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    plan = Plan()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(plan.seed)
    chosen.out.mkdir(parents=True, exist_ok=True)
    encoder = locate("minilm-l6")
    model = read_encoder(encoder.folder, torch.float32)
    learning, kept = pairs(chosen.data)
    data = {name: str(digest(chosen.data / name)) for name in DATA}
    training = Training(chosen.out, plan, model, encoder.folder / TOKENIZER, data)
    on_signals(training.stop)
    if not training.run(learning):
        sys.exit("stopped; start again to go on")
    write(training.changed, chosen.out / ADAPTER)
    record = {
        "encoder": encoder.name,
        "plan": asdict(plan),
        "data": data,
        "reciprocal_rank": reached(training.reader, kept, learning, plan),
        "sha256": str(digest(chosen.out / ADAPTER)),
    }
    (chosen.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    say(f"{chosen.out / ADAPTER}: {record['sha256']}")


if __name__ == "__main__":
    main()
