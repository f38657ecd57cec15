"""Token classifiers from elsewhere: labels are mapped or refused, spans are exact, whatever the text and batching."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForTokenClassification

from config.settings import ModelSettings
from domain.text import MentionType, Page
from models.encoders import ModelUnavailable, locate
from models.recognition.classifiers import Classifier, locate_classifier
from models.recognition.labels import NOTHING, Label, UnknownLabel, read_labels, spans_of_labels
from models.recognition.loading import check_recogniser, load_recogniser
from models.recognition.token_classification import ClassifierFinder

PROBLEM, DRUG = MentionType.PROBLEM, MentionType.DRUG
LABELS = ("O", "B-Disease", "I-Disease", "B-Chemical", "I-Chemical", "B-Date", "I-Date")
MAP = {"disease": "problem", "Chemical": "drug", "DATE": NOTHING}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small token classifier with random weights, hence it finds mentions everywhere."""
    torch.manual_seed(3)
    place = tmp_path_factory.mktemp("models") / "small-ner"
    model = BertForTokenClassification(
        BertConfig(
            vocab_size=30522,
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
        )
    )
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    model.save_pretrained(place)
    shutil.copy(locate("minilm-l6").folder / "tokenizer.json", place)
    return place


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return located(folder)


@pytest.fixture(scope="module")
def finder(classifier: Classifier) -> ClassifierFinder:
    return ClassifierFinder(classifier, device=CPU, threads=1)


def located(folder: Path, mapping: Mapping[str, str] = MAP) -> Classifier:
    return locate_classifier(ModelSettings(recognizer=str(folder), recognizer_labels=dict(mapping)))


class TestLabels:
    def numbered(self, *labels: str) -> dict[object, object]:
        return {str(number): label for number, label in enumerate(labels)}

    def spans(
        self, *labels: str, mapping: Mapping[str, str] | None = None
    ) -> list[tuple[int, int, MentionType]]:
        known = read_labels(self.numbered(*dict.fromkeys(labels)), mapping or {}, "m")
        by_label = dict(zip(dict.fromkeys(labels), known, strict=True))
        return list(spans_of_labels([by_label[label] for label in labels]))

    def test_begin_inside_outside(self) -> None:
        assert self.spans("O", "B-drug", "I-drug", "B-drug", "O", "I-Problem") == [
            (1, 3, DRUG),
            (3, 4, DRUG),
            (5, 6, PROBLEM),
        ]

    def test_ends_and_singles(self) -> None:
        assert self.spans("B-drug", "E-drug", "I-drug", "S-drug", "S-drug", "U-drug", "L-drug") == [
            (0, 2, DRUG),
            (2, 3, DRUG),
            (3, 4, DRUG),
            (4, 5, DRUG),
            (5, 6, DRUG),
            (6, 7, DRUG),
        ]

    def test_plain_labels_make_one_span_of_neighbours(self) -> None:
        assert self.spans("drug", "drug", "O", "problem", "drug") == [
            (0, 2, DRUG),
            (3, 4, PROBLEM),
            (4, 5, DRUG),
        ]

    def test_a_dash_is_part_of_a_name_where_it_is_no_prefix(self) -> None:
        assert self.spans("X-ray", "O", "B-X-ray", mapping={"X-ray": "test"}) == [
            (0, 1, MentionType.TEST),
            (2, 3, MentionType.TEST),
        ]

    def test_what_is_not_wanted_ends_what_was_before(self) -> None:
        assert self.spans("B-drug", "B-dose", "I-drug", mapping={"dose": NOTHING}) == [
            (0, 1, DRUG),
            (2, 3, DRUG),
        ]

    def test_a_type_of_two_names_is_not_joined_across_them(self) -> None:
        mapping = {"Disease": "problem", "Syndrome": "problem"}
        assert self.spans("B-Disease", "I-Syndrome", mapping=mapping) == [(0, 1, PROBLEM), (1, 2, PROBLEM)]

    @pytest.mark.parametrize(
        ("labels", "mapping", "says"),
        [
            (("O", "B-Disease", "I-Gene"), {}, "Disease, Gene"),
            (("O", "B-Disease"), {"Disease": "illness"}, "no types of ours: Disease"),
            (("O", "B-drug"), {"Durg": "drug"}, "names durg, but m has drug"),
            (("LABEL_0", "LABEL_1"), {}, "LABEL_0, LABEL_1"),
        ],
    )
    def test_an_unknown_label_is_refused(
        self, labels: tuple[str, ...], mapping: dict[str, str], says: str
    ) -> None:
        with pytest.raises(UnknownLabel, match=says) as refused:
            read_labels(self.numbered(*labels), mapping, "m")
        assert refused.value.code == "models.labels"

    @pytest.mark.parametrize("labels", [{"1": "O"}, {"a": "O"}, {"0": "O", "2": "drug"}])
    def test_labels_that_are_not_numbered_are_refused(self, labels: dict[object, object]) -> None:
        with pytest.raises(ModelUnavailable, match="numbered"):
            read_labels(labels, {}, "m")


