"""`medsearch evaluate`: what it prints, lists and refuses."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

from rich.console import Console
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from cluster.evaluation import ner, retrieval
from domain.text import MentionType
from models.evaluation.ner import Mistake, NerResult, SpanFigures
from models.evaluation.retrieval import Collection, CorpusDocument

RESULT = NerResult(
    {MentionType.DRUG: SpanFigures(1, 2, 1), MentionType.SIGN: SpanFigures(0, 0, 0)},
    (Mistake("a", 3, 9, "a\tspirin", MentionType.DRUG, "missed"),),
)


def test_figures_of_mentions_for_programs_and_people() -> None:
    record = json.loads(json.dumps(ner.as_record(RESULT, "r@1")))
    assert record["recogniser"] == "r@1"
    assert record["types"]["drug"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": 0.6667,
        "gold": 2,
        "found": 1,
        "right": 1,
    }
    assert record["types"]["sign"]["f1"] == 0
    assert record["micro"] == record["types"]["drug"]
    console = Console(file=io.StringIO(), width=100)
    console.print(ner.table(RESULT, "r@1"))
    assert isinstance(console.file, io.StringIO)
    assert "0.667" in console.file.getvalue()


def test_mistakes_are_listed_one_a_line() -> None:
    assert list(ner.listing(RESULT))[1:] == ["missed\tdrug\ta\t3\t9\ta spirin\n"]


def test_questions_that_went_wrong_are_listed_the_worst_first() -> None:
    documents = (CorpusDocument("d1", "", "x"), CorpusDocument("d2", "", "y"))
    collection = Collection(
        documents, {"q": "good", "r": "half\nway", "s": "bad"}, {key: {"d1": 1.0} for key in "qrs"}
    )
    lines = list(retrieval.listing({"q": ["d1"], "r": ["d2", "d1"]}, collection))
    assert [line.split("\t")[1:3] for line in lines[1:]] == [["s", "bad"], ["r", "half way"]]
    assert lines[1].endswith("\t\td1\n")


def test_what_cannot_be_read_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    whole = gzip.compress(b"aspirin\tB-Chemical\n" * 100)
    cut, altered = tmp_path / "cut.gz", tmp_path / "altered.gz"
    cut.write_bytes(whole[:-12])
    altered.write_bytes(whole[:12] + b"\xff" * 8 + whole[20:])
    (tmp_path / "corpus.jsonl.gz").write_bytes(whole[:-12])
    for arguments in (
        ["ner", "--data", str(tmp_path / "absent"), "--format", "iob"],
        *(["ner", "--data", str(data), "--format", "iob"] for data in (cut, altered)),
        *(["assertion", "--data", str(data)] for data in (cut, altered)),
        ["retrieval", "--data", str(tmp_path)],
        ["retrieval", "--data", str(tmp_path / "absent")],
    ):
        done = CliRunner().invoke(app, ["evaluate", *arguments])
        assert done.exit_code == 1
        assert str(tmp_path) in done.stderr
        assert "Traceback" not in done.stderr
