"""The recogniser that the settings name."""

from __future__ import annotations

from pathlib import Path

from config.settings import ModelSettings
from models.linking import load_linker
from models.recognition import Recogniser, clinical
from models.recognition.classifiers import locate_classifier
from models.recognition.dictionary import DictionaryRecogniser
from models.terminology import ensure_vocabulary


def load_recogniser(settings: ModelSettings, *, cache_dir: Path | None = None) -> Recogniser:
    """Ready for use; vocabulary and index are kept below `cache_dir`. Raises `ModelUnavailable`."""
    vocabulary = ensure_vocabulary(cache_dir)
    if settings.recognizer == "dictionary":
        return DictionaryRecogniser(vocabulary)
    if settings.recognizer == "clinical":
        return clinical.load_clinical(settings, vocabulary, cache_dir=cache_dir)
    from models.recognition.token_classification import ClassifierFinder
    from models.runtime import torch_device

    classifier = locate_classifier(settings)
    finder = ClassifierFinder(classifier, device=torch_device(settings.device), threads=settings.threads)
    linker = load_linker(vocabulary, cache_dir=cache_dir)
    return clinical.ClinicalRecogniser(finder, vocabulary, linker, name=classifier.name)


def check_recogniser(settings: ModelSettings) -> tuple[str, Path | None]:
    """(`name@version`, folder of the weights, if any) of the recogniser in the settings, without loading it.

    Raises `ModelUnavailable` when it is absent or altered, or its labels are not known.
    """
    if settings.recognizer == "dictionary":
        return "dictionary", None
    if settings.recognizer == "clinical":
        card = clinical.read_card(clinical.WEIGHTS)
        clinical.encoder_of_card(card)
        return str(card["name"]), clinical.WEIGHTS
    classifier = locate_classifier(settings)
    return classifier.name, classifier.folder
