"""Moving windows counted in this process, without waiting: what holds while nothing outside can be asked."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from stores.ports import Allowance

CAPACITY = 100_000
"""Most keys counted at once; past it the ones longest unused are forgotten."""


class OwnWindows:
    """Counts by key. Refused ones do not count, so that a window moves on whatever is tried meanwhile."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def look(self, key: str, limit: int, seconds: int) -> Allowance:
        """As it stands now, nothing counted."""
        now = self._clock()
        taken = self._taken.get(key, deque())
        while taken and taken[0] <= now - seconds:
            taken.popleft()
        reset = taken[0] + seconds - now if taken else 0.0
        return Allowance(len(taken) < limit, max(0, limit - len(taken)), reset, len(taken))

    def count(self, key: str, limit: int, seconds: int) -> Allowance:
        """Count one, if there are fewer than `limit`."""
        before = self.look(key, limit, seconds)
        if not before.allowed:
            return before
        self._taken.setdefault(key, deque()).append(self._clock())
        self._taken.move_to_end(key)
        while len(self._taken) > self._capacity:
            self._taken.popitem(last=False)
        return replace(self.look(key, limit, seconds), allowed=True)

    def give_back(self, key: str) -> None:
        """Uncount the newest."""
        if taken := self._taken.get(key):
            taken.pop()

    def forget(self, key: str) -> None:
        self._taken.pop(key, None)
