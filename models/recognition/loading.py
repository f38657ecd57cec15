"""The recogniser that the settings name."""

from __future__ import annotations

from pathlib import Path

from config.settings import ModelSettings
from models.recognition import Recogniser
from models.recognition.dictionary import DictionaryRecogniser
from models.terminology import ensure_vocabulary


def load_recogniser(settings: ModelSettings, *, cache_dir: Path | None = None) -> Recogniser:
    """Ready for use; vocabulary and index are kept below `cache_dir`. Raises `ModelUnavailable`."""
    vocabulary = ensure_vocabulary(cache_dir)
    if settings.recognizer == "dictionary":
        return DictionaryRecogniser(vocabulary)
    from models.recognition.clinical import load_clinical

    return load_clinical(settings, vocabulary, cache_dir=cache_dir)
