"""All models on what they were not trained on, in one run, beside what one would use instead: `make bench-models`.

Mentions beside the dictionary; cues and scopes of BioScope; assertion beside negspacy and medspaCy (in environments
of their own); linking of held-out synonyms beside the nearest name; test collections by words, by meaning and by
both, with and without the adapter (mentions by the dictionary: the network would take hours); speed and memory, also
of reading an encoder beside transformers. Parts that are not run keep their figures in the output, with the time of
each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import models_assertion, models_linking
from cluster.demo.letters import FOLDER
from cluster.evaluation.inventory import resident_bytes
from cluster.evaluation.retrieval import rank_collection
from cluster.evaluation.runtimes import demo_passages, measure, number_types
from config.settings import ModelSettings, Settings
from deployments.search.schemas import Mode
from domain.text import Extraction, Page
from models.annotation import load_annotator
from models.assertion.scopes import scope_model
from models.embedding import load_embedder
from models.encoders import locate
from models.evaluation.bioscope import evaluate as evaluate_scopes
from models.evaluation.bioscope import read_bioscope, split
from models.evaluation.ner import evaluate
from models.evaluation.retrieval import figures, read_collection
from models.pretrained import read_encoder, read_pretrained
from models.recognition.loading import load_recogniser
from models.sentences import split_sentences
from models.training.examples import maccrobat
from models.training.shipping import kept_texts
from tests.data import BESIDE

PROCESSES = 2
LONG = 200
PASSAGES, PASSAGE_TOKENS, ROUNDS = 200, 122, 5
ENCODERS = ("minilm-l6", "minilm-l6-medical")
COLLECTIONS = ("cystic_fibrosis", "medlars")
BIOSCOPE = "negation/bioscope_abstracts_papers.jsonl.gz"

Rows = list[dict[str, Any]]


def recognition(data: Path, cache: Path) -> Rows:
    """Strict F1 by type and over all."""
    rows = []
    for name in ("dictionary", "clinical"):
        recogniser = load_recogniser(ModelSettings(recognizer=name), cache_dir=cache)
        for title, (texts, types) in kept_texts(data).items():
            result = evaluate(recogniser, texts, types)
            own = {kind.value: round(each.f1, 4) for kind, each in result.by_type.items()}
            rows.append({"set": title, "recogniser": name, "all": round(result.micro.f1, 4), **own})
    return rows


def scopes(data: Path, _: Path) -> Rows:
    """F1 of cues (overlapping) and of the tokens in their scopes."""
    found = evaluate_scopes(scope_model(), split(read_bioscope(data / BIOSCOPE))[1])
    return [
        {"kind": kind, "cue": round(own.cues.f1, 4), "scope tokens": round(own.tokens.f1, 4)}
        for kind, own in found.items()
    ]


def assertion(data: Path, _: Path) -> Rows:
    """F1 by class and mentions a second."""
    environments = Path(tempfile.gettempdir()) / "medsearch-bench-assertion"
    return [
        {**{key: value for key, value in record.items() if key != "f1"}, **record["f1"]}
        for record in models_assertion.run(data / BIOSCOPE, environments)
    ]


def linking(_: Path, cache: Path) -> Rows:
    """Accuracy of synonyms that were held out."""
    rows: Rows = models_linking.run(cache)["held_out"]
    return [rounded(row) for row in rows]


def retrieval(data: Path, cache: Path) -> Rows:
    """nDCG@10 and recall@100, through the product's analysis, index and fusion; mentions by the dictionary."""
    rows = []
    for encoder in ENCODERS:
        settings = Settings(models=ModelSettings(encoder=encoder, recognizer="dictionary"))
        for name in COLLECTIONS:
            collection = read_collection(data / "retrieval" / name)
            with Progress(console=Console(stderr=True), transient=True) as progress:
                ranked = asyncio.run(rank_collection(settings, collection, list(Mode), progress))
            for mode, own in ranked.items():
                reached = figures(own, collection)
                rows.append(
                    {
                        "collection": name,
                        "encoder": encoder,
                        "mode": mode.value,
                        "nDCG@10": round(reached.ndcg_at_10, 4),
                        "recall@100": round(reached.recall_at_100, 4),
                    }
                )
    return rows


def annotation_speed(data: Path, cache: Path) -> Rows:
    """Sentences and mentions a second of recogniser, assertion and linking, in two processes of one thread each."""
    texts = [text.text for text in maccrobat(data)[1]]
    sentences = sum(len(split_sentences(text)) for text in texts)
    rows = []
    for name in ("dictionary", "clinical"):
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            parts = [(name, cache, texts[start::PROCESSES]) for start in range(PROCESSES)]
            timed = list(pool.map(annotate, parts))
        rows.append(
            {
                "recogniser": name,
                "sentences/s": round(sentences / max(seconds for seconds, _ in timed)),
                "mentions/s": round(sum(count for _, count in timed) / max(seconds for seconds, _ in timed)),
            }
        )
    return rows


