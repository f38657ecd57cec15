"""Assertion beside negspacy and medspaCy: the same mentions, the same run. Part of `make bench-models`.

F1 by class and mentions a second on the synthetic sentences (ours; the last third was written after the rules
were frozen) and on mentions made from the held-out documents of BioScope. The others run on `spacy.blank("en")` in
virtual environments of their own, which are made when they are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.text import Assertion
from models.assertion.context import ContextRules
from models.evaluation.assertion import Judged, assess_rows, read_judged
from models.evaluation.bioscope import derived_mentions, read_bioscope, split
from models.evaluation.scores import Counts
from tests.data import BESIDE

SYNTHETIC = Path(__file__).parents[1] / "models" / "evaluation" / "data"
CLASSES = {
    "negated": ("polarity", "negated"),
    "uncertain": ("certainty", "uncertain"),
    "historical": ("temporality", "historical"),
    "hypothetical": ("temporality", "hypothetical"),
    "family": ("experiencer", "family"),
}
OTHERS = {"negspacy": ["negspacy==1.1.0"], "medspacy": ["medspacy==1.3.1", "numpy<2"]}
JUDGES = {"medsearch": tuple(CLASSES), "negspacy": ("negated",), "medspacy": tuple(CLASSES)}
TIMES = 3
ARTICLES = "BioScope held out"
"""The set whose sentences are of articles, which a sentence alone does not show."""


def data_sets(bioscope: Path) -> dict[str, list[Judged]]:
    """Rows by the name of the set."""
    sets = {
        "synthetic development": read_judged(SYNTHETIC / "assertion_development.tsv"),
        "synthetic final": read_judged(SYNTHETIC / "assertion_final.tsv"),
    }
    if bioscope.is_file():
        sets[ARTICLES] = list(derived_mentions(split(read_bioscope(bioscope))[1]))
    return sets


def ours(rows: Sequence[Judged], *, articles: bool) -> tuple[list[set[str]], float]:
    """(classes of every row, mentions a second), the best of `TIMES`."""
    model = ContextRules()
    assess_rows(model, rows[:1], articles=articles)
    seconds, found = min(
        (_timed(model, rows, articles=articles) for _ in range(TIMES)), key=lambda result: result[0]
    )
    return [
        {name for name, (axis, value) in CLASSES.items() if str(getattr(a, axis)) == value} for a in found
    ], (len(rows) / seconds)


def _timed(model: ContextRules, rows: Sequence[Judged], *, articles: bool) -> tuple[float, list[Assertion]]:
    began = time.perf_counter()
    found = assess_rows(model, rows, articles=articles)
    return time.perf_counter() - began, found


def others(name: str, rows: Sequence[Judged], environments: Path) -> tuple[list[set[str]], float]:
    """As `ours`, by another library."""
    texts: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        texts.setdefault(row.text, []).append(index)
    given = [[text, [[rows[i].start, rows[i].end] for i in own]] for text, own in texts.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        command = [
            python_with(name, environments),
            Path(__file__).with_name("assertion_others.py"),
            name,
            file.name,
        ]
        runs = [
            json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            )
            for _ in range(TIMES)
        ]
    best = min(runs, key=lambda run: float(run["seconds"]))
    found: dict[int, set[str]] = {}
    for own, answers in zip(texts.values(), best["answers"], strict=True):
        found.update(zip(own, map(set, answers), strict=True))
    return [found[index] for index in range(len(rows))], len(rows) / best["seconds"]


def python_with(name: str, environments: Path) -> Path:
    """The interpreter of the library's own environment."""
    environment = environments / name
    python = environment / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", environment], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *OTHERS[name]], check=True)
    return python


def counts(rows: Sequence[Judged], found: Sequence[set[str]], name: str) -> Counts:
    """Of one class, over the rows that say something about its axis."""
    axis, value = CLASSES[name]
    pairs = [
        (row.values[axis] == value, name in own)
        for row, own in zip(rows, found, strict=True)
        if axis in row.values
    ]
    return Counts(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


def run(bioscope: Path, environments: Path) -> list[dict[str, Any]]:
    """One record for each set and engine."""
    records = []
    for title, rows in data_sets(bioscope).items():
        for engine, classes in JUDGES.items():
            found, rate = (
                ours(rows, articles=title == ARTICLES)
                if engine == "medsearch"
                else others(engine, rows, environments)
            )
            scores = {name: counts(rows, found, name) for name in classes}
            records.append(
                {
                    "set": title,
                    "engine": engine,
                    "mentions": len(rows),
                    "mentions_per_second": round(rate),
                    "f1": {name: round(score.f1, 3) for name, score in scores.items() if score.support},
                }
            )
    return records


def report(records: Sequence[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table("set", "engine", "mentions", "mentions/s", *CLASSES, title="assertion, F1 by class")
    for record in records:
        shown = [f"{record['f1'][name]:.3f}" if name in record["f1"] else "-" for name in CLASSES]
        table.add_row(
            record["set"],
            record["engine"],
            str(record["mentions"]),
            str(record["mentions_per_second"]),
            *shown,
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("MEDSEARCH_TEST_DATA", BESIDE))
    parser.add_argument(
        "--bioscope", type=Path, default=data / "negation" / "bioscope_abstracts_papers.jsonl.gz"
    )
    parser.add_argument(
        "--environments", type=Path, default=Path(tempfile.gettempdir()) / "medsearch-bench-assertion"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/models_assertion.json"))
    arguments = parser.parse_args()
    records = run(arguments.bioscope, arguments.environments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(records, indent=2))
    report(records, Console(width=130))


if __name__ == "__main__":
    main()
