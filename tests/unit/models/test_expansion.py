"""Query expansion over a vocabulary: which other names of a concept are asked for, and which are not."""

from __future__ import annotations

from domain.text import Concept, MentionType
from models.expansion import VocabularyNames
from models.terminology import Meaning

ICD = Concept("ICD10CM:I21.9", "Acute myocardial infarction, unspecified")
MESH = Concept("MESH:D009203", "Myocardial Infarction")
LOOSE = Concept("HP:0001658", "Loosely mapped", score=0.8)
INFARCTION = (ICD, LOOSE, MESH)
STROKE = (Concept("ICD10CM:I63.9", "Cerebral infarction"),)

NAMES = {
    "ICD10CM:I21.9": ("Heart attack", "Infarct of the heart", "MI", "AMI"),
    "MESH:D009203": ("Myocardial infarction", "Heart attack", "Infarction"),
    "HP:0001658": ("Something loose",),
}
MEANINGS = {
    "heart attack": Meaning(MentionType.PROBLEM, INFARCTION, capitals=False),
    "myocardial infarction": Meaning(MentionType.PROBLEM, INFARCTION, capitals=False),
    "infarct of the heart": Meaning(MentionType.PROBLEM, (ICD,), capitals=False),
    "something loose": Meaning(MentionType.PROBLEM, INFARCTION, capitals=False),
    "mi": Meaning(MentionType.PROBLEM, INFARCTION, capitals=True),
    "ami": Meaning(MentionType.PROBLEM, INFARCTION, capitals=True),
    "infarction": Meaning(MentionType.PROBLEM, STROKE, capitals=False),
}


class SmallVocabulary:
    """What expansion uses of `models.terminology.Vocabulary`."""

    def lookup(self, name: str) -> Meaning | None:
        return MEANINGS.get(name.lower())

    def names(self, code: str) -> tuple[str, ...]:
        return NAMES.get(code, ())


names = VocabularyNames(SmallVocabulary())


def test_a_name_gives_the_codes_of_all_systems() -> None:
    assert list(names.named("heart attack")) == ["ICD10CM:I21.9", "HP:0001658", "MESH:D009203"]
    assert list(names.named("treatment")) == []


def test_abbreviations_count_only_in_capitals() -> None:
    assert list(names.named("mi")) == []
    assert names.named("MI")


def test_names_of_the_codes_take_turns_without_loose_short_or_ambiguous_ones() -> None:
    assert list(names.names("heart attack")) == [
        "Heart attack",
        "Myocardial infarction",
        "Infarct of the heart",
        "AMI",
    ]
    assert list(names.names("treatment")) == []
