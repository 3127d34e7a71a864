from __future__ import annotations

from matcher.domain.breaker import Breaker


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(threshold=2, first_s=2.0, longest_s=5.0)
    breaker.failed(at, probe=breaker.begin())
    assert breaker.wait_s(at) is None
    breaker.failed(at, probe=breaker.begin())
    return breaker


def test_it_opens_at_the_threshold() -> None:
    assert opened().wait_s(0.5) == 1.5


def test_a_success_in_between_counts_from_the_start_again() -> None:
    breaker = Breaker(threshold=2, first_s=2.0, longest_s=5.0)
    for at in range(6):
        breaker.failed(at, probe=breaker.begin())
        breaker.begin()
        breaker.succeeded()
    assert not breaker.is_open


def test_after_the_pause_one_probe_may_go() -> None:
    breaker = opened()
    assert breaker.wait_s(2.0) is None
    assert breaker.begin()
    assert breaker.wait_s(2.1) == 0.0, "the probe's end decides"


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.begin()
    breaker.succeeded()
    assert breaker.wait_s(2.1) is None
    assert not breaker.begin()


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(4):
        pause = breaker.wait_s(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
        breaker.failed(now, probe=breaker.begin())
    assert pauses == [2.0, 4.0, 5.0, 5.0]


def test_calls_that_began_before_it_opened_do_not_make_the_pause_longer() -> None:
    breaker = opened()
    breaker.failed(1.0, probe=False)
    assert breaker.wait_s(1.0) == 1.0


def test_a_probe_whose_client_went_away_lets_another_go() -> None:
    breaker = opened()
    breaker.abandoned(probe=breaker.begin())
    assert breaker.wait_s(2.0) is None
