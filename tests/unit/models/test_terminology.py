"""From packaged terminologies to one vocabulary: names, bridges, what is left out, and the compiled arrays."""

from __future__ import annotations

import fcntl
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import MentionType
from models.analysis import analyse
from models.terminology import Vocabulary, build_vocabulary, ensure_vocabulary
from models.terminology.build import read_aliases, read_common_words
from models.terminology.merging import key_of, merge
from models.terminology.names import icd_names, unqualified
from models.terminology.sources import Entry, Name, system_rank
from models.terminology.strings import StringTable
from models.terminology.vocabulary import VocabularyFormat

PROBLEM, SIGN, DRUG = MentionType.PROBLEM, MentionType.SIGN, MentionType.DRUG


def codes(vocabulary: Vocabulary, name: str) -> list[str]:
    meaning = vocabulary.lookup(name)
    return [] if meaning is None else [concept.code for concept in meaning.concepts]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pneumonia", ["ICD10CM:J18.9", "HP:0002090", "MESH:D011014"]),
        ("Pneumonias", ["ICD10CM:J18.9", "HP:0002090", "MESH:D011014"]),
        ("heart attack", ["ICD10CM:I21.9", "HP:0001658", "MESH:D009203"]),
        ("MI", ["ICD10CM:I21.9", "HP:0001658", "MESH:D009203"]),
        ("high blood pressure", ["ICD10CM:I10", "HP:0000822", "MESH:D006973"]),
        ("pulmonary embolism", ["ICD10CM:I26.99", "HP:0002204", "MESH:D011655"]),
        ("PE", ["ICD10CM:I26.99", "HP:0002204", "MESH:D011655"]),
        ("asthma", ["ICD10CM:J45.909", "HP:0002099", "MESH:D001249"]),
        ("COPD", ["ICD10CM:J44.9", "HP:0006510", "MESH:D029424"]),
        ("COVID-19", ["ICD10CM:U07.1", "MESH:D000086382"]),
        ("diarrhoea", ["ICD10CM:R19.7", "HP:0002014", "MESH:D003967"]),
        ("lung cancer", ["ICD10CM:C34.90", "HP:0100526", "MESH:D008175"]),
        ("femur fracture", ["ICD10CM:S72.90", "HP:0031846", "MESH:D005264"]),
        ("Tylenol", ["DRUGBANK:DB00316"]),
        ("paracetamol", ["DRUGBANK:DB00316"]),
        ("insulin", ["DRUGBANK:DB00030"]),
    ],
)
def test_what_clinicians_say_has_its_codes(vocabulary: Vocabulary, name: str, expected: list[str]) -> None:
    assert codes(vocabulary, name) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pneumonia", PROBLEM),
        ("fever", SIGN),
        ("cough", SIGN),
        ("aspirin", DRUG),
        ("non-small cell lung cancer", PROBLEM),
    ],
)
def test_types(vocabulary: Vocabulary, name: str, kind: MentionType) -> None:
    meaning = vocabulary.lookup(name)
    assert meaning is not None
    assert meaning.type is kind


@pytest.mark.parametrize(
    "name", ["all", "his", "patient", "normal", "said", "lead", "disease", "water", "", "12", "zzz"]
)
def test_common_words_mean_nothing(vocabulary: Vocabulary, name: str) -> None:
    assert vocabulary.lookup(name) is None


def test_labels_and_names_by_code(vocabulary: Vocabulary) -> None:
    assert vocabulary.label("ICD10CM:J18.9") == "Pneumonia, unspecified organism"
    assert vocabulary.label("HP:0001250") == "Seizure"
    assert vocabulary.label("ICD10CM:NONE") is None
    assert vocabulary.names("ICD10CM:I21.9")[0] == "Myocardial infarction"
    assert "heart attack" in {name.lower() for name in vocabulary.names("HP:0001658")}
    assert "tylenol" in vocabulary.names("DRUGBANK:DB00316")
    assert vocabulary.names("HP:9999999") == ()


