"""The models there are: which the settings choose, whether they are whole, and what they take when loaded."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.settings import ModelSettings
from domain.text import Extraction, Page
from models.annotation import load_annotator
from models.embedding import load_embedder
from models.encoders import SHIPPED as ENCODERS
from models.encoders import ModelUnavailable, locate, verify
from models.folders import WEIGHTS
from models.recognition.classifiers import SHIPPED as RECOGNISERS
from models.recognition.loading import check_recogniser

_PROBE = "No evidence of pneumonia. Known asthma, treated with salbutamol."


@dataclass(frozen=True, slots=True)
class Listed:
    """A model by the name that a setting has for it; `trouble` says what to do when it cannot be used."""

    kind: str
    setting: str
    model: str
    in_use: bool
    weights_bytes: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model at work: where and in what it computes, seconds and resident memory that loading it took."""

    kind: str
    model: str
    runtime: str
    seconds: float
    memory_bytes: int


def listed(settings: ModelSettings) -> Iterator[Listed]:
    """What is shipped, and what the settings choose beside it. Nothing is loaded."""
    for encoder in dict.fromkeys((*ENCODERS, settings.encoder)):
        yield _listed("encoder", encoder, settings.encoder, _encoder)
    for recogniser in dict.fromkeys((*RECOGNISERS, settings.recognizer)):
        yield _listed("recogniser", recogniser, settings.recognizer, lambda name: _recogniser(settings, name))


def loaded(settings: ModelSettings, cache_dir: Path) -> Iterator[Loaded]:
    """Load what the settings choose, one after the other, and try it. Raises `ModelUnavailable`."""
    verify(locate(settings.encoder))
    check_recogniser(settings)
    before = resident_bytes()
    yield Loaded("program", "", "", 0.0, before)
    start = time.perf_counter()
    annotator = load_annotator(settings, cache_dir=cache_dir)
    annotator.annotate(Extraction("text/plain", (Page(1, _PROBE),)))
    seconds, after = time.perf_counter() - start, resident_bytes()
    yield Loaded("annotator", ", ".join(annotator.models), "", seconds, after - before)
    before, start = after, time.perf_counter()
    embedder = load_embedder(settings)
    embedder.embed([_PROBE])
    seconds = time.perf_counter() - start
    yield Loaded("encoder", embedder.name, str(embedder.runtime), seconds, resident_bytes() - before)
    yield Loaded("together", "", "", 0.0, resident_bytes())


def _listed(kind: str, setting: str, chosen: str, look: Callable[[str], tuple[str, Path | None]]) -> Listed:
    try:
        model, weights = look(setting)
    except ModelUnavailable as error:
        return Listed(kind, setting, "", setting == chosen, 0, error.message)
    return Listed(kind, setting, model, setting == chosen, _size(weights))


def _encoder(name: str) -> tuple[str, Path]:
    encoder = verify(locate(name))
    return encoder.name, encoder.folder


def _recogniser(settings: ModelSettings, name: str) -> tuple[str, Path | None]:
    return check_recogniser(settings.model_copy(update={"recognizer": name}))


def _size(folder: Path | None) -> int:
    if folder is None:
        return 0
    return sum(file.stat().st_size for file in folder.glob(f"*{Path(WEIGHTS).suffix}"))


def resident_bytes() -> int:
    """Memory of this process."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)
