"""Where a model computes and in what numbers: from the settings, or found out where it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from config.settings import NumberType
from models.folders import ModelUnavailable

CPU_BATCH = 32
GPU_BATCH = 128
_TYPES = {
    NumberType.FLOAT32: torch.float32,
    NumberType.BFLOAT16: torch.bfloat16,
    NumberType.FLOAT16: torch.float16,
    NumberType.INT8: torch.float32,
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A device, and a number type that it computes in (never `auto`)."""

    device: torch.device
    numbers: NumberType

    @property
    def dtype(self) -> torch.dtype:
        """In which the weights are read; int8 is made of them then."""
        return _TYPES[self.numbers]

    @property
    def padding(self) -> int:
        """Texts are padded to a multiple of so many tokens, and only those of like length are read together.

        Roundings to int8 make the least differences in arithmetic visible: a text is always computed alike.
        """
        return 16 if self.numbers is NumberType.INT8 else 1

    @property
    def batch(self) -> int:
        """Passages that are embedded at once, where no setting says how many."""
        return GPU_BATCH if self.device.type == "cuda" else CPU_BATCH

    def __str__(self) -> str:
        return f"{self.device} {self.numbers.value}"


def choose_runtime(device: str, wanted: NumberType, flags: frozenset[str] | None = None) -> Runtime:
    """The runtime of the settings; `flags` are the processor's, found out when they are not given.

    `auto` is half precision on a GPU, bfloat16 on a processor that has instructions for it, which is slow on all
    others, and else float32. Raises `ModelUnavailable` for what the device cannot do.
    """
    there = torch_device(device)
    known = processor_flags() if flags is None else flags
    gpu = there.type == "cuda"
    if wanted is NumberType.AUTO:
        return Runtime(there, NumberType.FLOAT16 if gpu else _of_processor(known))
    if wanted is (NumberType.INT8 if gpu else NumberType.FLOAT16):
        raise ModelUnavailable(
            f"models.number_type is {wanted.value}, which is not for {'a GPU' if gpu else 'a CPU'}:"
            " choose another, or auto."
        )
    if wanted is NumberType.INT8 and not has_int8():
        raise ModelUnavailable("models.number_type is int8, but torch has no int8 for this processor.")
    return Runtime(there, wanted)


def torch_device(wanted: str) -> torch.device:
    """Raises `ModelUnavailable` for one that is not there, or that nobody knows."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ModelUnavailable(f"There is no device {wanted!r}: cpu, cuda, cuda:N, or auto.") from error
    if device.type == "cuda" and not 0 <= (device.index or 0) < torch.cuda.device_count():
        raise ModelUnavailable(
            f"The device is {wanted}, but no such CUDA device was found here. A worker sees those that its pool asks"
            " for (num_gpus), the query encoder those of its deployment."
        )
    return device


def processor_flags(facts: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, in Linux's words; empty where that is not known."""
    try:
        lines = facts.read_text().splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()[2:]) for line in lines if line.startswith("flags")), frozenset())


def has_int8() -> bool:
    """Whether torch multiplies int8 matrices on this kind of processor."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and hasattr(torch.ops.onednn, "qlinear_pointwise")


def _of_processor(flags: frozenset[str]) -> NumberType:
    if flags & {"avx512_bf16", "amx_bf16"}:
        return NumberType.BFLOAT16
    return NumberType.FLOAT32
