from __future__ import annotations

from proxy.commands.bench_day import DAY_S, Day

TWO_HOURS = 2 * 3600 / DAY_S


def test_a_few_hours_of_a_small_world_keep_the_promises() -> None:
    told = Day((150, 320), 0.02, 3.0).run(TWO_HOURS)
    assert told.client > 20_000
    assert told.hits + told.stale + told.misses + told.refused >= told.client - 1
    assert told.most_in_a_minute <= 60
    assert told.refused < told.client / 100  # in the first minutes nothing is known yet
    assert 1 - told.page_cache / told.client < told.reduction
    assert told.staleness_s
    assert sorted(told.staleness_s)[len(told.staleness_s) // 2] <= 60.0 + 10.0


def test_the_same_seed_is_the_same_day() -> None:
    first, second = (Day((150,), 0.02, 1.0, seed=4).run(TWO_HOURS) for _ in range(2))
    assert first == second
