"""What all parts of a simulated world share: its time, its chance, and what is counted."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

from proxy.commands.simulated_day.told import Told
from proxy.domain.delta import Shown
from proxy.domain.schedule import Pace

HOUR_S, DAY_S = 3600.0, 86_400.0
TICK_S = 1.0
LIMIT = 60
PACE = Pace(check_s=60.0, audit_s=300.0, content_max_age_s=21_600.0, tracked_max=50)
SHOWN = Shown()

Happen = Callable[[], None]


class World:
    """What happens is done one after the other; between two moments no time passes for anybody."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - not for secrets
        self.now = 0.0
        self.told = Told()
        self._events: list[tuple[float, int, Happen]] = []
        self._order = itertools.count()

    def after(self, seconds: float, happen: Happen) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happen))

    def run(self, until: float) -> None:
        """What happens before that moment."""
        while self._events and self._events[0][0] < until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
