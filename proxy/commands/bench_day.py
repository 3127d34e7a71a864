"""Simulated days, for `./run bench --day`: what the mirror, the budget and the schedule make of a shop's traffic.

Beside each, of the same requests: a client that goes to Discogs directly, and a cache that keeps answers for a minute.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.commands.simulated_day.day import SHARE_OF_PAGES, Day
from proxy.commands.simulated_day.told import Told
from proxy.commands.simulated_day.world import DAY_S, HOUR_S, LIMIT
from proxy.domain.budget import Lane

ALLOWED_A_DAY = LIMIT * 24 * 60


@dataclass(frozen=True, slots=True)
class Scenario:
    """`churn` is the part of a store that changes in an hour. `days` are told, after `warm_s`."""

    name: str
    explained: str
    sizes: tuple[int, ...]
    churn: float
    calls_a_second: float
    days: float = 1.0
    warm_s: float = 12 * HOUR_S


FIVE = (200, 500, 1000, 2000, 3000)
TWENTY = tuple(round(200 * 100 ** (place / 19)) for place in range(20))
LOADS_A_DAY = 50
SMALL = LOADS_A_DAY / DAY_S / SHARE_OF_PAGES
SCENARIOS = (
    Scenario("five", "5 stores of 200-3,000, 0.2 % an hour, 15 calls a second", FIVE, 0.002, 15.0),
    Scenario("five-small", "the same, a small shop's 50 page loads a day", FIVE, 0.002, SMALL, 10, DAY_S),
    Scenario("twenty", "20 stores of 200-20,000, 0.1 % an hour, 15 calls a second", TWENTY, 0.001, 15.0),
    Scenario("twenty-10", "the same, 150 a second", TWENTY, 0.001, 150.0),
    Scenario("twenty-100", "the same, 1,500 a second", TWENTY, 0.001, 1500.0),
    Scenario("twenty-small", "the same, 50 page loads a day", TWENTY, 0.001, SMALL, 10, DAY_S),
)


def day_table(scenarios: Sequence[Scenario] = SCENARIOS) -> None:
    titles = ("calls a day", "saved", "hits", "stale", "waited", "refused", "p50 s", "p95 s", "max s", "late", "hidden")
    lanes = "".join(f"{lane:>10}" for lane in Lane)
    print(f"{'a simulated day':<62}" + "".join(f"{title:>12}" for title in titles) + lanes + f"{'in 60 s':>9}")
    for each in scenarios:
        began = time.monotonic()
        print(f"simulating: {each.explained} ...", end="", file=sys.stderr, flush=True)
        told = Day(each.sizes, each.churn, each.calls_a_second).run(each.days * DAY_S, each.warm_s)
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
        _tell(each, told)
    print(EXPLAINED)


def _tell(scenario: Scenario, told: Told) -> None:
    shares = (told.reduction, *(part / told.client for part in (told.hits, told.stale, told.misses, told.refused)))
    times = sorted(told.staleness_s) or [0.0]
    seconds = (times[len(times) // 2], times[int(len(times) * 0.95)], times[-1])
    print(
        f"{scenario.explained:<62}{told.calls / scenario.days:>12,.0f}"
        + "".join(f"{share:>12.2%}" for share in shares)
        + "".join(f"{each:>12.0f}" for each in seconds)
        + f"{told.late:>12}{len(told.hidden_s):>12}"
        + "".join(f"{told.upstream[lane] / scenario.days:>10,.0f}" for lane in Lane)
        + f"{told.most_in_a_minute:>9}"
    )
    _tell_other("  directly", told.client / scenario.days, told.client / scenario.days)
    _tell_other("  a page cache of 60 s", told.page_cache / scenario.days, told.client / scenario.days)


def _tell_other(name: str, calls: float, client: float) -> None:
    """What Discogs' limit would refuse of it, were it spread evenly over the day."""
    refused = max(0.0, calls - ALLOWED_A_DAY) / client
    print(f"{name:<62}{calls:>12,.0f}{1 - calls / client:>12.2%}{'':>36}{refused:>12.2%}", flush=True)


EXPLAINED = """
saved: of the calls of a client that goes to Discogs directly. hits: fresh, and waited for nothing; waited: for a call.
seconds: from a sale to the last answer from the mirror that may have shown it; late: of these, later than one interval
and the check's own duration; hidden: an insertion made up for the sale in the counts, an audit found it. Then the calls
of a day by lane, and the most in any 60 s. Requests are counted as they are expected, one by one where a call may
follow. Counted is a day (50 loads: the mean of ten) after stores were read and copies made."""


async def simulated_days(names: Sequence[str] = ()) -> None:
    chosen = [each for each in SCENARIOS if not names or each.name in names]
    await asyncio.to_thread(day_table, chosen)
