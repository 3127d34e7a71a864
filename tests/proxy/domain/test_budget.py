from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.budget import (
    COOL_DOWN_FIRST_S,
    GUARANTEED,
    PROMISE_LONGEST_S,
    PROMISED_CALL_S,
    RUNNING_LOOK_AGAIN_S,
    WINDOW_S,
    Budget,
    Lane,
    Queue,
    Reservation,
)

BACKGROUND = (Lane.CHECK, Lane.SWEEP, Lane.MATCHING, Lane.REFRESH)


def waiting(*lanes: Lane) -> set[Queue]:
    return {Queue(lane, identified=True) for lane in lanes}


def reserved(budget: Budget, lane: Lane, now: float, *others: Lane) -> Reservation | None:
    queue = Queue(lane, identified=True)
    return budget.take(queue, now) if budget.admit(waiting(lane, *others), now) == queue else None


def used_up(limit: int, now: float = 0.0) -> Budget:
    budget = Budget.starting(limit)
    for _ in range(limit):
        reservation = reserved(budget, Lane.SHOPPER, now)
        assert reservation
        budget.release(reservation, now)
    return budget


def over_a_minute(budget: Budget, *lanes: Lane) -> dict[Lane, int]:
    """How many calls each lane gets when all of them always have work; every call takes no time."""
    admitted = dict.fromkeys(lanes, 0)
    for tick in range(int(WINDOW_S * 10)):
        while isinstance(queue := budget.admit(waiting(*lanes), tick / 10), Queue):
            budget.release(budget.take(queue, tick / 10), tick / 10)
            admitted[queue.lane] += 1
    return admitted


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


@given(st.integers(1, 80), st.sets(st.sampled_from(Lane), min_size=1))
def test_whoever_waits_alone_or_with_others_gets_something_and_all_that_is_free_is_used(
    limit: int, lanes: set[Lane]
) -> None:
    admitted = over_a_minute(Budget.starting(limit), *lanes)
    assert sum(admitted.values()) <= limit
    if Lane.SHOPPER in lanes:
        # Background work is paced: the last calls that are kept for it may wait beyond the minute.
        assert sum(admitted.values()) >= limit - len(GUARANTEED.keys() & lanes)
    assert any(admitted.values())


def test_the_wait_it_names_is_long_enough() -> None:
    budget = Budget.starting(2)
    for at in (0.0, 10.0):
        reservation = reserved(budget, Lane.SHOPPER, at)
        assert reservation
        budget.release(reservation, at + 1)
    wait = budget.admit(waiting(Lane.SHOPPER), 20.0)
    assert wait == pytest.approx(41.0)
    assert isinstance(budget.admit(waiting(Lane.SHOPPER), 20.0 + 41.0), Queue)


def test_a_call_that_was_never_made_does_not_count() -> None:
    budget = Budget.starting(1)
    reservation = reserved(budget, Lane.SHOPPER, 0.0)
    assert reservation
    budget.give_back(reservation)
    assert reserved(budget, Lane.SHOPPER, 0.0)


# --- lanes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", BACKGROUND)
def test_a_third_is_kept_for_shoppers(lane: Lane) -> None:
    budget = Budget.starting(60)
    assert over_a_minute(budget, lane) == {lane: 40}
    shoppers = [reserved(budget, Lane.SHOPPER, WINDOW_S - 0.1) for _ in range(60)]
    assert sum(each is not None for each in shoppers) == 20


def test_shoppers_have_everything_while_nobody_else_has_work() -> None:
    assert over_a_minute(Budget.starting(60), Lane.SHOPPER) == {Lane.SHOPPER: 60}


def test_each_guaranteed_lane_gets_its_fifths_of_the_rest_even_from_shoppers() -> None:
    assert over_a_minute(Budget.starting(60), Lane.SHOPPER, *BACKGROUND) == {
        Lane.SHOPPER: 20,
        Lane.CHECK: 24,
        Lane.SWEEP: 8,
        Lane.MATCHING: 8,
        Lane.REFRESH: 0,
    }


def test_beyond_the_guaranteed_shares_the_more_urgent_lane_wins() -> None:
    admitted = over_a_minute(Budget.starting(60), *BACKGROUND)
    assert admitted == {Lane.CHECK: 24, Lane.SWEEP: 8, Lane.MATCHING: 8, Lane.REFRESH: 0}


