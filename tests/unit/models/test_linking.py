"""Linking: the very name, names near it, abstaining, any text; the index on disk; the figures of an evaluation."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.progress import Progress
from typer.testing import CliRunner

from cluster.cli.__main__ import app
from domain.errors import Invalid
from domain.text import Concept, MentionType
from models.encoders import ModelUnavailable
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
from models.linking import Linker, load_linker
from models.linking import index as linking_index
from models.linking.index import NameIndex, build_index
from models.linking.linker import LONGEST, SURE
from models.linking.scoring import FEATURES, OUTSIDE, features, outside_features, probabilities, read
from models.linking.vectors import WEIGHTS, NameVectors, quantised, read_weights, word_rows
from models.terminology import Vocabulary, sources
from models.terminology.merging import Key, Surface, key_of, merge
from models.terminology.sources import SYSTEMS, Entry, Name
from models.terminology.vocabulary import VocabularyFormat
from models.training.linking import Names, Plan, fit, train

PROBLEM, SIGN, DRUG = MentionType.PROBLEM, MentionType.SIGN, MentionType.DRUG
NONSENSE = ["qwxzv", "Lorem ipsum dolor", "zzyzx plugh", "asdf jkl qwer", "xqj 17 vvk", "the of and with"]
ODD = {
    "empty": "",
    "blank": " \n\t ",
    "5 MB": "fever and cough, " * 300_000,
    "as long as may be": "x" * LONGEST,
    "control characters": "\x00\x07\x1b[31m\x7f\u200b\ufeff",
    "right to left": "التهاب رئوي \u202eحمى\u202c",
    "emoji": "🤒👩‍⚕️🇩🇪",
    "lone surrogate": "\ud800 fever",
    "combining": "fe\u0301ver" + "\u0301" * 300,
    "digits": "12 34 5.6",
    "punctuation": "?!(),;--" * 20,
}


class TestNames:
    def test_the_very_name_links_to_its_concepts(self, linker: Linker, vocabulary: Vocabulary) -> None:
        for name in Random(1).sample(range(len(vocabulary)), 500):
            text = vocabulary._names[name]
            meaning = vocabulary.lookup(text)
            assert meaning is not None
            if not meaning.capitals:
                assert linker.ranked(text) == meaning.concepts, text
                assert linker.concepts(text)[0] == meaning.concepts[0], text

    @pytest.mark.parametrize("text", ["Pneumonia", "pneumonias", "PNEUMONIA", " pneumonia\n"])
    def test_cases_plurals_and_blanks_do_not_matter(self, linker: Linker, text: str) -> None:
        assert [concept.code for concept in linker.concepts(text)] == [
            "ICD10CM:J18.9",
            "HP:0002090",
            "MESH:D011014",
        ]

    def test_an_abbreviation_counts_in_capitals_only(self, linker: Linker) -> None:
        assert linker.concepts("PE")[0].code == "ICD10CM:I26.99"
        assert "ICD10CM:I26.99" not in {concept.code for concept in linker.concepts("pe")}
        assert linker.concepts("XQZ") == ()

    def test_last_words_are_broader(self, linker: Linker) -> None:
        broader = linker.broader("basal pneumonia")
        assert broader[0].code == "ICD10CM:J18.9"
        assert all(concept.score < 1 for concept in broader)
        assert linker.broader("severe COPD")[0].code == "ICD10CM:J44.9"
        assert linker.broader("severe pneumonia", DRUG) == ()
        assert linker.broader("pneumonia") == linker.broader("") == linker.broader("x pneumonia" * 99) == ()

    def test_of_other_types_only_the_very_name_counts(self, linker: Linker) -> None:
        assert linker.concepts("pneumonia", MentionType.PROCEDURE)
        assert linker.ranked("pnuemonia", MentionType.PROCEDURE) == ()


class TestNearNames:
    def test_every_name_of_the_index_is_nearest_to_itself(self, linker: Linker) -> None:
        """Also the inverted and the long ones, which the vocabulary has not."""
        names = linker._index._parts["MESH"]
        for row in Random(2).sample(range(len(names)), 200):
            name = names.at(row).name
            best = linker.candidates(read(name), "MESH")[0]
            assert best.cosine > 0.97
            assert sorted(key_of(best.name)) == sorted(key_of(name)) or best.cosine > 0.999

    def test_inverted_names_and_slips_of_the_pen(self, linker: Linker) -> None:
        known = linker._index._parts["MESH"]
        names = [known.at(row).name for row in range(0, len(known), 25)]
        words = [name for name in names if len(key_of(name)) == 1 and len(name) > 9]
        right = 0
        for name in words:
            slip = name[:4] + name[5] + name[4] + name[6:]
            right += read(name).key == read(linker.candidates(read(slip), "MESH")[0].name).key
        assert words
        assert right > len(words) / 2

    def test_scores_are_probabilities_and_ranked(self, linker: Linker) -> None:
        for text in ("abnormal shape of the ear", "low set ears", "small head size", *NONSENSE):
            ranked = linker.ranked(text)
            scores = [concept.score for concept in ranked]
            assert scores == sorted(scores, reverse=True)
            assert all(0 <= score <= 1 for score in scores)
            assert len({concept.code for concept in ranked}) == len(ranked)
            assert all(concept.score >= SURE for concept in linker.concepts(text))

    @pytest.mark.parametrize("text", NONSENSE)
    @pytest.mark.parametrize("kind", [None, PROBLEM, DRUG])
    def test_nonsense_means_nothing(self, linker: Linker, text: str, kind: MentionType | None) -> None:
        assert linker.concepts(text, kind) == ()

    def test_the_same_text_has_the_same_concepts_whatever_was_asked_before(
        self, linker: Linker, vocabulary: Vocabulary
    ) -> None:
        texts = ["abnormal shape of the ear", "small head size", "pneumonia", "qwxzv"]
        fresh = linker.weighed_by(linker._weights)
        assert [fresh.ranked(text) for text in reversed(texts)] == [
            linker.ranked(text) for text in reversed(texts)
        ]


class TestAnyText:
    @pytest.mark.parametrize("name", ODD)
    def test_odd_texts_mean_nothing(self, linker: Linker, name: str) -> None:
        for kind in (None, *MentionType):
            found = linker.concepts(ODD[name], kind)
            assert found == () or "fe" in ODD[name]
            assert linker.broader(ODD[name], kind) == () or "fever" in ODD[name]

    @given(text=st.text(max_size=120), kind=st.sampled_from([None, *MentionType]))
    @settings(deadline=None)
    def test_any_text_is_answered(self, linker: Linker, text: str, kind: MentionType | None) -> None:
        for concept in (*linker.concepts(text, kind), *linker.broader(text, kind)):
            assert 0 < concept.score <= 1
            assert ":" in concept.code


class TestIndex:
    def test_what_is_written_is_read(self, tmp_path: Path, linker: Linker) -> None:
        told: list[tuple[int, int]] = []
        build_index(
            tmp_path / "index",
            all_names_of_two(),
            linker._vectors,
            version="1",
            progress=lambda done, total: told.append((done, total)),
        )
        index = NameIndex(tmp_path / "index", "1")
        assert len(index) == 4
        (near, *_) = index.near(linker._vectors.of(key_of("renal calculi")), "HP", 2)
        assert (near.name, near.code, near.mapped) == ("renal calculi", "HP:1", False)
        (drug,) = index.near(linker._vectors.of(key_of("aspirine")), "DRUGBANK", 5)
        assert drug.code == "DRUGBANK:DB1"
        assert told[-1] == (4, 4)

    def test_another_version_and_a_damaged_index_are_refused(self, tmp_path: Path, linker: Linker) -> None:
        folder = tmp_path / "index"
        build_index(folder, all_names_of_two(), linker._vectors, version="1")
        with pytest.raises(VocabularyFormat, match="another version"):
            NameIndex(folder, "2")
        (folder / "HP.vectors.npy").unlink()
        with pytest.raises(VocabularyFormat, match="not whole"):
            NameIndex(folder, "1")

    def test_a_group_without_names_is_empty(self, tmp_path: Path, linker: Linker) -> None:
        build_index(tmp_path / "index", {}, linker._vectors)
        assert NameIndex(tmp_path / "index").near(linker._vectors.of(("a",)), "HP", 3) == []

    def test_an_index_is_built_once_and_has_what_the_vocabulary_has_not(
        self, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of one chapter: all terminologies take minutes."""
        chapter = [entry for entry in sources.entries() if entry.code.startswith("ICD10CM:E")]
        names = merge(chapter, {}, set(), lambda _, key: bool(key))
        monkeypatch.setattr(linking_index, "all_names", lambda _: names)
        (tmp_path / "models").mkdir()
        linker = load_linker(vocabulary, cache_dir=tmp_path / "models")
        assert len(linker._index) > 1_000
        for name, code in (
            (
                "Type 2 diabetes mellitus with hyperosmolarity without nonketotic hyperglycemic-hyperosmolar coma",
                "ICD10CM:E11.00",
            ),
        ):
            assert vocabulary.lookup(name) is None, name
            assert code in {concept.code for concept in linker.concepts(name)}
        (folder,) = (tmp_path / "models").glob("linking-*")
        before = folder.stat().st_ino
        assert load_linker(vocabulary, cache_dir=tmp_path / "models").name == linker.name
        assert folder.stat().st_ino == before

    @pytest.mark.parametrize("content", [None, b"", b"no weights"])
    def test_weights_that_are_absent_or_damaged_are_refused(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        if content is not None:
            (tmp_path / "w.safetensors").write_bytes(content)
        with pytest.raises(ModelUnavailable, match="linking"):
            read_weights(tmp_path / "w.safetensors")

    def test_the_shipped_weights_are_those_of_their_record(self) -> None:
        record = json.loads(WEIGHTS.with_suffix(".json").read_text())
        weights = read_weights()
        assert record["sha256"].startswith(weights.digest)
        assert list(record["logit"]) == list(SYSTEMS)
        assert list(record["logit"]["HP"]) == [*FEATURES, *OUTSIDE]
        assert WEIGHTS.stat().st_size < 9_000_000

    def test_the_linker_of_a_cache_is_found_again(
        self, linker: Linker, vocabulary: Vocabulary, vocabulary_cache: Path
    ) -> None:
        assert load_linker(vocabulary, cache_dir=vocabulary_cache).name == linker.name


def all_names_of_two() -> dict[Key, Surface]:
    entries = [
        Entry("HP:1", "Kidney stone", SIGN, (Name("renal calculi"), Name("stone, kidney", 1))),
        Entry("HP:2", "Fever", SIGN, (Name("fever"),)),
        Entry("DRUGBANK:DB1", "Aspirin", DRUG, (Name("aspirin"),)),
    ]
    return merge(entries, {}, set(), lambda _, key: bool(key))


class TestVectors:
    def test_a_name_is_the_sum_of_its_words(self) -> None:
        table = np.random.default_rng(0).normal(size=(1 << 16, 8)).astype(np.float32)
        vectors = NameVectors(*quantised(table))
        both = sum(table[list(word_rows(word))].sum(axis=0) for word in ("kidney", "stone"))
        assert vectors.of(("kidney", "stone")) == pytest.approx(both / np.linalg.norm(both), abs=0.02)
        assert vectors.of(("stone", "kidney")) == pytest.approx(vectors.of(("kidney", "stone")), abs=1e-6)
        assert not vectors.of(()).any()
        assert vectors.of_all([]).shape == (0, 8)

    def test_probabilities_leave_room_for_none(self) -> None:
        mention = read("renal stone")
        names = [read("kidney stone"), read("fever")]
        near = features(mention, names, [0.9, 0.1], [2, 0])
        outside = outside_features(mention)
        weights = np.zeros(len(FEATURES) + len(OUTSIDE))
        assert probabilities(near, outside, weights) == pytest.approx([1 / 3, 1 / 3])
        weights[0] = 5
        first, second = probabilities(near, outside, weights)
        assert first > second
        assert first + second < 1


class TestTraining:
    GROUPS = (
        (("renal", "stone"), ("kidney", "calculus"), ("kidney", "stone")),
        (("renal", "failure"), ("kidney", "failure")),
        (("heart", "attack"), ("cardiac", "infarct")),
        (("heart", "pain"), ("cardiac", "pain")),
        (("nothing", "else"),),
    )

    def trained(self, seed: int = 1) -> NameVectors:
        plan = Plan(seed=seed, epochs=15, batch=4, dimension=16, rate=0.05, neighbours=2)
        with Progress(disable=True) as progress:
            return NameVectors(*quantised(train(Names(self.GROUPS), plan, progress)))

    def test_words_that_mean_the_same_come_near(self) -> None:
        vectors = self.trained()
        heart, cardiac, renal = (vectors.of((word,)) for word in ("heart", "cardiac", "renal"))
        assert heart @ cardiac > max(heart @ renal, cardiac @ renal)

    def test_the_same_seed_gives_the_same_table(self) -> None:
        one, again, other = self.trained(), self.trained(), self.trained(2)
        assert (one._table == again._table).all()
        assert (one._table != other._table).any()

    def test_scores_are_fitted_to_what_is_right(self, linker: Linker) -> None:
        names = [linker._index._parts["HP"].at(row) for row in range(0, 800, 2)]
        rows = [Named(0, f"{each.name} sign", frozenset({each.code})) for each in names]
        nothing = linker.weighed_by(np.zeros((len(SYSTEMS), len(FEATURES) + len(OUTSIDE))))
        weights = fit(nothing, {"HP": rows})
        assert not weights[SYSTEMS.index("MESH")].any()
        fitted = linker.weighed_by(weights)
        before, after = evaluate(nothing.ranked, rows), evaluate(fitted.ranked, rows)
        assert after.accuracy() > before.accuracy()
        assert calibration_error(after) < 0.2


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
