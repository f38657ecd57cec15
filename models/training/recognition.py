"""Trains the recogniser: one encoder, corpora that annotate different types, partial labels.

    python -m models.training.recognition --data ../shared/data --out FOLDER

Stopped by a signal it goes on where it was when it is started again with the same folder. The learning rate
is even until the last epochs; the weights that are kept are a moving average: of the epoch that was best on a part of
the training data that was left out, or the mean of that and the last epoch where this is better still.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.encoders import locate
from models.recognition.finder import SpanFinder
from models.recognition.network import Batch, RecogniserNetwork, load_encoder
from models.recognition.windows import TextEncoder
from models.recognition.words import WordSplitter
from models.terminology import ensure_vocabulary
from models.training.examples import Example, Piece, Plan, batch_of, epoch_batches, examples
from models.training.runs import on_signals, origin, saved, say, write_whole


@dataclass(slots=True)
class Progress:
    """Where a training stands."""

    epoch: int = 0
    step: int = 0
    """Within the epoch."""
    steps: int = 0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)


def scores(network: RecogniserNetwork, encoder: TextEncoder, held: Sequence[Example]) -> dict[str, float]:
    """Strict F1 of each corpus, of the types it annotates, by type and micro."""
    finder = SpanFinder(network, encoder, torch.device("cpu"))
    found = [finder.spans(each.encoded) for each in held]
    counts: dict[str, np.ndarray] = {}
    for each, own in zip(held, found, strict=True):
        gold = set(each.spans)
        right = set(own)
        for kind in each.annotated:
            a = {span for span in gold if span[2] is kind}
            b = {span for span in right if span[2] is kind}
            count = np.array([len(a & b), len(a), len(b)])
            for key in (f"{each.corpus}/{kind}", each.corpus):
                counts[key] = counts.get(key, np.zeros(3, dtype=np.int64)) + count
    return {key: round(float(2 * c[0] / max(1, c[1] + c[2])), 4) for key, c in sorted(counts.items())}


def optimiser(network: RecogniserNetwork, plan: Plan) -> torch.optim.AdamW:
    """Lower layers learn slower; biases and norms do not decay."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    layers = int(network.encoder.config.num_hidden_layers)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad or name.startswith("encoder.pooler."):
            continue
        rate = plan.head_rate
        if name.startswith("encoder."):
            layer = int(name.split(".layer.")[1].split(".")[0])
            rate = plan.encoder_rate * plan.layer_decay ** (layers - 1 - layer)
        decay = plan.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": own, "lr": rate, "weight_decay": decay, "rate": rate}
            for (rate, decay), own in groups.items()
        ],
        fused=True,
    )