def test_lanes_short_of_their_share_take_turns() -> None:
    budget, order, now = Budget.starting(60), [], 0.0
    for _ in range(6):
        queue = budget.admit(waiting(*BACKGROUND), now)
        assert isinstance(queue, Queue)
        budget.release(budget.take(queue, now), now)
        order.append(queue.lane)
        now += 1.5
    assert order == [Lane.CHECK, Lane.SWEEP, Lane.MATCHING] * 2


def test_background_work_is_spread_over_the_minute() -> None:
    budget = Budget.starting(60)
    assert reserved(budget, Lane.MATCHING, 0.0)
    assert budget.admit(waiting(Lane.SWEEP), 0.5) == pytest.approx(1.0)
    assert reserved(budget, Lane.SHOPPER, 0.5), "shoppers are not paced"
    assert reserved(budget, Lane.SWEEP, 1.5)


def test_a_lane_without_room_does_not_hold_up_another() -> None:
    """Anonymous calls have used up their 25, calls with a credential have room."""
    budget = Budget.starting(None)
    for _ in range(25):
        assert reserved(budget, Lane.SHOPPER, 0.0)
    assert budget.admit({Queue(Lane.SHOPPER, False), Queue(Lane.SHOPPER, True)}, 0.0) == Queue(Lane.SHOPPER, True)


def test_without_a_limit_nobody_waits_and_nothing_is_kept() -> None:
    budget = Budget.starting(0)
    assert all(reserved(budget, Lane.MATCHING, 0.0) for _ in range(1000))
    assert budget.own_calls() == ()


# --- others behind the same address -------------------------------------------------------------------------------


def test_the_calls_of_other_processes_count() -> None:
    budget = Budget.starting(2)
    budget.see_others([Reservation(Lane.SHOPPER, 0.0, ended_at=1.0), Reservation(Lane.SHOPPER, 0.0)])
    assert reserved(budget, Lane.SHOPPER, 2.0) is None
    assert reserved(budget, Lane.SHOPPER, 61.0), "the ended one has aged out"


def test_while_others_cannot_be_seen_each_keeps_to_its_part() -> None:
    budget = Budget.starting(60)
    budget.sharers = 3
    assert over_a_minute(budget, Lane.SHOPPER) == {Lane.SHOPPER: 20}


# --- learning -----------------------------------------------------------------------------------------------------


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


def test_what_upstream_counts_of_our_own_calls_ages_out_with_them() -> None:
    """A late call that is told that nothing remains says nothing of the places that get free before it does."""
    budget = Budget.starting(None)
    for remaining, at in ((2, 0.0), (1, 0.0), (0, 12.0)):
        reservation = reserved(budget, Lane.SHOPPER, at)
        assert reservation
        budget.learn(True, 3, remaining, at)
        budget.release(reservation, at)
    assert budget.remaining(True, 59.0) == 0
    assert budget.remaining(True, 61.0) == 2


def test_calls_of_strangers_behind_our_address_are_believed_for_a_window() -> None:
    budget = Budget.starting(None)
    reservation = reserved(budget, Lane.SHOPPER, 0.0)
    assert reservation
    budget.learn(True, 60, 49, 0.0)
    budget.release(reservation, 0.0)
    assert budget.remaining(True, 1.0) == 49
    assert budget.remaining(True, 61.0) == 60


def test_calls_of_our_other_processes_are_no_strangers_once_they_are_seen() -> None:
    budget = Budget.starting(None)
    budget.learn(True, 60, 50, 5.0)
    assert budget.remaining(True, 5.0) == 50
    for _ in range(2):
        budget.see_others([Reservation(Lane.SHOPPER, 4.0) for _ in range(8)])
        assert budget.remaining(True, 6.0) == 50
    budget.see_others([Reservation(Lane.SHOPPER, 4.0) for _ in range(8)] + [Reservation(Lane.SHOPPER, 7.0)])
    assert budget.remaining(True, 7.0) == 49


def test_the_operators_limit_is_not_learned_away() -> None:
    budget = Budget.starting(10)
    budget.learn(True, 60, 3, 0.0)
    assert budget.remaining(True, 0.0) == 10


# --- refusals -----------------------------------------------------------------------------------------------------


def refused(budget: Budget, now: float) -> None:
    reservation = reserved(budget, Lane.SHOPPER, now)
    assert reservation
    budget.answered(reservation, 429, now)
    budget.release(reservation, now)


