"""Stores: what is truly for sale, what the mirror says, and what the schedule knows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from proxy.commands.simulated_day.releases import Release
from proxy.commands.simulated_day.world import DAY_S, HOUR_S, PACE, SHOWN
from proxy.domain.delta import Observed, PageOf
from proxy.domain.schedule import Store as Scheduled

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(eq=False, slots=True)
class Store:
    """`truth` and `mirror` are ids newest first. `rate` is how many pages are asked for a second."""

    name: str
    rate: float
    popular: Sequence[float]
    """Of its pages, cumulated."""
    releases: dict[int, Release]
    free: list[Release]
    truth: list[int]
    version: int = 0
    mirror: Sequence[int] | None = None
    rows_at: dict[int, float] = field(default_factory=dict)
    oldest_at: float = float("-inf")
    oldest_looked_at: float = float("-inf")
    sold_at: dict[int, float] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    checked_at: float = float("-inf")
    reconciled_at: float | None = None
    audit: int = 1
    busy_since: float | None = None
    held_until: float = 0.0
    look_again_at: float = 0.0
    past_the_mirror: deque[float] = field(default_factory=lambda: deque(maxlen=2 * SHOWN.last_page))
    asked_at: float = float("-inf")
    known_until: float = 0.0
    """Up to when it is known which request was the last."""
    shown_at: float = float("-inf")
    counted_until: float = 0.0
    waiting: float = 0.0
    loads: int = 0
    """Draws of the next request: only the last one counts."""
    replaced: Counter[int] = field(default_factory=Counter)
    spent: Counter[int] = field(default_factory=Counter)
    steps: dict[object, object] = field(default_factory=dict)

    def page(self, wanted: PageOf) -> Observed:
        rows = self.truth[::-1] if wanted.ascending else self.truth
        first = (wanted.number - 1) * SHOWN.per_page
        return Observed(wanted, tuple(rows[first : first + SHOWN.per_page]), len(rows))

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.truth) // SHOWN.per_page))

    def is_fresh_until(self) -> float:
        """Up to when every request is answered from the mirror without a thought."""
        if self.mirror is None:
            return float("-inf")
        return min(self.checked_at + PACE.check_s, self.oldest_at + PACE.content_max_age_s)

    def scheduled(self, now: float) -> Scheduled:
        """Calls are counted by the hour, as in the database."""
        return Scheduled(
            self.name,
            moment(self.asked_at),
            is_mirrored=self.mirror is not None,
            items=len(self.truth),
            checked_at=moment(self.checked_at) if self.mirror is not None else None,
            reconciled_at=None if self.reconciled_at is None else moment(self.reconciled_at),
            oldest_at=moment(self.oldest_at) if self.mirror is not None else None,
            is_pinned=True,
            is_tracked=True,
            replaced_calls=_since(self.replaced, now - DAY_S),
            check_calls=_since(self.spent, now - DAY_S - HOUR_S),
        )


def moment(at: float) -> datetime:
    return START + timedelta(seconds=max(at, -1e6))


def _since(by_hour: Counter[int], since: float) -> int:
    for hour in [each for each in by_hour if each * HOUR_S <= since]:
        del by_hour[hour]
    return by_hour.total()
