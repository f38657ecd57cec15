"""Low-rank changes to the linear layers of an encoder (LoRA; Hu et al. 2022), and the one that we ship.

A file has, for each changed layer, `LAYER.down` (rank, inputs) and `LAYER.up` (outputs, rank); the layer's weight
becomes `weight + up @ down`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.folders import ModelUnavailable

DOWN, UP = ".down", ".up"


class LowRank(nn.Module):
    """A linear layer that stays as it is, and a change of low rank that learns; it begins as no change."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) * linear.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.on = True

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.linear(inputs)
        return outputs + (inputs @ self.down.T) @ self.up.T if self.on else outputs


def attach(model: nn.Module, rank: int) -> dict[str, LowRank]:
    """Freeze the model and put a `LowRank` in the place of each linear layer of its blocks; by the layers' names."""
    model.requires_grad_(requires_grad=False)
    changed = {
        name: LowRank(layer, rank)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and ".layer." in name
    }
    for name, layer in changed.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    return changed


def write(changed: dict[str, LowRank], file: Path) -> None:
    """Store the changes in half precision."""
    tensors = {}
    for name, layer in changed.items():
        tensors[name + DOWN] = layer.down.detach().half().contiguous()
        tensors[name + UP] = layer.up.detach().half().contiguous()
    save_file(tensors, file)


def adapt(model: nn.Module, file: Path) -> None:
    """Change the weights of a model for good. Raises `ModelUnavailable` where the file is not of this model."""
    try:
        tensors = load_file(file)
        for name in sorted({key.rpartition(".")[0] for key in tensors}):
            weight = model.get_parameter(f"{name}.weight")
            change = tensors[name + UP].float() @ tensors[name + DOWN].float()
            with torch.no_grad():
                weight.add_(change.to(weight))
    except (OSError, SafetensorError, AttributeError, KeyError, RuntimeError) as error:
        raise ModelUnavailable(
            f"The adapter {file} is not one of this model: install medsearch again."
        ) from error
