"""Which token classifier a setting means, and what its labels are to us. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.settings import ModelSettings
from models.encoders import readable_tokens
from models.folders import ModelUnavailable, find_folder, fingerprint, read_config
from models.recognition.labels import Label, read_labels

SHIPPED = ("dictionary", "clinical")


@dataclass(frozen=True, slots=True)
class Classifier:
    """A token classifier on this machine, with its labels as types of ours."""

    name: str
    """`name@version`; another map of the labels is another version."""
    folder: Path
    labels: tuple[Label, ...]
    longest: int
    """Tokens that it can read, special ones among them."""


def locate_classifier(settings: ModelSettings) -> Classifier:
    """What `models.recognizer` names: a folder or a hub id. Loads no weights.

    Raises `ModelUnavailable` when it is absent, incomplete or no token classifier, `UnknownLabel`.
    """
    folder, name = find_folder(settings.recognizer, setting="models.recognizer", shipped=SHIPPED)
    config = read_config(folder)
    if not any(str(each).endswith("ForTokenClassification") for each in config.get("architectures") or ()):
        raise ModelUnavailable(
            f"The model in {folder} is no token classifier: its config.json names no ...ForTokenClassification."
        )
    labels = read_labels(config.get("id2label") or {}, settings.recognizer_labels, name)
    said = "".join(f"{label.name}={label.type}\n" for label in labels)
    return Classifier(
        f"{name}@{fingerprint(folder, said=said)}", folder, tuple(labels), readable_tokens(config, folder)
    )
