"""Linking of synonyms that were held out of the terminologies. Part of `make bench-models`.

Each fifth synonym of the Human Phenotype Ontology, DrugBank, MeSH diseases and ICD-10-CM (by its hash, labels never) is
away from vocabulary and index, and was away when the shipped table was trained. The weights of the scores were
fitted to one half of these; figures are of the other. Beside it, on the same names: the nearest name without scores,
and the same table before it is trained, which knows letters only. Speed and memory are those of a fresh process
with the whole index, which is built when it is not below `--cache`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table as Printed

from domain.text import Concept
from models.evaluation.linking import LinkingScores, Named, calibration, evaluate, halves
from models.linking import Linker, load_linker
from models.linking.linker import BROADER_SCORE
from models.linking.scoring import read
from models.linking.vectors import NameVectors, quantised, read_weights
from models.terminology import Vocabulary, ensure_vocabulary
from models.terminology.sources import SYSTEMS, Entry, entries
from models.training.linking import HeldOut, Names, Plan, Table, hold_out, known_names

TITLES = {
    "HP": "phenotypes (HPO)",
    "DRUGBANK": "drugs (DrugBank)",
    "MESH": "diseases (MeSH)",
    "ICD10CM": "diagnoses (ICD-10-CM)",
}
SCORED = "trained, with scores"


def untrained(every: Sequence[Entry]) -> NameVectors:
    """The table before its first step."""
    table = Table(Names(known_names(every)), Plan())
    return NameVectors(*quantised(np.asarray(table.rows.detach().numpy(), dtype=np.float32)))


def nearest(linker: Linker) -> Callable[[str], Sequence[Concept]]:
    """Concepts by the nearest name alone; their scores are cosines."""

    def ranked(text: str) -> list[Concept]:
        mention = read(text)
        near = [each for system in SYSTEMS for each in linker.candidates(mention, system)]
        return [Concept(each.code, each.name, each.cosine) for each in near]

    return ranked


def scores(held: HeldOut, ranked: Callable[[str], Sequence[Concept]]) -> dict[str, LinkingScores]:
    """By terminology, on the half that scores were not fitted to."""
    return {system: evaluate(ranked, halves(rows)[1]) for system, rows in held.rows.items()}


def broader_right(held: HeldOut, vocabulary: Vocabulary) -> dict[str, float | int]:
    """Of phenotypes that stay unlinked but end with a name: how often that is right, or at least broader."""
    right = above = total = 0
    for row in halves(held.rows["HP"])[1]:
        if held.linker.concepts(row.text):
            continue
        found = {each.code for each in held.linker.broader(row.text) if each.code.startswith("HP:")}
        if found:
            total += 1
            right += bool(found & row.concepts)
            above += bool(found & ancestors(row.concepts, vocabulary))
    return {
        "unlinked_that_end_with_a_name": total,
        "right": round(right / (total or 1), 4),
        "broader": round(above / (total or 1), 4),
        "score_given": BROADER_SCORE,
    }


def ancestors(codes: frozenset[str], vocabulary: Vocabulary) -> set[str]:
    """All broader concepts."""
    seen: set[str] = set()
    waiting = list(codes)
    while waiting:
        for parent in vocabulary.parents(waiting.pop()):
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return seen


def loaded(cache: Path, near: Sequence[str], exact: Sequence[str]) -> dict[str, float]:
    """Memory and speed of a process that does nothing else."""
    process = psutil.Process()
    vocabulary = ensure_vocabulary(cache)
    before = process.memory_info().rss
    linker = load_linker(vocabulary, cache_dir=cache)
    return {
        "near_names_per_second": round(_rate(linker, near)),
        "exact_names_per_second": round(_rate(linker, exact)),
        "resident_mb": round(process.memory_info().rss / 1e6),
        "of_the_linker_mb": round((process.memory_info().rss - before) / 1e6),
    }


def _rate(linker: Linker, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    for text in texts:
        linker.concepts(text)
    return len(texts) / (time.perf_counter() - began)


def run(cache: Path) -> dict[str, Any]:
    """All figures."""
    every = list(entries())
    weights = read_weights()
    with tempfile.TemporaryDirectory(prefix="medsearch-bench-linking-") as folder:
        held = hold_out(every, weights.vectors, weights.logit, Path(folder) / "trained")
        letters = hold_out(every, untrained(every), np.zeros_like(weights.logit), Path(folder) / "letters")
        by_engine = {
            "letters only, nearest name": scores(letters, nearest(letters.linker)),
            "trained, nearest name": scores(held, nearest(held.linker)),
            SCORED: scores(held, held.linker.ranked),
        }
        broader = broader_right(held, Vocabulary(Path(folder) / "trained" / "vocabulary"))
    texts = [row.text for rows in held.rows.values() for row in halves(rows)[1][:1000]]
    vocabulary = ensure_vocabulary(cache)
    load_linker(vocabulary, cache_dir=cache)
    exact = [concept for code in list(_codes(held.rows))[:3000] for concept in vocabulary.names(code)[:1]]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        process = pool.apply(loaded, (cache, texts, exact))
    return {
        "held_out": [
            {"set": TITLES[system], "engine": engine, **own.figures()}
            for engine, found in by_engine.items()
            for system, own in sorted(found.items(), key=lambda pair: [*TITLES].index(pair[0]))
        ],
        "calibration": {
            TITLES[system]: [
                {"score": round(score, 3), "right": round(right, 3), "texts": count}
                for score, right, count in calibration(own)
            ]
            for system, own in by_engine[SCORED].items()
        },
        "last_words": broader,
        "process": process,
    }


def _codes(rows: dict[str, list[Named]]) -> dict[str, None]:
    return dict.fromkeys(sorted(code for own in rows.values() for row in own for code in row.concepts))


def report(record: dict[str, Any], console: Console) -> None:
    """The tables."""
    table = Printed(
        "set", "engine", "names", "accuracy@1", "@5", "coverage", "precision", "calibration error"
    )
    for row in record["held_out"]:
        scored = row["engine"] == SCORED
        shown = [f"{row[name]:.3f}" for name in ("accuracy_at_1", "accuracy_at_5")]
        shown += [f"{row[n]:.3f}" if scored else "" for n in ("coverage", "precision", "calibration_error")]
        table.add_row(row["set"], row["engine"], str(row["texts"]), *shown)
    console.print(table)
    for title, bins in record["calibration"].items():
        line = "  ".join(f"{each['score']:.2f}:{each['right']:.2f} ({each['texts']})" for each in bins)
        console.print(f"{title}, score: share right (names)  {line}")
    console.print(record["last_words"])
    console.print(record["process"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=Path(".data/models"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/models_linking.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = run(arguments.cache)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=2))
    report(record, Console(width=150))


if __name__ == "__main__":
    main()
