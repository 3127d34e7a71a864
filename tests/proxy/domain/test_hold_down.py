from __future__ import annotations

from proxy.domain.hold_down import HoldDown


def test_who_failed_is_left_alone_for_a_while() -> None:
    held = HoldDown(seconds=20)
    held.failed("a", now=100)
    assert held.holds("a", now=119)
    assert not held.holds("b", now=119)
    assert not held.holds("a", now=120)


def test_too_many_are_forgotten() -> None:
    held = HoldDown(seconds=20, keys_max=2)
    for key in "abc":
        held.failed(key, now=100)
    assert [key for key in "abc" if held.holds(key, now=101)] == ["c"]
