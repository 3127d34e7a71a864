from __future__ import annotations

import pytest

from proxy.commands.simulated_day.day import Day
from proxy.commands.simulated_day.world import HOUR_S
from proxy.domain.budget import Lane


def test_a_few_hours_of_a_small_world_keep_the_promises() -> None:
    told = Day((150, 320), 0.02, 3.0).run(4 * HOUR_S, 2 * HOUR_S)
    assert told.client == pytest.approx(4 * HOUR_S * 3.0, rel=0.01)
    assert told.most_in_a_minute <= 60
    assert told.refused == 0
    assert told.hits / told.client > 0.9
    assert 1 - told.page_cache / told.client < told.reduction
    assert len(told.staleness_s) > 5
    assert told.late == 0, "no sold listing is shown later than one interval and the check's own duration"


def test_more_than_discogs_allows_is_refused_and_the_budget_kept() -> None:
    told = Day((20_000,), 0.001, 150.0).run(HOUR_S / 6, HOUR_S / 6)
    assert told.refused > 0
    assert told.most_in_a_minute <= 60
    assert told.calls <= 600
    assert told.upstream[Lane.CHECK] + told.upstream[Lane.SWEEP] > 0


def test_the_same_seed_is_the_same_day() -> None:
    first, second = (Day((150,), 0.02, 1.0, seed=4).run(HOUR_S, HOUR_S) for _ in range(2))
    assert first == second
