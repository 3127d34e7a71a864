from __future__ import annotations

import random
from collections import Counter

import pytest

from proxy.commands.bench_day import SCENARIOS, day_table
from proxy.commands.simulated_day import DAY_S, HOUR_S, Crowd, Day
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


def test_a_crowd_is_drawn_from_by_weight() -> None:
    crowd, draw = Crowd(5), random.Random(1)
    for member, weight in enumerate((1.0, 0.0, 2.0, 5.0, 1.0)):
        crowd.put(member, weight)
    crowd.put(3, 0.0)
    drawn = Counter(crowd.draw(draw.random()) for _ in range(4000))
    assert drawn == {0: pytest.approx(1000, rel=0.1), 2: pytest.approx(2000, rel=0.1), 4: pytest.approx(1000, rel=0.1)}


def test_the_scenarios_have_names_of_their_own() -> None:
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)


def test_a_table_tells_of_a_direct_client_and_a_page_cache_beside(capsys: pytest.CaptureFixture[str]) -> None:
    short = [SCENARIOS[0].__class__("short", "a short one", (150,), 0.01, 1.0, days=HOUR_S / DAY_S, warm_s=HOUR_S)]
    day_table(short)
    shown = capsys.readouterr()
    assert [line.split("  ")[0].strip() or line.strip()[:8] for line in shown.out.splitlines()[1:4]] == [
        "a short one",
        "directly",
        "a page c",
    ]
    assert "simulating" in shown.err
