"""The index of names on disk, and the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.text import MentionType
from models.encoders import ModelUnavailable
from models.linking import Linker, load_linker
from models.linking import index as linking_index
from models.linking.index import NameIndex, build_index
from models.linking.scoring import FEATURES, OUTSIDE
from models.linking.vectors import WEIGHTS, read_weights
from models.terminology import Vocabulary, sources
from models.terminology.merging import Key, Surface, key_of, merge
from models.terminology.sources import SYSTEMS, Entry, Name
from models.terminology.vocabulary import VocabularyFormat

SIGN, DRUG = MentionType.SIGN, MentionType.DRUG


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