@pytest.mark.parametrize(
    ("code", "parents"),
    [
        ("ICD10CM:J18.1", ("ICD10CM:J18.9",)),
        ("ICD10CM:J18.9", ()),
        ("HP:0001250", ("HP:0012638",)),
        ("MESH:D001249", ("MESH:D001982", "MESH:D012130")),
        ("DRUGBANK:DB00316", ()),
        ("HP:9999999", ()),
    ],
)
def test_parents(vocabulary: Vocabulary, code: str, parents: tuple[str, ...]) -> None:
    assert set(vocabulary.parents(code)) >= set(parents)
    assert bool(vocabulary.parents(code)) == bool(parents)


def test_nothing_is_its_own_ancestor(vocabulary: Vocabulary) -> None:
    for code in ("ICD10CM:E11.65", "HP:0001658", "MESH:D011014", "HP:0002090"):
        seen: set[str] = set()
        waiting = list(vocabulary.parents(code))
        while waiting:
            parent = waiting.pop()
            if parent not in seen:
                seen.add(parent)
                waiting.extend(vocabulary.parents(parent))
        assert seen
        assert code not in seen
        assert all(vocabulary.label(each) for each in seen)


def test_every_alias_means_something(vocabulary: Vocabulary) -> None:
    for target, names in read_aliases().items():
        for name in (target, *(name.text for name in names)):
            assert codes(vocabulary, name), name


def test_size(vocabulary: Vocabulary) -> None:
    assert len(vocabulary) > 100_000
    assert vocabulary.concepts > 50_000


def test_windows_find_what_lookup_finds(vocabulary: Vocabulary) -> None:
    words = [term.word for term in analyse("Acute myocardial infarction with cardiogenic shock")]
    found = {(first, length) for first, length, _ in vocabulary.windows(words)}
    assert {(0, 3), (1, 2), (4, 2)} <= found
    assert all(vocabulary.lookup(" ".join(words[first : first + length])) for first, length in found)
    assert list(vocabulary.windows([])) == []


def test_ensure_reuses_what_is_built(vocabulary: Vocabulary, vocabulary_cache: Path) -> None:
    (folder,) = vocabulary_cache.glob("vocabulary-*")
    before = folder.stat().st_ino
    assert ensure_vocabulary(vocabulary_cache).version == vocabulary.version
    assert [path.stat().st_ino for path in vocabulary_cache.glob("vocabulary-*")] == [before]


def test_a_process_waits_for_another_one_s_build(
    vocabulary: Vocabulary, vocabulary_cache: Path, tmp_path: Path
) -> None:
    """While somebody holds the lock nothing is built; what they leave is used."""
    (built,) = vocabulary_cache.glob("vocabulary-*")
    with (tmp_path / "building.lock").open("w") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(ensure_vocabulary, tmp_path)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        shutil.copytree(built, tmp_path / built.name)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result(timeout=10).version == vocabulary.version


def test_a_damaged_vocabulary_is_refused(
    vocabulary: Vocabulary, vocabulary_cache: Path, tmp_path: Path
) -> None:
    (folder,) = vocabulary_cache.glob("vocabulary-*")
    for path in folder.iterdir():
        if path.name != "keys.npy":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(VocabularyFormat):
        Vocabulary(tmp_path)
    (tmp_path / "vocabulary.json").write_text('{"format": 0}')
    with pytest.raises(VocabularyFormat, match="another version"):
        Vocabulary(tmp_path)


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.terminology import sources

    def broken() -> list[Entry]:
        raise RuntimeError("no package")

    monkeypatch.setattr(sources, "entries", broken)
    with pytest.raises(RuntimeError):
        build_vocabulary(tmp_path / "vocabulary")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("Pneumonia, unspecified organism", "pneumonia"),
        ("Essential (primary) hypertension", "essential hypertension"),
        ("Type 2 diabetes mellitus without complications", "type 2 diabetes mellitus"),
        ("Unspecified asthma, uncomplicated", "asthma"),
        ("Migraine, unspecified, not intractable, without status migrainosus", "migraine"),
        ("Asthma NOS", "asthma"),
        ("Malignant neoplasm of bronchus and lung", "lung cancer"),
        ("Acquired immune deficiency syndrome [AIDS]", "aids"),
        ("Stricture, esophageal", "esophageal stricture"),
    ],
)
def test_icd_descriptions_as_they_are_said(description: str, said: str) -> None:
    assert said in {name.lower() for name, _, _ in icd_names(description, [], leaf=True)}


