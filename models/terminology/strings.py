"""Many strings in two arrays, so that they can be mapped from a file instead of living as Python objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.uint32]


def part(flat: Rows, ends: Rows, index: int) -> Rows:
    """Part `index` of many lists in one array, of which `ends` says where each ends."""
    start = int(ends[index - 1]) if index else 0
    return flat[start : int(ends[index])]


def mapped(path: Path) -> npt.NDArray[Any]:
    """An array of a file, its pages shared; not as `numpy.memmap`, whose items are slow to get."""
    return np.asarray(np.load(path, mmap_mode="r"))


class StringTable:
    """An immutable list of strings: item `i` is `blob[ends[i-1]:ends[i]]` in UTF-8."""

    def __init__(self, blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.uint32]) -> None:
        self._blob = blob
        self._ends = ends

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        encoded = [string.encode() for string in strings]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.uint32)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    @classmethod
    def load(cls, folder: Path, name: str) -> StringTable:
        """Map the table that `save` wrote."""
        return cls(*(mapped(folder / f"{name}.{part}.npy") for part in ("blob", "ends")))

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.blob.npy", self._blob)
        np.save(folder / f"{name}.ends.npy", self._ends)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        return self._blob[start : int(self._ends[index])].tobytes().decode()

    def find(self, string: str) -> int | None:
        """Index of `string` in a sorted table."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < string:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self[low] == string else None
