"""The limit per source address over a moving minute, and the counters it shows, which lag and jump."""

import random
from collections import defaultdict, deque
from dataclasses import dataclass

WINDOW = 60.0
EDGES = 2
"""Counters are kept by the edge server that a request happens to reach; the limit itself is exact."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What X-Discogs-Ratelimit and its -Used and -Remaining say."""

    allowed: bool
    limit: int
    used: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used) if self.allowed else 0


class RateLimit:
    """Refused requests are not counted: there is no ban, the next one may pass."""

    def __init__(self, identified: int, anonymous: int, seed: int = 0) -> None:
        self.identified = identified
        self.anonymous = anonymous
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)
        self._seen_by_edge: defaultdict[tuple[str, int], deque[float]] = defaultdict(deque)
        self._draw = random.Random(seed)

    def take(self, source: str, *, has_credential: bool, now: float) -> Standing:
        limit = self.identified if has_credential else self.anonymous
        admitted = _recent(self._admitted[source], now)
        seen = _recent(self._seen_by_edge[source, self._draw.randrange(EDGES)], now)
        allowed = len(admitted) < limit
        # An edge shows what it counted before this request, hence 0 on the first.
        standing = Standing(allowed, limit, min(len(seen), limit))
        if allowed:
            admitted.append(now)
            seen.append(now)
        return standing


def _recent(times: deque[float], now: float) -> deque[float]:
    while times and times[0] <= now - WINDOW:
        times.popleft()
    return times


def most_within(times: list[float], window: float = WINDOW) -> int:
    """The most of these times, in any order, that fall into one window."""
    ordered = sorted(times)
    starts = deque[float]()
    most = 0
    for time in ordered:
        starts.append(time)
        while starts[0] <= time - window:
            starts.popleft()
        most = max(most, len(starts))
    return most