class Training:
    """One run; its folder holds the checkpoint, the best weights and the record."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        network: RecogniserNetwork,
        encoder: TextEncoder,
        data: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._origin = origin(plan, data)
        self._network = network
        self._encoder = encoder
        self._optimiser = optimiser(network, plan)
        self._average = {name: value.clone() for name, value in network.trained().items()}
        self.progress = Progress()
        self._stop = False

    def stop(self) -> None:
        """Save and end behind the present step."""
        self._stop = True

    def run(self, learning: Sequence[Example], own_dev: Sequence[Example]) -> bool:
        """False when it was stopped. Raises `ValueError` for a folder of another training."""
        self._resume()
        while self.progress.epoch < self._plan.epochs:
            if not self._epoch(epoch_batches(learning, self._plan, self.progress.epoch)):
                return False
            self._judge(own_dev)
        self._choose(own_dev)
        return True

    def _epoch(self, batches: list[list[Piece]]) -> bool:
        progress, began, losses, words = self.progress, time.monotonic(), 0.0, 0
        self._network.train()
        while progress.step < len(batches):
            batch, allowed = batch_of(batches[progress.step], self._encoder)
            loss, count = self._learn(batch, allowed, len(batches))
            losses, words = losses + loss, words + count
            progress.step += 1
            progress.steps += 1
            if progress.step % 50 == 0:
                spent = time.monotonic() - began
                say(
                    f"epoch {progress.epoch + 1} step {progress.step}/{len(batches)} "
                    f"loss {losses / words:.4f} {words / spent:.0f} words/s"
                )
            if self._stop or progress.step % 200 == 0:
                self._save()
            if self._stop:
                return False
        return True

    def _learn(self, batch: Batch, allowed: Tensor, steps: int) -> tuple[float, int]:
        words = int(batch.word_mask.sum())
        factor = self._factor(steps)
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        total = self._network.loss(batch, allowed).sum()
        torch.autograd.backward(total * 20 / words)
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._plan.clip)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        share = min(self._plan.average, (1 + self.progress.steps) / (10 + self.progress.steps))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._average.values()), list(self._network.trained().values()), 1 - share
            )
        return float(total.detach()), words

    def _factor(self, steps: int) -> float:
        plan, progress = self._plan, self.progress
        warm = min(1.0, (progress.steps + 1) / plan.warmup_steps)
        left = plan.epochs - progress.epoch - progress.step / steps
        return warm * max(0.02, min(1.0, left / plan.cooldown))

    def _judge(self, own_dev: Sequence[Example]) -> None:
        progress = self.progress
        mean = self._scored(self._average, own_dev, progress.epoch + 1)
        if mean > progress.best:
            progress.best = mean
            write_whole(self._folder / "best-epoch.pt", self._average)
        progress.epoch, progress.step = progress.epoch + 1, 0
        self._save()

    def _choose(self, own_dev: Sequence[Example]) -> None:
        """The mean of the best weights and the last is often better than both (Wortsman et al. 2022).

        Not saved in the checkpoint: what is interrupted here chooses anew.
        """
        best = torch.load(self._folder / "best-epoch.pt", weights_only=True)
        mixed = {name: torch.lerp(value, self._average[name], 0.5) for name, value in best.items()}
        better = self._scored(mixed, own_dev, "best and last") > self.progress.best
        write_whole(self._folder / "best.pt", mixed if better else best)

    def _scored(self, weights: dict[str, Tensor], own_dev: Sequence[Example], epoch: int | str) -> float:
        """Mean F1 over the corpora, with these weights; told, and kept in the history."""
        current = {name: value.clone() for name, value in self._network.trained().items()}
        self._network.load_state_dict(weights, strict=False)
        self._network.eval()
        reached = scores(self._network, self._encoder, own_dev)
        mean = float(np.mean([value for key, value in reached.items() if "/" not in key]))
        self.progress.history.append({"epoch": epoch, "mean": round(mean, 4), **reached})
        say(json.dumps(self.progress.history[-1]))
        self._network.load_state_dict(current, strict=False)
        return mean

    def _save(self) -> None:
        write_whole(
            self._folder / "checkpoint.pt",
            {
                "origin": self._origin,
                "network": self._network.trained(),
                "average": self._average,
                "optimiser": self._optimiser.state_dict(),
                "progress": asdict(self.progress),
                "chance": torch.get_rng_state(),
            },
        )

    def _resume(self) -> None:
        kept = saved(self._folder / "checkpoint.pt", self._origin)
        if kept is None:
            return
        self._network.load_state_dict(kept["network"], strict=False)
        self._average = kept["average"]
        self._optimiser.load_state_dict(kept["optimiser"])
        self.progress = Progress(**kept["progress"])
        torch.set_rng_state(kept["chance"])
        say(f"resumed in epoch {self.progress.epoch + 1} at step {self.progress.step}")


def main() -> None:
    options = argparse.ArgumentParser(description="Train the recogniser.")
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--epochs", type=int, default=Plan().epochs)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    plan = Plan(epochs=chosen.epochs)
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    minilm = locate("minilm-l6")
    vocabulary = ensure_vocabulary(chosen.out)
    encoder = TextEncoder(WordSplitter(minilm.folder / "tokenizer.json"), vocabulary)
    learning, own_dev = examples(chosen.data, encoder, plan)
    network = RecogniserNetwork(load_encoder(minilm.folder))
    say(f"{len(learning)} texts to learn from, {len(own_dev)} to stop by")
    data = _digests(chosen.data)
    training = Training(chosen.out, plan, network, encoder, data)
    on_signals(training.stop)
    if not training.run(learning, own_dev):
        sys.exit(f"stopped in epoch {training.progress.epoch + 1}; start again to go on")
    record = {
        "encoder": minilm.name,
        "vocabulary": vocabulary.version,
        "data": data,
        "plan": asdict(plan),
        "own_dev": training.progress.history,
    }
    (chosen.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")


def _digests(data: Path) -> dict[str, str]:
    files = ("ner/bc5cdr/train.tsv.gz", "ner/ncbi_disease/train.tsv.gz", "ner/maccrobat_train.tar.gz")
    return {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in files}


if __name__ == "__main__":
    main()
