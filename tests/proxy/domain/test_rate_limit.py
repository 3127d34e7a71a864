from __future__ import annotations

from proxy.domain import rate_limit
from proxy.domain.rate_limit import CLIENTS_MAX, RateLimit


def test_so_many_at_once_then_one_by_one() -> None:
    limit = RateLimit(per_minute=10, burst=3)
    for _ in range(3):
        assert limit.wait_s("a", 100.0) == 0
        limit.count("a", 100.0)
    assert limit.wait_s("a", 100.0) == 6.0
    assert limit.wait_s("a", 104.0) == 2.0
    assert limit.wait_s("a", 106.0) == 0
    limit.count("a", 106.0)
    assert limit.wait_s("a", 106.0) == 6.0
    assert limit.wait_s("b", 106.0) == 0


def test_who_was_quiet_may_do_as_much_again() -> None:
    limit = RateLimit(per_minute=10, burst=3)
    for now in (0.0, 1000.0):
        for _ in range(3):
            assert limit.wait_s("a", now) == 0
            limit.count("a", now)
        assert limit.wait_s("a", now) > 0


def test_many_clients_cost_no_more_memory_and_who_is_busy_is_not_forgotten() -> None:
    limit = RateLimit(per_minute=10, burst=1)
    for number in range(2 * CLIENTS_MAX):
        limit.count(str(number), 0.0)
        limit.count("busy", 0.0)
    assert len(limit._due) == rate_limit.CLIENTS_MAX
    assert limit.wait_s("busy", 0.0) > 0
