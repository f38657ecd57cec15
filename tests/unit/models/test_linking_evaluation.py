"""Labelled files of names: what is read, what is refused, and the figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from domain.errors import Invalid
from domain.text import Concept, MentionType
from models.evaluation.linking import (
    Named,
    calibration,
    calibration_error,
    evaluate,
    halves,
    held_out,
    listing,
    parse_named,
    without,
)
from models.linking import Linker
from models.terminology.sources import Entry, Name

SIGN = MentionType.SIGN
TABLE = "concept\ttext\tnote\nHP:0002090\tpneumonia\t\nHP:0000001|ICD10CM:J18.9\tPneumonias\tx\nHP:0001250\tqwxzv\t\n"


class TestEvaluation:
    def test_rows(self) -> None:
        first, second, _ = parse_named(TABLE, "rows")
        assert first == Named(2, "pneumonia", frozenset({"HP:0002090"}))
        assert second.concepts == {"HP:0000001", "ICD10CM:J18.9"}

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            ("", "is empty"),
            ("text\tcode\na\tHP:1\n", "no column concept"),
            ("text\tconcept\n", "no rows"),
            ("text\tconcept\n \tHP:1\n", "line 2: the text is empty"),
            ("text\tconcept\na\t0001250\n", "line 2: '0001250' is not a concept"),
            ("text\tconcept\na\tHP:\n", "line 2"),
            ("text\tconcept\na\t\n", "line 2"),
            ("text\tconcept\na\tHP:1\tb\n", "line 2: 3 columns"),
        ],
    )
    def test_faults_name_their_line(self, content: str, fault: str) -> None:
        with pytest.raises(Invalid, match=fault):
            parse_named(content, "rows")

    def test_figures_and_errors(self) -> None:
        answers = {
            "a": (Concept("ICD10CM:1", "other system", 0.9), Concept("HP:1", "right", 0.8)),
            "b": (Concept("HP:3", "broader", 0.7), Concept("HP:2", "right", 0.2)),
            "c": (Concept("HP:3", "unsure", 0.4),),
            "d": (),
        }
        rows = [Named(n, text, frozenset({f"HP:{n}"})) for n, text in enumerate("abcd", 1)]
        scores = evaluate(lambda text: answers[text], rows)
        assert (scores.accuracy(), scores.accuracy(5)) == (0.5, 0.75)
        assert (scores.linked, scores.coverage, scores.precision) == (2, 0.5, 0.5)
        assert scores.figures()["abstained"] == 2
        assert [count for *_, count in calibration(scores)] == [1, 1, 1]
        assert scores.figures()["calibration_error"] == pytest.approx((0.6 + 0.7 + 0.2) / 3, abs=1e-3)
        parents = {"HP:2": ("HP:3",), "HP:3": ()}
        found = [line.split("\t") for line in listing(scores, lambda code: parents.get(code, ()))]
        assert [(line[0], line[3], line[4], line[8].strip()) for line in found[1:]] == [
            ("2", "yes", "HP:3", "parent"),
            ("3", "no", "HP:3", "right"),
            ("4", "no", "", "nothing"),
        ]
        assert found[1][7] == "2"

    def test_a_fifth_of_the_synonyms_is_held_out_and_no_label(self) -> None:
        names = tuple(Name(f"word{n} thing", 1) for n in range(400))
        entry = Entry("HP:1", "Label", SIGN, (Name("label"), *names, Name("ABC", 1, capitals=True)))
        other = Entry("ICD10CM:1", "Other", SIGN, (Name("word7 thing"), Name("word8 thing", 1)))
        held = held_out([entry, other])
        texts = {row.text for row in held["HP"]}
        assert 40 < len(texts) < 120
        assert held["DRUGBANK"] == held["MESH"] == held["ICD10CM"] == []
        assert not texts & {"label", "ABC", "word7 thing"}
        first, second = halves(held["HP"])
        assert len(first) + len(second) == len(texts)
        assert {row.text for row in first}.isdisjoint(row.text for row in second)
        left = without([entry, other], texts)
        assert {name.text for each in left for name in each.names}.isdisjoint(texts)
        assert left[0].names[0].text == "label"


class TestCommand:
    @pytest.fixture(autouse=True)
    def data_folder(
        self, linker: Linker, vocabulary_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where vocabulary and index are already."""
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "models").symlink_to(vocabulary_cache)
        monkeypatch.setenv("MEDSEARCH_DATA_DIR", str(tmp_path / "data"))

    def test_figures_as_a_table_as_json_and_errors_in_a_file(self, tmp_path: Path) -> None:
        data, errors = tmp_path / "rows.tsv", tmp_path / "errors.tsv"
        data.write_text(TABLE)
        command = ["evaluate", "linking", "--data", str(data), "--errors", str(errors)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert "0.667" in done.stdout
        figures = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
        assert (figures["texts"], figures["accuracy_at_1"], figures["abstained"]) == (3, 0.6667, 1)
        assert figures["precision"] == 1
        assert figures["texts_per_second"] > 0
        header, line = errors.read_text().splitlines()
        assert header.startswith("line\ttext\tconcept")
        assert line.startswith("4\tqwxzv\tHP:0001250\tno\t")

    def test_what_cannot_be_read_is_one_sentence_and_exit_code_1(self, tmp_path: Path) -> None:
        cut = tmp_path / "cut.tsv.gz"
        cut.write_bytes(gzip.compress(TABLE.encode())[:-12])
        wrong = tmp_path / "wrong.tsv"
        wrong.write_text("text\tconcept\nfever\tR50.9\n")
        latin = tmp_path / "latin.tsv"
        latin.write_bytes("text\tconcept\nfi\xe8vre\tHP:1\n".encode("latin-1"))
        for path, fault in ((cut, "cannot be read"), (wrong, "line 2"), (latin, "not UTF-8")):
            done = CliRunner().invoke(app, ["evaluate", "linking", "--data", str(path)])
            assert done.exit_code == 1
            assert fault in done.stderr
            assert "Traceback" not in done.stderr

    def test_errors_that_cannot_be_written(self, tmp_path: Path) -> None:
        data = tmp_path / "rows.tsv"
        data.write_text(TABLE)
        command = [
            "evaluate",
            "linking",
            "--data",
            str(data),
            "--errors",
            str(tmp_path / "no" / "errors.tsv"),
        ]
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, "cannot be written" in done.stderr) == (1, True)


def test_nothing_scores_nothing() -> None:
    scores = evaluate(lambda _: (), [])
    assert (scores.accuracy(), scores.coverage, scores.precision, calibration_error(scores)) == (0, 0, 0, 0)