def test_after_a_refusal_nobody_asks_for_a_while_and_then_one_alone() -> None:
    budget = Budget.starting(None)
    refused(budget, 0.0)
    assert budget.admit(waiting(Lane.SHOPPER), 1.0) == COOL_DOWN_FIRST_S - 1
    probe = reserved(budget, Lane.SHOPPER, COOL_DOWN_FIRST_S)
    assert probe
    assert reserved(budget, Lane.SHOPPER, COOL_DOWN_FIRST_S) is None
    budget.answered(probe, 200, 6.0)
    assert reserved(budget, Lane.SHOPPER, 6.0)


def test_a_refused_probe_prolongs_the_cool_down() -> None:
    budget = Budget.starting(None)
    refused(budget, 0.0)
    refused(budget, 5.0)
    assert budget.admit(waiting(Lane.SHOPPER), 5.0) == 2 * COOL_DOWN_FIRST_S


def test_a_late_end_of_an_old_probe_does_not_let_a_second_one_go() -> None:
    budget = Budget.starting(None)
    refused(budget, 0.0)
    probe = reserved(budget, Lane.SHOPPER, 5.0)
    assert probe
    budget.answered(probe, 429, 5.0)
    second = reserved(budget, Lane.SHOPPER, 15.0)
    assert second
    budget.release(probe, 15.0)
    assert reserved(budget, Lane.SHOPPER, 15.0) is None


# --- promises -----------------------------------------------------------------------------------------------------


def test_each_refused_shopper_is_promised_another_place() -> None:
    budget = used_up(3, now=10.0)
    promises = [budget.promise(True, 20.0) for _ in range(7)]
    turn = WINDOW_S + PROMISED_CALL_S
    assert promises == pytest.approx([50.0] * 3 + [50.0 + turn] * 3 + [50.0 + 2 * turn])


def test_nobody_is_sent_away_for_longer_than_the_longest_promise() -> None:
    budget = used_up(1)
    assert max(budget.promise(True, 0.0) for _ in range(100)) == PROMISE_LONGEST_S


def test_who_asks_again_and_again_does_not_keep_everybodys_place() -> None:
    budget = used_up(60)
    waits = [budget.promise(True, 20.0) for _ in range(2000)]
    assert max(waits) < 6 * WINDOW_S


def test_a_promise_that_nobody_redeemed_is_forgotten() -> None:
    budget = used_up(1)
    budget.promise(True, 0.0)
    assert budget.promise(True, WINDOW_S + PROMISED_CALL_S) == pytest.approx(RUNNING_LOOK_AGAIN_S)


DEADLINE_S = 10.0
CALL_S = 0.3


@dataclass
class Shopper:
    """`gives_up_at`: a deadline after he came."""

    number: int
    comes_at: float = 0.0
    gives_up_at: float = DEADLINE_S
    refusals: int = 0


def crowd(count: int, limit: int, *background: Lane) -> list[Shopper]:
    """All come at once, and again when they were told to; background work waits all the time. In order of service."""
    budget, away, waiting_now, served = Budget.starting(limit), [Shopper(n) for n in range(count)], deque[Shopper](), []
    running: list[Reservation] = []
    for tick in range(int(30 * WINDOW_S * 10)):
        now = tick / 10
        for call in [each for each in running if each.started_at + CALL_S <= now]:
            budget.release(call, now)
            running.remove(call)
        waiting_now.extend(each for each in away if each.comes_at <= now)
        away = [each for each in away if each.comes_at > now]
        while waiting_now and waiting_now[0].gives_up_at <= now:
            refused = waiting_now.popleft()
            refused.comes_at = now + max(1, round(budget.promise(True, now) + 0.5))  # as Retry-After tells it
            refused.gives_up_at, refused.refusals = refused.comes_at + DEADLINE_S, refused.refusals + 1
            away.append(refused)
        lanes = (Lane.SHOPPER, *background) if waiting_now else background
        while lanes and isinstance(queue := budget.admit(waiting(*lanes), now), Queue):
            running.append(budget.take(queue, now))
            if queue.lane is Lane.SHOPPER:
                served.append(waiting_now.popleft())
                lanes = lanes if waiting_now else background
        if len(served) == count:
            break
    return served


@pytest.mark.parametrize("background", [(), (Lane.MATCHING,), BACKGROUND])
@pytest.mark.parametrize(("count", "limit"), [(200, 60), (90, 25), (30, 3)])
def test_who_comes_again_when_told_is_served_within_one_more_deadline_and_in_his_turn(
    count: int, limit: int, background: tuple[Lane, ...]
) -> None:
    served = crowd(count, limit, *background)
    assert len(served) == count
    assert max(each.refusals for each in served) == 1
    assert [each.number for each in served] == sorted(each.number for each in served)
