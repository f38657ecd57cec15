"""Windows counted in the process."""

from __future__ import annotations

from stores.own_windows import OwnWindows


def test_a_window_moves_and_refused_ones_do_not_count() -> None:
    now = [0.0]
    windows = OwnWindows(clock=lambda: now[0])
    taken = []
    for second in range(4):
        now[0] = second
        taken.append(windows.count("k", 2, 10))
    assert [one.allowed for one in taken] == [True, True, False, False]
    assert [one.used for one in taken] == [1, 2, 2, 2]
    assert taken[-1].reset_seconds == 7
    now[0] = 10
    assert windows.look("k", 2, 10).used == 1
    assert windows.count("k", 2, 10).allowed
    windows.forget("k")
    assert windows.look("k", 2, 10).used == 0


def test_the_memory_is_bounded_and_keeps_what_is_used() -> None:
    windows = OwnWindows(clock=lambda: 0.0, capacity=3)
    for key in ("a", "b", "c", "a", "d"):
        windows.count(key, 5, 10)
    assert [windows.look(key, 5, 10).used for key in "abcd"] == [2, 0, 1, 1]
