from __future__ import annotations

import pytest

from proxy.commands.bench_day import SCENARIOS, day_table
from proxy.commands.simulated_day.world import DAY_S, HOUR_S


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
