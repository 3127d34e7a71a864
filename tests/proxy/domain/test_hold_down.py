from __future__ import annotations

from proxy.domain.hold_down import HELD_MAX, HOLD_DOWN_S, HoldDown


def test_what_failed_is_held_for_a_while_and_nothing_else_is() -> None:
    held = HoldDown()
    held.failed("a", 100.0)
    assert held.holds("a", 100.0 + HOLD_DOWN_S - 1)
    assert not held.holds("b", 100.0)
    assert not held.holds("a", 100.0 + HOLD_DOWN_S)


def test_who_fails_may_say_for_how_long() -> None:
    held = HoldDown()
    held.failed("a", 100.0, 300.0)
    assert held.holds("a", 399.0)
    assert not held.holds("a", 400.0)
    assert not held.holds("a", 150.0)


def test_a_clock_that_is_set_back_holds_nothing_for_ever() -> None:
    held = HoldDown()
    held.failed("a", 100.0)
    assert not held.holds("a", 50.0)


def test_it_never_grows_without_bound() -> None:
    held = HoldDown()
    for key in range(HELD_MAX + 10):
        held.failed(key, 0.0)
    assert sum(held.holds(key, 1.0) for key in range(HELD_MAX + 10)) == 10
