"""Our BERT is that of transformers, number for number; what it does not know goes there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.bert import Bert, read_bert
from models.encoders import ModelUnavailable, locate
from models.pretrained import read_encoder, read_pretrained
from tests.tiny_encoder import tiny_encoder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "tiny")


def restate(folder: Path, **changes: object) -> None:
    """Change the folder's `config.json`; None removes."""
    config = json.loads((folder / "config.json").read_text()) | changes
    stated = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(stated))


def inputs(vocabulary: int = 70) -> dict[str, torch.Tensor]:
    """Rows of several lengths."""
    ids = torch.randint(4, vocabulary, (5, 40), generator=torch.Generator().manual_seed(7))
    mask = (torch.arange(40) < torch.tensor([40, 1, 17, 39, 8])[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def states(model: torch.nn.Module, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of the tokens that are no padding."""
    with torch.inference_mode():
        return model(**given).last_hidden_state[given["attention_mask"].bool()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["shipped", "tiny"])
def test_the_same_numbers_as_transformers(name: str, dtype: torch.dtype, tiny: Path) -> None:
    folder = tiny if name == "tiny" else locate("minilm-l6").folder
    ours, theirs = read_encoder(folder, dtype), read_pretrained("AutoModel", folder, dtype)
    assert isinstance(ours, Bert)
    assert {parameter.dtype for parameter in ours.parameters()} == {dtype}
    assert torch.allclose(states(ours, inputs()), states(theirs, inputs()), atol=1e-6)


def test_word_embeddings_may_be_given_instead_of_tokens(tiny: Path) -> None:
    model, given = read_encoder(tiny, torch.float32), inputs()
    embedded = model.embeddings.word_embeddings(given["input_ids"])
    again = {"inputs_embeds": embedded, "attention_mask": given["attention_mask"]}
    assert torch.equal(states(model, given), states(model, again))


@pytest.mark.parametrize(("hidden", "attention"), [(0.0, 0.5), (0.5, 0.0), (0.2, 0.3)])
def test_training_drops_out_as_in_transformers(tiny: Path, hidden: float, attention: float) -> None:
    restate(tiny, hidden_dropout_prob=hidden, attention_probs_dropout_prob=attention)
    ours, theirs = read_encoder(tiny, torch.float32), read_pretrained("AutoModel", tiny, torch.float32)
    inferred = states(ours, inputs())
    trained = []
    for model in (ours, theirs):
        torch.manual_seed(3)
        trained.append(states(model.train(), inputs()))
    assert torch.equal(*trained)
    assert not torch.equal(trained[0], inferred)


def test_the_configuration_may_be_changed(tiny: Path) -> None:
    restate(tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    for activation in ("gelu", "relu"):  # ours, that of transformers
        restate(tiny, hidden_act=activation)
        model = read_encoder(tiny, torch.float32, attention_probs_dropout_prob=0.0)
        inferred = states(model, inputs())
        assert torch.equal(states(model.train(), inputs()), inferred)


def test_reading_takes_no_random_numbers_that_a_seed_stands_for(tiny: Path) -> None:
    before = torch.get_rng_state()
    read_encoder(tiny, torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


WORKER = """
import pathlib, sys
from config.settings import ModelSettings
from models.annotation import load_annotator
from models.embedding import load_embedder

load_embedder(ModelSettings()).embed(["fever"])
load_annotator(ModelSettings(), cache_dir=pathlib.Path(sys.argv[1]))
assert "transformers" not in sys.modules
"""


def test_a_worker_loads_what_is_shipped_without_transformers(vocabulary_cache: Path) -> None:
    subprocess.run([sys.executable, "-c", WORKER, str(vocabulary_cache)], check=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 3},
        {"num_attention_heads": 0},
        {"num_attention_heads": 2.0},
        {"layer_norm_eps": "1e-12"},
        {"pad_token_id": 100_000},
        {"pad_token_id": True},
        {"hidden_dropout_prob": 1.5},
        {"add_cross_attention": True},
        {"intermediate_size": 65},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_when_it_is_read(tiny: Path, changes: dict[str, object]) -> None:
    restate(tiny, **changes)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        read_encoder(tiny, torch.float32)


def test_weights_of_a_model_with_a_head_are_found(tiny: Path) -> None:
    wanted = states(read_encoder(tiny, torch.float32), inputs())
    stored = {f"bert.{name}": value for name, value in load_file(tiny / "model.safetensors").items()}
    head = {"classifier.weight": torch.zeros(2, 32)}
    save_file({**stored, **head}, tiny / "model.safetensors", metadata={"format": "pt"})
    model = read_encoder(tiny, torch.float32)
    assert isinstance(model, Bert)
    assert torch.equal(states(model, inputs()), wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "roberta"},  # under the same names, with other positions
        {"hidden_act": "relu"},
        {"hidden_act": None},
        {"is_decoder": True},
        {"layer_norm_eps": None},
    ],
    ids=str,
)
def test_variants_are_read_by_transformers(tiny: Path, changes: dict[str, object]) -> None:
    restate(tiny, **changes)
    model = read_encoder(tiny, torch.float32)
    assert not isinstance(model, Bert)
    theirs = read_pretrained("AutoModel", tiny, torch.float32)
    assert torch.equal(states(model, inputs()), states(theirs, inputs()))


@pytest.mark.parametrize(
    "more",
    [{"position_embedding_type": "relative_key"}, {"quantization_config": {}}, {"transformers_weights": "x"}],
)
def test_what_only_transformers_can_heed_is_left_to_it(tiny: Path, more: dict[str, object]) -> None:
    restate(tiny, **more)
    assert read_bert(tiny, torch.float32, {}) is None


def test_a_name_for_two_weights_is_left_to_transformers(tiny: Path) -> None:
    stored = load_file(tiny / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    save_file(
        {**stored, f"bert.{name}": stored[name] + 1}, tiny / "model.safetensors", metadata={"format": "pt"}
    )
    assert read_bert(tiny, torch.float32, {}) is None


def test_weights_may_change_under_a_model_that_was_read(tiny: Path) -> None:
    model = read_encoder(tiny, torch.float32)
    before = states(model, inputs())
    with (tiny / "model.safetensors").open("r+b") as file:
        file.truncate(0)
    assert torch.equal(states(model, inputs()), before)
