"""Where models compute and in what numbers; int8 is float32 within its steps, the same whatever the batching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from config.settings import ModelSettings, NumberType
from models import embedding
from models.embedding import TransformerEmbedder, load_embedder
from models.encoders import ModelUnavailable
from models.int8 import CALIBRATION, Int8Linear, quantise
from models.runtime import (
    CPU_BATCH,
    GPU_BATCH,
    Runtime,
    choose_runtime,
    has_int8,
    processor_flags,
    torch_device,
)

TEXTS = ["Pneumonia of the left lower lobe.", "", "fever " * 400, "x", "No fever, no chills.", "pain " * 90]
needs_int8 = pytest.mark.skipif(not has_int8(), reason="torch has no int8 for this processor")


@pytest.mark.parametrize(
    ("flags", "numbers"),
    [
        ("avx2", NumberType.FLOAT32),
        ("avx2 avx512f avx512_vnni", NumberType.FLOAT32),
        ("avx512_vnni avx512_bf16", NumberType.BFLOAT16),
        ("", NumberType.FLOAT32),
    ],
)
def test_the_number_type_follows_the_processor(flags: str, numbers: NumberType) -> None:
    assert choose_runtime("cpu", NumberType.AUTO, frozenset(flags.split())).numbers is numbers


def test_what_is_set_is_taken() -> None:
    chosen = choose_runtime("cpu", NumberType.BFLOAT16, frozenset())
    assert (chosen.device.type, chosen.dtype) == ("cpu", torch.bfloat16)
    assert str(chosen) == "cpu bfloat16"


def test_batches_are_larger_on_a_gpu() -> None:
    assert Runtime(torch.device("cpu"), NumberType.FLOAT32).batch == CPU_BATCH
    assert Runtime(torch.device("cuda:0"), NumberType.FLOAT16).batch == GPU_BATCH > CPU_BATCH


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_an_unknown_device_is_an_error(device: str) -> None:
    with pytest.raises(ModelUnavailable, match="no device"):
        torch_device(device)


@pytest.mark.parametrize("device", ["cuda:99", "cuda:7"])
def test_a_device_that_is_not_there_says_where_devices_come_from(device: str) -> None:
    with pytest.raises(ModelUnavailable, match="num_gpus"):
        torch_device(device)


def test_half_precision_is_not_for_a_cpu() -> None:
    with pytest.raises(ModelUnavailable, match=r"float16.*not for a CPU"):
        choose_runtime("cpu", NumberType.FLOAT16)


def test_flags_of_a_processor(tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\nbugs\t\t: mds\n")
    assert processor_flags(facts) == {"fpu", "avx2", "avx512_vnni"}
    assert processor_flags(tmp_path / "absent") == frozenset()


@pytest.fixture(scope="module")
def exact() -> TransformerEmbedder:
    return load_embedder(ModelSettings(number_type=NumberType.FLOAT32, device="cpu"))


@pytest.fixture(scope="module")
def rounded() -> TransformerEmbedder:
    return load_embedder(ModelSettings(number_type=NumberType.INT8, device="cpu", embed_batch=3))


@needs_int8
class TestInt8:
    def test_a_layer_is_itself_within_its_steps(self) -> None:
        torch.manual_seed(0)
        layer = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 8, bias=False))
        inputs = torch.rand(200, 64) * 4 - 1
        with torch.inference_mode():
            wanted = layer(inputs)
            quantise(layer, lambda: layer(inputs))
            assert all(isinstance(part, Int8Linear) for part in layer)
            assert torch.allclose(layer(inputs), wanted, atol=0.03)
            assert torch.equal(layer(inputs[5:9]), layer(inputs)[5:9])
            assert torch.isfinite(layer(inputs * 1e6)).all()

    def test_the_same_whatever_the_batching(self, rounded: TransformerEmbedder) -> None:
        together = rounded.embed(TEXTS)
        alone = np.vstack([rounded.embed([text]) for text in TEXTS])
        assert np.abs(together - alone).max() < 1e-5

    def test_vectors_are_those_of_float32_nearly(
        self, exact: TransformerEmbedder, rounded: TransformerEmbedder
    ) -> None:
        assert exact.name == rounded.name
        agreement = (exact.embed(TEXTS) * rounded.embed(TEXTS)).sum(axis=1)
        assert agreement.min() > 0.95
        assert agreement.mean() > 0.98

    def test_a_model_that_it_harms_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedding, "LEAST_AGREEMENT", 1.1)
        with pytest.raises(ModelUnavailable, match=r"int8.*mean cosine 0\.99"):
            load_embedder(ModelSettings(number_type=NumberType.INT8, device="cpu"))

    def test_calibration_texts_are_of_many_kinds(self) -> None:
        assert len(set(CALIBRATION)) == len(CALIBRATION) > 10