class TestFolder:
    def test_name_follows_content_and_map(self, folder: Path, classifier: Classifier) -> None:
        assert classifier.name.startswith("small-ner@")
        assert classifier.labels[1] == Label("Disease", PROBLEM, begins=True)
        assert classifier.longest == 64
        assert located(folder).name == classifier.name
        assert located(folder, MAP | {"Date": "test", "DATE": "test"}).name != classifier.name

    def test_labels_without_a_map_are_refused(self, folder: Path) -> None:
        with pytest.raises(UnknownLabel, match="Chemical, Date, Disease"):
            located(folder, {})

    def test_another_kind_of_model_is_refused(self) -> None:
        with pytest.raises(ModelUnavailable, match="no token classifier"):
            located(locate("minilm-l6").folder)

    @pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
    def test_a_missing_file_is_named(self, folder: Path, tmp_path: Path, missing: str) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / missing).unlink()
        with pytest.raises(ModelUnavailable, match=missing):
            located(copy)

    def test_an_altered_file_is_another_version_or_refused(
        self, folder: Path, tmp_path: Path, classifier: Classifier
    ) -> None:
        copy = tmp_path / "small-ner"
        shutil.copytree(folder, copy)
        assert located(copy).name == classifier.name
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
        assert located(copy).name != classifier.name

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ModelUnavailable, match="dictionary, clinical"):
            check_recogniser(ModelSettings(recognizer="clinicl"))

    def test_offline_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelUnavailable, match=r"hf download nobody/no-such.*models\.recognizer"):
            check_recogniser(ModelSettings(recognizer="nobody/no-such"))


class TestFinding:
    TEXT = "Fever and chest pain; aspirin 100 mg daily. " * 40

    def test_long_texts_are_read_whole_and_the_same_whatever_the_batches(
        self, classifier: Classifier, finder: ClassifierFinder
    ) -> None:
        found = finder.find(self.TEXT)
        assert found[-1][1] > len(self.TEXT) - 60
        assert {kind for *_, kind in found} == {PROBLEM, DRUG}
        assert ClassifierFinder(classifier, device=CPU, threads=1, batch=1).find(self.TEXT) == found

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(max_size=300))
    def test_any_text(self, finder: ClassifierFinder, text: str) -> None:
        behind = 0
        for start, end, _ in finder.find(text):
            assert behind <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
            behind = end

    @pytest.mark.parametrize("text", ["", " \n\t", "\n" * 10_000, "x" * 100_000, "\x00\x01", "مرحبا 👩‍⚕️"])
    def test_hard_texts(self, finder: ClassifierFinder, text: str) -> None:
        self.test_any_text.hypothesis.inner_test(self, finder, text)

    def test_as_the_recogniser_of_the_settings(self, folder: Path, vocabulary_cache: Path) -> None:
        chosen = ModelSettings(recognizer=str(folder), recognizer_labels=MAP, device="cpu")
        recogniser = load_recogniser(chosen, cache_dir=vocabulary_cache)
        name, place = check_recogniser(chosen)
        assert recogniser.name.startswith(f"{name}+dictionary@")
        assert place == folder
        mentions = recogniser.recognise([Page(1, "Fever and chest pain."), Page(2, self.TEXT)])
        assert mentions
        assert all(
            each.text == (self.TEXT if each.page == 2 else "Fever and chest pain.")[each.start : each.end]
            for each in mentions
        )