def annotate(task: tuple[str, Path, Sequence[str]]) -> tuple[float, int]:
    """(seconds, mentions) of one process."""
    name, cache, texts = task
    annotator = load_annotator(ModelSettings(recognizer=name, threads=1), cache_dir=cache)
    pages = [Extraction("text/plain", (Page(1, text),)) for text in texts]
    annotator.annotate(pages[0])
    began = time.perf_counter()
    found = sum(len(annotator.annotate(each).mentions) for each in pages)
    return time.perf_counter() - began, found


def long_document(_: Path, cache: Path) -> Rows:
    """Seconds and memory of a process that annotates and embeds a document of 200 pages, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return [pool.submit(read_long_document, cache).result()]


def read_long_document(cache: Path) -> dict[str, Any]:
    """What a worker does between extraction and index."""
    letters = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))]
    pages = tuple(Page(number, letters[number % len(letters)]) for number in range(1, LONG + 1))
    settings = ModelSettings(recognizer="clinical", threads=1)
    annotator, embedder = load_annotator(settings, cache_dir=cache), load_embedder(settings)
    loaded = resident_bytes()
    began = time.perf_counter()
    annotation = annotator.annotate(Extraction("text/plain", pages))
    vectors = embedder.embed([passage.text for passage in annotation.passages])
    return {
        "pages": len(pages),
        "characters": sum(len(page.text) for page in pages),
        "mentions": len(annotation.mentions),
        "passages": len(vectors),
        "seconds": round(time.perf_counter() - began, 1),
        "MiB loaded": loaded >> 20,
        "MiB at most": peak_mib(),
    }


def peak_mib() -> int:
    """Most resident memory of this process so far; `getrusage` would count the one that it was started from."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) >> 10


def embedding_speed(_: Path, __: Path) -> Rows:
    """Passages of 122 tokens a second by number type, two threads."""
    settings = ModelSettings(threads=2)
    passages = demo_passages(settings, count=PASSAGES, tokens=PASSAGE_TOKENS)
    types = number_types(settings.device)
    found = measure(settings, passages, types, rounds=ROUNDS, advance=lambda: None)
    return [rounded(asdict(each)) for each in found]


def encoder_reading(_: Path, __: Path) -> Rows:
    """The shipped encoder by our BERT and by transformers, each in fresh processes in turn; the median of each figure."""
    readings: dict[str, list[dict[str, float]]] = {"medsearch": [], "transformers": []}
    for _ in range(ROUNDS):
        for name, own in readings.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                own.append(pool.submit(read_and_compute, name).result())
    return [
        {"by": name, **{key: round(median(each[key] for each in own), 2) for key in own[0]}}
        for name, own in readings.items()
    ]


def read_and_compute(name: str) -> dict[str, float]:
    """What one process pays for an encoder, beyond torch, and what its forward passes take on one thread."""
    torch.set_num_threads(1)
    folder = locate(ENCODERS[0]).folder
    memory, began = resident_bytes(), time.process_time()
    if name == "medsearch":
        model = read_encoder(folder, torch.float32)
    else:
        model = read_pretrained("AutoModel", folder, torch.float32)
    figures = {
        "seconds to read": time.process_time() - began,
        "MiB": (resident_bytes() - memory) / 2**20,
    }
    for texts, tokens, times in ((1, 8, 60), (1, 24, 60), (32, 256, 2)):
        ids = torch.randint(1000, 30_000, (texts, tokens), generator=torch.Generator().manual_seed(1))
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            with torch.inference_mode():
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
            seconds.append(time.perf_counter() - began)
        figures[f"ms, {texts} x {tokens} tokens"] = 1000 * median(seconds)
    return figures


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Figures with four digits behind the point."""
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


PARTS: Mapping[str, Callable[[Path, Path], Rows]] = {
    "recognition": recognition,
    "scopes": scopes,
    "assertion": assertion,
    "linking": linking,
    "retrieval": retrieval,
    "annotation speed": annotation_speed,
    "embedding speed": embedding_speed,
    "encoder reading": encoder_reading,
    "long document": long_document,
}


def shown(title: str, rows: Rows) -> Table:
    """One part; a figure that a row has not is a dash."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(str(row.get(column, "-")) for column in columns))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MEDSEARCH_TEST_DATA", BESIDE)))
    parser.add_argument("--cache", type=Path, default=Path(".data/models"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/models.json"))
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", default=list(PARTS))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"There is no evaluation data in {arguments.data}: name its folder with --data.")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    console = Console(width=150)
    record = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    for title in arguments.only:
        began = time.perf_counter()
        record[title] = PARTS[title](arguments.data, arguments.cache)
        console.print(shown(f"{title} ({time.perf_counter() - began:.0f} s)", record[title]))
        record.setdefault("measured", {})[title] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        arguments.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
