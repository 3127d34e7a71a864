"""How many calls Discogs still allows: a sliding log of the last 60 seconds, with lanes.

Discogs counts per source address in a moving window (documentation, Rate Limiting). A call is reserved before it is
made and counts until 60 seconds after it ended: upstream may count it at any moment in between. Background work is
paced: its calls keep a distance that spreads its share over the window, so that a shopper never meets a spent minute.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

WINDOW_S = 60.0

LIMIT_IDENTIFIED = 60
LIMIT_ANONYMOUS = 25
"""Calls per minute, until X-Discogs-Ratelimit says otherwise."""

SHOPPER_SHARE = 1 / 3
"""Of the limit, kept free of background work."""


class Lane(StrEnum):
    """Who makes the call, most urgent first."""

    SHOPPER = "shopper"
    SWEEP = "sweep"
    MATCHING = "matching"


@dataclass(eq=False, slots=True)
class Reservation:
    """One call: it counts while it runs and until 60 seconds after `ended_at` (seconds of the budget's clock)."""

    ended_at: float | None = None


@dataclass(slots=True)
class Budget:
    """The calls of one source address. Times are seconds of any steady clock.

    `limits` has one limit for calls with a credential (True) and one for those without (False), as Discogs does; 0
    means no limit. Both kinds count in the same log, as they come from the same address.
    """

    limits: dict[bool, int]
    fixed: bool = False
    """The limits were set by the operator: headers do not change them."""
    _running: set[Reservation] = field(default_factory=set)
    _ended: deque[Reservation] = field(default_factory=deque)
    _least_remaining: dict[bool, tuple[float, int]] = field(default_factory=dict)
    _background_from: float = -WINDOW_S
    """When the next call of background work may start."""

    @classmethod
    def starting(cls, limit: int | None) -> Budget:
        """`limit` is the operator's, None to learn it."""
        if limit is None:
            return cls({True: LIMIT_IDENTIFIED, False: LIMIT_ANONYMOUS})
        return cls({True: limit, False: limit}, fixed=True)

    def reserve(self, lane: Lane, identified: bool, now: float) -> Reservation | float:
        """A reservation, or the seconds after which to ask again."""
        self._forget(now)
        if self.limits[identified]:
            if self._used(identified) >= self._allowed(lane, identified):
                return self._wait(lane, identified, now)
            if lane is not Lane.SHOPPER:
                if now < self._background_from:
                    return self._background_from - now
                self._background_from = now + WINDOW_S / self._allowed(lane, identified)
        reservation = Reservation()
        self._running.add(reservation)
        return reservation

    def release(self, reservation: Reservation, now: float) -> None:
        self._running.discard(reservation)
        reservation.ended_at = now
        self._ended.append(reservation)

    def learn(self, identified: bool, limit: int | None, remaining: int | None, now: float) -> None:
        """From the headers of an answer: the limit moves either way, what remains only ever falls.

        They lag and are not monotonic, so a high Remaining proves nothing; a low one is believed until it ages out.
        """
        if self.fixed:
            return
        if limit:
            self.limits[identified] = limit
        if remaining is not None:
            since = now - WINDOW_S
            seen_at, least = self._least_remaining.get(identified, (since, remaining))
            if remaining <= least or seen_at <= since:
                self._least_remaining[identified] = (now, remaining)

    def remaining(self, identified: bool, now: float) -> int:
        """Calls left for shoppers in this window."""
        self._forget(now)
        return max(0, self.limits[identified] - self._used(identified))

    def _used(self, identified: bool) -> int:
        """Calls of ours in the window, or as many as upstream says, where that is more."""
        ours = len(self._running) + len(self._ended)
        if identified not in self._least_remaining:
            return ours
        seen_at, remaining = self._least_remaining[identified]
        since = len(self._running) + sum((each.ended_at or 0) > seen_at for each in self._ended)
        return max(ours, self.limits[identified] - remaining + since)

    def _allowed(self, lane: Lane, identified: bool) -> int:
        limit = self.limits[identified]
        return limit if lane is Lane.SHOPPER else max(1, int(limit * (1 - SHOPPER_SHARE)))

    def _forget(self, now: float) -> None:
        while self._ended and now - (self._ended[0].ended_at or 0) >= WINDOW_S:
            self._ended.popleft()
        self._least_remaining = {kind: seen for kind, seen in self._least_remaining.items() if now - seen[0] < WINDOW_S}

    def _wait(self, lane: Lane, identified: bool, now: float) -> float:
        """Until the oldest calls that stand in the way have aged out; a second where they still run."""
        surplus = self._used(identified) - self._allowed(lane, identified)
        if 0 <= surplus < len(self._ended):
            return max(0.01, WINDOW_S - (now - (self._ended[surplus].ended_at or 0)))
        return 1.0