def test_bracketed_letters_of_something_else_are_no_name() -> None:
    assert not any(caps for _, _, caps in icd_names("Abnormal electrocardiogram [ECG]", [], leaf=True))


def test_nos_is_the_plain_name() -> None:
    names = list(icd_names("Unspecified asthma, uncomplicated", ["Asthma NOS"], leaf=True))
    assert ("Asthma", 0, False) in names


def test_unqualified_keeps_what_says_something() -> None:
    assert unqualified("Hepatitis C without hepatic coma") == "Hepatitis C without hepatic coma"


ICD = Entry("ICD10CM:I21.9", "Infarction", PROBLEM, (Name("myocardial infarction"),))
HPO = Entry(
    "HP:0001658", "Myocardial infarction", SIGN, (Name("Myocardial infarction"), Name("heart attack", 1))
)


def test_a_bridge_brings_the_code_of_another_system() -> None:
    surface = merge([ICD, HPO], {}, set())[key_of("heart attacks")]
    assert surface.ranked() == ["HP:0001658"]
    assert surface.bridged == ("ICD10CM:I21.9",)
    assert surface.type is PROBLEM


def test_far_names_build_no_bridge() -> None:
    far = Entry("ICD10CM:X1", "Other", PROBLEM, (Name("heart attack", 3),))
    surfaces = merge([far, HPO], {}, set())
    assert surfaces[key_of("myocardial infarction")].bridged == ()


def test_aliases_take_their_target_s_codes() -> None:
    surfaces = merge([ICD], {"myocardial infarction": (Name("MI", 1, capitals=True),)}, set())
    assert surfaces[key_of("MI")].ranked() == ["ICD10CM:I21.9"]
    assert surfaces[key_of("MI")].capitals


def test_alias_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown name"):
        merge([ICD], {"no such thing": (Name("x"),)}, set())


def test_a_name_without_capitals_somewhere_needs_none() -> None:
    drug = Entry("DRUGBANK:DB1", "Aids", DRUG, (Name("zap"),))
    sign = Entry("HP:1", "Zap", SIGN, (Name("Zap"),))
    assert merge([drug], {}, set())[("zap",)].capitals
    assert not merge([drug, sign], {}, set())[("zap",)].capitals
    assert merge([drug, sign], {}, set())[("zap",)].ranked() == ["HP:1"]


def test_untyped_and_excluded_names_are_left_out() -> None:
    vague = Entry("MESH:D1", "Attitude", None, (Name("attitude"),))
    assert merge([vague, ICD], {}, {key_of("myocardial infarctions")}) == {}


def test_common_words_are_read() -> None:
    assert {("patient",), key_of("adverse effects")} <= read_common_words()


def test_order_of_systems() -> None:
    ranks = [system_rank(f"{system}:1") for system in ("ICD10CM", "HP", "MESH", "DRUGBANK")]
    assert ranks == sorted(ranks)


@given(st.lists(st.text(max_size=8), max_size=20))
def test_string_table(strings: list[str]) -> None:
    ordered = sorted(set(strings))
    table = StringTable.of(ordered)
    assert [table[index] for index in range(len(table))] == ordered
    assert [table.find(string) for string in ordered] == list(range(len(ordered)))
    assert table.find("\uffff absent") is None
