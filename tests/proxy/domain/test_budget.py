from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.budget import WINDOW_S, Budget, Lane, Reservation


def reserved(budget: Budget, lane: Lane, now: float) -> Reservation | None:
    found = budget.reserve(lane, True, now)
    return found if isinstance(found, Reservation) else None


@given(st.integers(1, 12), st.lists(st.tuples(st.floats(0, 20), st.floats(0, 10), st.sampled_from(Lane)), max_size=80))
def test_no_window_ever_sees_more_calls_than_the_limit(limit: int, calls: list[tuple[float, float, Lane]]) -> None:
    """Whatever moment within a call upstream counts it at; here at its end, the worst for the calls after it."""
    budget = Budget.starting(limit)
    now = 0.0
    counted_at: list[float] = []
    running: list[tuple[float, Reservation]] = []
    for pause, duration, lane in calls:
        now += pause
        for ended in [each for each in running if each[0] <= now]:
            budget.release(ended[1], ended[0])
            running.remove(ended)
        if reservation := reserved(budget, lane, now):
            counted_at.append(now + duration)
            running.append((now + duration, reservation))
    for start in counted_at:
        assert sum(start <= at < start + WINDOW_S for at in counted_at) <= limit


def test_the_wait_it_names_is_long_enough() -> None:
    budget = Budget.starting(2)
    for at in (0.0, 10.0):
        reservation = reserved(budget, Lane.SHOPPER, at)
        assert reservation
        budget.release(reservation, at + 1)
    wait = budget.reserve(Lane.SHOPPER, True, 20.0)
    assert wait == pytest.approx(41.0)
    assert isinstance(budget.reserve(Lane.SHOPPER, True, 20.0 + 41.0), Reservation)


def test_a_third_is_kept_for_shoppers() -> None:
    budget = Budget.starting(60)
    background = [reserved(budget, Lane.MATCHING, second / 2) for second in range(120)]
    assert sum(each is not None for each in background) == 40
    shoppers = [reserved(budget, Lane.SHOPPER, 60.0) for _ in range(60)]
    assert sum(each is not None for each in shoppers) == 20


def test_background_work_is_spread_over_the_minute() -> None:
    budget = Budget.starting(60)
    assert reserved(budget, Lane.MATCHING, 0.0)
    assert budget.reserve(Lane.SWEEP, True, 0.5) == pytest.approx(1.0)
    assert reserved(budget, Lane.SHOPPER, 0.5), "shoppers are not paced"
    assert reserved(budget, Lane.SWEEP, 1.5)


def test_without_a_limit_nobody_waits() -> None:
    budget = Budget.starting(0)
    assert all(reserved(budget, Lane.MATCHING, 0.0) for _ in range(1000))


def test_an_anonymous_limit_does_not_overwrite_the_identified_one() -> None:
    budget = Budget.starting(None)
    budget.learn(False, 25, 24, 0.0)
    budget.learn(True, 50, 49, 0.0)
    assert budget.limits == {True: 50, False: 25}


def test_a_low_remaining_is_believed_and_a_high_one_is_not() -> None:
    budget = Budget.starting(None)
    budget.learn(True, 60, 5, 0.0)
    budget.learn(True, 60, 59, 1.0)
    assert budget.remaining(True, 1.0) == 5
    assert budget.remaining(True, WINDOW_S + 1) == 60


def test_the_operators_limit_is_not_learned_away() -> None:
    budget = Budget.starting(10)
    budget.learn(True, 60, 3, 0.0)
    assert budget.remaining(True, 0.0) == 10
