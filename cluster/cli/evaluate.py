"""`medsearch evaluate`: how good the models are, on files of one's own. Needs no running platform."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from cluster.cli.platform import readable_errors
from cluster.evaluation.assertion import assertion
from cluster.evaluation.linking import linking
from cluster.evaluation.reports import AsJson, Errors, write_errors
from config.loading import load_settings
from deployments.search.schemas import Mode

app = typer.Typer(help="Measure the models on files of your own.", no_args_is_help=True)


class CorpusForm(StrEnum):
    IOB = "iob"
    BRAT = "brat"


def register(commands: typer.Typer) -> None:
    """Add the group to the application."""
    commands.add_typer(app, name="evaluate")


@app.callback()
def evaluate() -> None:
    """Measure the models on files of your own."""


app.command()(assertion)
app.command()(linking)


@app.command()
def ner(
    data: Annotated[Path, typer.Option(help="A labelled file, a folder of them, or a .tar.gz (brat).")],
    form: Annotated[CorpusForm, typer.Option("--format", help="How the corpus is written.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="CORPUS_TYPE=OUR_TYPE", help="May be repeated.")
    ] = None,
    as_json: AsJson = False,
    errors: Errors = None,
) -> None:
    """Find the mentions of a labelled corpus: strict precision, recall and F1, by type and micro."""
    from cluster.evaluation.ner import as_record, listing, table
    from models.evaluation.corpora import read_corpus
    from models.evaluation.ner import evaluate as measure
    from models.evaluation.ner import type_map
    from models.recognition.loading import load_recogniser

    with readable_errors():
        corpus = read_corpus(data, form.value)
        types = type_map(mapping or [], corpus)
        settings = load_settings().settings
        recogniser = load_recogniser(settings.models, cache_dir=settings.models_path)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            texts = progress.track(corpus, description="Recognising")
            result = measure(recogniser, texts, types)
        if as_json:
            typer.echo(json.dumps(as_record(result, recogniser.name), indent=2))
        else:
            Console().print(table(result, recogniser.name))
        write_errors(errors, listing(result))


@app.command()
def retrieval(
    data: Annotated[Path, typer.Option(help="Folder in the BEIR layout: corpus, queries, qrels/test.tsv.")],
    mode: Annotated[Mode, typer.Option(help="How to search.")] = Mode.HYBRID,
    as_json: AsJson = False,
    errors: Errors = None,
) -> None:
    """Rank a test collection as search would: nDCG@10 and recall@100."""
    from cluster.evaluation.retrieval import listing, rank_collection
    from models.evaluation.retrieval import figures, read_collection

    with readable_errors():
        collection = read_collection(data)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            ranked = asyncio.run(rank_collection(load_settings().settings, collection, [mode], progress))
        reached = figures(ranked[mode], collection)
        if as_json:
            typer.echo(json.dumps({"mode": mode.value, **asdict(reached)}, indent=2))
        else:
            typer.echo(
                f"{mode.value}: nDCG@10 {reached.ndcg_at_10:.3f}, recall@100 {reached.recall_at_100:.3f} "
                f"over {reached.queries} questions"
            )
        write_errors(errors, listing(ranked[mode], collection))
