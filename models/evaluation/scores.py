"""Precision, recall and F1 out of counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """What was found rightly, found wrongly, and missed. Counts of several parts add up (micro average)."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Of what was found, the share that is right; 0 when nothing was found."""
        found = self.right + self.wrong
        return self.right / found if found else 0.0

    @property
    def recall(self) -> float:
        """Of what is there, the share that was found; 0 when there is nothing."""
        return self.right / self.support if self.support else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 when nothing is right."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 0.0

    @property
    def support(self) -> int:
        """How many there are."""
        return self.right + self.missed

    def figures(self) -> dict[str, float | int]:
        """For a table or JSON; shares rounded to four places."""
        return {
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            "support": self.support,
        }


NONE = Counts()
"""Where there was nothing to find, and nothing was found."""
