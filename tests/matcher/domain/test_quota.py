from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.quota import LIMITS, Daily, Limit, Now, Pace, Refused, State, Taken, counting, left, take

DAY_S = 86_400.0
ZONE = "America/Los_Angeles"


def now(at: float) -> Now:
    """Days end at multiples of DAY_S."""
    return Now(at, {ZONE: (at // DAY_S + 1) * DAY_S})


def starts_of(limits: tuple[Limit, ...], asked: list[float], patience_s: float) -> list[float]:
    """When calls start that are asked for at these times."""
    states: dict[str, State] = {}
    starts = []
    for at in asked:
        match take(limits, states, now(at), patience_s):
            case Taken(wait_s, after):
                states |= after
                starts.append(at + wait_s)
            case Refused():
                pass
    return starts


TIMES = st.lists(st.floats(0, 40, allow_nan=False), max_size=120).map(sorted)


@given(TIMES, st.integers(1, 20), st.integers(1, 20), st.floats(0.1, 30), st.sampled_from([0.0, 1.0, 10.0]))
def test_no_window_ever_holds_more_than_is_allowed(
    asked: list[float], calls: int, burst: int, period_s: float, patience_s: float
) -> None:
    starts = starts_of((Pace("calls", calls, period_s, min(burst, calls)),), asked, patience_s)
    for start in starts:
        assert sum(start <= other < start + period_s - 1e-6 for other in starts) <= calls


@given(TIMES, st.integers(1, 20))
def test_whoever_waits_long_enough_gets_every_place_there_is(asked: list[float], calls: int) -> None:
    pace = Pace("calls", calls, 1.0)
    starts = starts_of((pace,), asked, 1_000)
    assert len(starts) == len(asked)
    assert all(
        0 <= start - asked_at <= len(asked) * pace.interval_s for start, asked_at in zip(starts, asked, strict=True)
    )


@given(st.lists(st.floats(0, 5 * DAY_S, allow_nan=False), max_size=60).map(sorted), st.integers(1, 5))
def test_no_day_ever_holds_more_than_is_allowed(asked: list[float], calls: int) -> None:
    starts = starts_of((Daily("searches", calls, ZONE),), asked, 10)
    days = [start // DAY_S for start in starts]
    assert all(days.count(day) <= calls for day in days)
    for day in {at // DAY_S for at in asked}:
        assert days.count(day) == min(calls, sum(at // DAY_S == day for at in asked))


ONE_A_SECOND = Pace("calls", 1, 1.0)
FIVE_AT_ONCE = Pace("calls", 20, 60.0, burst=5)
TWO_A_DAY = Daily("searches", 2, ZONE)


@pytest.mark.parametrize(
    ("limit", "state", "at", "expected"),
    [
        (ONE_A_SECOND, State(), 100.0, Taken(0.0, {"calls": State(101.0)})),
        (ONE_A_SECOND, State(101.0), 100.25, Taken(0.75, {"calls": State(102.0)})),
        (ONE_A_SECOND, State(103.0), 100.5, Refused(2.5, "calls")),
        (FIVE_AT_ONCE, State(), 100.0, Taken(0.0, {"calls": State(103.75)})),
        (FIVE_AT_ONCE, State(118.75), 100.0, Refused(3.75, "calls")),
        (TWO_A_DAY, State(), 100.0, Taken(0.0, {"searches": State(DAY_S, 1)})),
        (TWO_A_DAY, State(DAY_S, 1), 100.0, Taken(0.0, {"searches": State(DAY_S, 2)})),
        (TWO_A_DAY, State(DAY_S, 2), 100.0, Refused(DAY_S - 100, "searches")),
        (TWO_A_DAY, State(DAY_S, 2), DAY_S - 0.5, Refused(0.5, "searches")),
        (TWO_A_DAY, State(DAY_S, 2), DAY_S, Taken(0.0, {"searches": State(2 * DAY_S, 1)})),
        # By a clock that was a year ahead.
        (ONE_A_SECOND, State(365 * DAY_S), 100.0, Taken(0.0, {"calls": State(101.0)})),
        (TWO_A_DAY, State(365 * DAY_S, 2), 100.0, Taken(0.0, {"searches": State(DAY_S, 1)})),
    ],
)
def test_a_call_is_taken_or_refused(limit: Limit, state: State, at: float, expected: Taken | Refused) -> None:
    assert take((limit,), {limit.name: state}, now(at), 1.0) == expected


def test_a_call_under_several_limits_is_taken_from_all_or_none() -> None:
    units = Daily("units", 1, ZONE)
    taken = take((TWO_A_DAY, units), {}, now(0), 1.0)
    assert taken == Taken(0.0, {"searches": State(DAY_S, 1), "units": State(DAY_S, 1)})
    assert take((TWO_A_DAY, units), taken.states, now(1), 1.0) == Refused(DAY_S - 1, "units")


def test_a_limit_of_a_path_does_not_count_other_paths() -> None:
    youtube = LIMITS["youtube"]
    assert [limit.name for limit in counting(youtube, "/search")] == ["searches", "units"]
    assert [limit.name for limit in counting(youtube, "/videos")] == ["units"]


def test_what_is_left_of_a_day_begins_anew_with_the_next() -> None:
    assert left(TWO_A_DAY, State(), now(0)) == 2
    assert left(TWO_A_DAY, State(DAY_S, 2), now(5)) == 0
    assert left(TWO_A_DAY, State(DAY_S, 2), now(DAY_S)) == 2
