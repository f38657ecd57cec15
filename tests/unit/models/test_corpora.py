"""Labelled corpora and test collections, as others write them."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from models.evaluation.corpora import SENTENCES_PER_TEXT, CorpusFault, LabelledText, read_corpus
from models.evaluation.retrieval import figures, ndcg, read_collection, recall


def surfaces(text: LabelledText) -> list[tuple[str, str]]:
    return [(text.text[span.start : span.end], span.type) for span in text.spans]


def iob(folder: Path, content: str, name: str = "a.tsv") -> list[LabelledText]:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content.encode()))
    else:
        path.write_text(content, encoding="utf-8")
    return read_corpus(path, "iob")


class TestIob:
    def test_tokens_are_joined_as_they_are_written(self, tmp_path: Path) -> None:
        rows = "Crohn B-D\n' I-D\ns I-D\ndisease I-D\n( O\nIL O\n- O\n6 O\n) O\n. O\n\nNone O\n"
        (text,) = iob(tmp_path, rows)
        assert text.text == "Crohn's disease (IL-6).\nNone"
        assert surfaces(text) == [("Crohn's disease", "D")]

    @pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
    def test_neighbouring_mentions_stay_apart(self, tmp_path: Path, name: str) -> None:
        (text,) = iob(tmp_path, "fever\tB-S\ncough\tB-S\nnaproxen\tI-C\n\n", name)
        assert surfaces(text) == [("fever", "S"), ("cough", "S"), ("naproxen", "C")]

    def test_bioes(self, tmp_path: Path) -> None:
        (text,) = iob(tmp_path, "a S-X\nb B-X\nc I-X\nd E-X\ne O\n")
        assert surfaces(text) == [("a", "X"), ("b c d", "X")]

    def test_documents_are_those_of_the_file_or_pieces(self, tmp_path: Path) -> None:
        marked = iob(tmp_path, "-DOCSTART- O\n\na O\n\nb O\n\n-DOCSTART- O\n\nc O\n")
        assert [text.text for text in marked] == ["a\nb", "c"]
        pieces = iob(tmp_path, "a O\n\n" * (SENTENCES_PER_TEXT + 1))
        assert [text.text.count("a") for text in pieces] == [SENTENCES_PER_TEXT, 1]

    @pytest.mark.parametrize("content", ["one\n", "a Q-X\n", "", "\n\n"])
    def test_what_is_not_iob_is_refused(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(CorpusFault):
            iob(tmp_path, content)

    def test_an_absent_or_binary_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusFault):
            read_corpus(tmp_path / "absent.tsv", "iob")
        (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(CorpusFault):
            read_corpus(tmp_path / "b", "iob")


class TestBrat:
    def write(self, folder: Path) -> None:
        (folder / "1.txt").write_text("Fever 😷 and pain in both arms.", encoding="utf-8")
        (folder / "1.ann").write_text(
            "T1\tSign 0 5\tFever\nE1\tSign:T1 \nT2\tSign 12 16;25 29\tpain arms\n#1\tNote T1\tx\n",
            encoding="utf-8",
        )
        (folder / "alone.txt").write_text("no notes")

    def test_a_folder(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        (text,) = read_corpus(tmp_path, "brat")
        assert surfaces(text) == [("Fever", "Sign"), ("pain in both arms", "Sign")]

    def test_an_archive(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        self.write(tmp_path / "in")
        with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "in", "reports")
        assert read_corpus(tmp_path / "c.tar.gz", "brat") == read_corpus(tmp_path / "in", "brat")

    def test_what_is_not_brat_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        (tmp_path / "1.ann").write_text("T1 Sign zero\n")
        with pytest.raises(CorpusFault):
            read_corpus(tmp_path, "brat")


class TestCollections:
    def write(self, folder: Path) -> Path:
        (folder / "qrels").mkdir()
        documents = [{"_id": "d1", "title": "T", "text": "x"}, {"_id": "d2", "text": "y"}]
        (folder / "corpus.jsonl.gz").write_bytes(
            gzip.compress("\n".join(map(json.dumps, documents)).encode())
        )
        (folder / "queries.jsonl").write_text('{"_id": "q", "text": "?"}\n{"_id": "r", "text": "??"}\n')
        (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t2\nq\td2\t0\n")
        return folder

    def test_judged_questions_and_relevant_documents_are_kept(self, tmp_path: Path) -> None:
        collection = read_collection(self.write(tmp_path))
        assert [document.title for document in collection.documents] == ["T", ""]
        assert collection.grades == {"q": {"d1": 2.0}}
        assert figures({}, collection).ndcg_at_10 == 0
        assert figures({"q": ["d2", "d1"]}, collection).recall_at_100 == 1

    def test_an_incomplete_folder_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        (tmp_path / "qrels/test.tsv").unlink()
        with pytest.raises(CorpusFault):
            read_collection(tmp_path)

    def test_ndcg_and_recall_by_hand(self) -> None:
        grades = {"a": 3.0, "b": 1.0}
        assert ndcg(["a", "b"], grades) == 1
        assert ndcg(["x", "a"], grades) == pytest.approx(3 / 1.584962500721156 / (3 + 1 / 1.584962500721156))
        assert ndcg(["x"] * 10 + ["a"], grades) == 0
        assert recall(["x", "b"], grades) == 0.5
