"""The recogniser that ships: what it finds, where, and that this hangs on nothing but the text."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from cluster.demo.letters import FOLDER
from config.settings import ModelSettings
from domain.text import Extraction, MentionType, Page, Polarity
from models.annotation import Annotator, load_annotator
from models.encoders import locate
from models.recognition import clinical
from models.recognition.finder import load_finder
from models.terminology import Vocabulary

LETTERS = sorted(FOLDER.glob("*.md"))[:6]
NOTE = """History of present illness:
The patient was admitted with chest pain and shortness of breath. An electrocardiogram showed no signs of myocardial
infarction. She was given aspirin and underwent appendectomy in 2012. Pain radiated to the left arm.
"""
EXPECTED = {
    ("pain", MentionType.SIGN),
    ("shortness of breath", MentionType.SIGN),
    ("electrocardiogram", MentionType.TEST),
    ("myocardial\ninfarction", MentionType.PROBLEM),
    ("aspirin", MentionType.DRUG),
    ("appendectomy", MentionType.PROCEDURE),
    ("left arm", MentionType.ANATOMY),
}


@pytest.fixture(scope="module")
def annotator(vocabulary_cache: Path) -> Annotator:
    return load_annotator(ModelSettings(device="cpu"), cache_dir=vocabulary_cache)


def test_it_is_the_default_and_tells_six_types_apart(annotator: Annotator) -> None:
    assert annotator.models[0].startswith("clinical@")
    found = annotator.annotate(Extraction("text/plain", (Page(1, NOTE),))).mentions
    missed = EXPECTED - {(each.text, each.type) for each in found}
    assert not missed, found
    (infarction,) = [each for each in found if each.text.startswith("myocardial")]
    assert infarction.assertion.polarity is Polarity.NEGATED
    assert "ICD10CM:I21.9" in {concept.code for concept in infarction.concepts}


@pytest.mark.parametrize("letter", LETTERS, ids=lambda path: path.stem)
def test_every_span_is_the_text_that_it_claims(annotator: Annotator, letter: Path) -> None:
    text = letter.read_text(encoding="utf-8")
    pages = (Page(1, text), Page(2, "\ufeff " + text.replace(" ", "\u00a0\n")))
    found = annotator.annotate(Extraction("text/plain", pages)).mentions
    assert {each.page for each in found} == {1, 2}
    for each in found:
        assert pages[each.page - 1].text[each.start : each.end] == each.text
    own = [(each.page, each.start, each.end) for each in found]
    assert own == sorted(own)
    assert all(one[2] <= other[1] for one, other in itertools.pairwise(own) if one[0] == other[0])


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_same_mentions_whatever_is_read_together(vocabulary: Vocabulary, batch: int) -> None:
    card = clinical.read_card(clinical.WEIGHTS)
    finder = load_finder(
        locate("minilm-l6").folder, clinical.WEIGHTS / card["weights"], vocabulary, device="cpu", threads=1
    )
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in LETTERS)
    wanted = finder.find(text)
    assert len(wanted) > 100
    finder._batch = batch
    assert finder.find(text) == wanted


def test_words_of_other_languages_get_no_codes_of_ours_by_chance(annotator: Annotator) -> None:
    text = "Der Hund läuft im Garten. Heute scheint die Sonne, und morgen gehen wir ins Kino. 今日は天気がいいです。"
    found = annotator.annotate(Extraction("text/plain", (Page(1, text),))).mentions
    assert not [each for each in found if each.concepts]


def test_a_seed_changes_nothing(annotator: Annotator) -> None:
    extraction = Extraction("text/plain", (Page(1, NOTE),))
    torch.manual_seed(1)
    one = annotator.annotate(extraction)
    torch.manual_seed(2)
    assert annotator.annotate(extraction) == one
