"""How many calls Discogs still allows: a sliding log of the last 60 seconds, with lanes.

Discogs counts per source address in a moving window (documentation, Rate Limiting). A call is reserved before it is
made and counts until 60 seconds after it ended: upstream may count it at any moment in between.

A third of the limit is kept free for shoppers. Of the rest, each lane with a guaranteed share gets it while it has
work, even from shoppers: checks three fifths, as one call of theirs answers all who look at a store, sweeps and
matching a fifth each. Background work is paced: its calls keep a distance that spreads it over the window.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

from matcher.domain.breaker import Breaker

WINDOW_S = 60.0

LIMIT_IDENTIFIED = 60
LIMIT_ANONYMOUS = 25
"""Calls per minute, until X-Discogs-Ratelimit says otherwise."""

SHOPPERS_PART = 3
"""One third of the limit is kept free of background work."""

GUARANTEED_PART = 5
"""Fifths of the rest are guaranteed to the lanes of GUARANTEED."""

COOL_DOWN_FIRST_S = 5.0
COOL_DOWN_LONGEST_S = 60.0
"""After a 429 nothing is asked for so long, then one call. Discogs sends no Retry-After and does not ban."""

RUNNING_COUNTS_S = 120.0
"""A call of another process that was never reported as ended counts for so long."""

RUNNING_LOOK_AGAIN_S = 1.0
"""How soon to ask again where only running calls stand in the way; their end is told as well."""

PROMISED_CALL_S = 3.0
"""From a promised moment until the call of whoever comes back has ended: Retry-After has whole seconds."""

PROMISE_LONGEST_S = 600.0
"""Nobody is told to come later than that, however many wait."""

PROMISED_WINDOWS = 4
PROMISED_LEAST = 60
"""So many windows' places are kept for who was promised one, and at least so many places: else one client who asks
again and again, and never comes when told, would keep everybody's.
"""


class Lane(StrEnum):
    """Who makes the call, most urgent first."""

    SHOPPER = "shopper"
    CHECK = "check"
    SWEEP = "sweep"
    MATCHING = "matching"
    REFRESH = "refresh"
    """Renewing ahead of need."""


URGENCY = {lane: place for place, lane in enumerate(Lane)}
GUARANTEED = {Lane.CHECK: 3, Lane.SWEEP: 1, Lane.MATCHING: 1}
"""So many fifths each."""


class Queue(NamedTuple):
    """Calls that wait for the same thing. `identified`: they bear a credential, for which Discogs allows more."""

    lane: Lane
    identified: bool


@dataclass(eq=False, slots=True)
class Errand:
    """What calls are made for, in `lane`. Once a shopper waits for it they go as his, also one that waits already.

    What is guaranteed to their lane is theirs all the same: among many shoppers they would go later than without him.
    """

    lane: Lane
    is_awaited: bool = False

    @property
    def lane_now(self) -> Lane:
        return Lane.SHOPPER if self.is_awaited else self.lane

    @property
    def lanes(self) -> frozenset[Lane]:
        """Whichever of them is free first."""
        return frozenset({self.lane, self.lane_now})


@dataclass(eq=False, slots=True)
class Reservation:
    """One call: it counts while it runs and until 60 seconds after `ended_at`. Times are of the budget's clock."""

    lane: Lane
    started_at: float
    ended_at: float | None = None
    probe: bool = False
    """The first call after a refusal: its answer decides whether others may follow."""
    counted: bool = True
    """False where there is no limit."""
    call_id: UUID = field(default_factory=uuid4)

    def counts_at(self, now: float) -> bool:
        return self.ended_at is None or now - self.ended_at < WINDOW_S

    def of_another_counts_at(self, now: float) -> bool:
        """Of a process that died nobody says that its call has ended."""
        return self.counts_at(now) and (self.ended_at is not None or now - self.started_at < RUNNING_COUNTS_S)


class _Strangers(NamedTuple):
    """Calls that upstream counted at `seen_at` and we did not make."""

    seen_at: float
    calls: int


NO_STRANGERS = _Strangers(0.0, 0)


@dataclass(slots=True)
class Budget:
    """The calls of one source address. Times are seconds of any steady clock.

    `limits` has one limit for calls with a credential (True) and one for those without (False), as Discogs does; 0
    means no limit. Both kinds count in the same log, as they come from the same address.
    """

    limits: dict[bool, int]
    fixed: bool = False
    """The limits were set by the operator: headers do not change them."""
    sharers: int = 1
    """Processes that the limit must be divided among, while they cannot see each other's calls."""
    cool_down: Breaker = field(
        default_factory=lambda: Breaker(threshold=1, first_s=COOL_DOWN_FIRST_S, longest_s=COOL_DOWN_LONGEST_S)
    )
    _own: list[Reservation] = field(default_factory=list)
    _others: list[Reservation] = field(default_factory=list)
    _strangers: dict[bool, _Strangers] = field(default_factory=dict)
    _background_from: float = -WINDOW_S
    """When the next call of background work may start."""
    _promised: list[float] = field(default_factory=list)
    """When refused shoppers come again. Until then background work keeps to its guaranteed shares."""

    @classmethod
    def starting(cls, limit: int | None) -> Budget:
        """`limit` is the operator's, None to learn it."""
        if limit is None:
            return cls({True: LIMIT_IDENTIFIED, False: LIMIT_ANONYMOUS})
        return cls({True: limit, False: limit}, fixed=True)

    # --- reserving ---

    def admit(self, waiting: AbstractSet[Queue], now: float) -> Queue | float:
        """The queue whose first call may go now, or the seconds after which to ask again."""
        self._forget(now)
        if (cooling_s := self.cool_down.wait_s(now)) is not None:
            return cooling_s or RUNNING_LOOK_AGAIN_S
        soonest = WINDOW_S
        for queue in sorted(waiting, key=self._turn):
            wait_s = self._wait_s(queue, waiting, now)
            if wait_s <= 0:
                return queue
            soonest = min(soonest, wait_s)
        return soonest

    def take(self, queue: Queue, now: float) -> Reservation:
        """Count a call of a queue that `admit` named."""
        limit = self.limits[queue.identified]
        if queue.lane is not Lane.SHOPPER and limit:
            self._background_from = now + WINDOW_S / (limit - shoppers_part(limit))
        reservation = Reservation(queue.lane, now, probe=self.cool_down.begin(), counted=bool(limit))
        if limit:
            self._own.append(reservation)
        return reservation

    def release(self, reservation: Reservation, now: float) -> None:
        """The call has ended, whatever came of it."""
        reservation.ended_at = now
        self.cool_down.abandoned(probe=reservation.probe)

    def give_back(self, reservation: Reservation) -> None:
        """The call was never made."""
        self._own = [each for each in self._own if each is not reservation]
        self.cool_down.abandoned(probe=reservation.probe)

    def see_others(self, calls: Iterable[Reservation]) -> None:
        """The calls of all other processes behind our address, in place of those known before.

        Where upstream told of them earlier, they are strangers no more.
        """
        before, self._others = self._others, list(calls)
        for kind, (seen_at, strangers) in self._strangers.items():
            met = sum(call.started_at <= seen_at for call in self._others) - sum(
                call.started_at <= seen_at for call in before
            )
            self._strangers[kind] = _Strangers(seen_at, max(0, strangers - max(0, met)))

    def own_calls(self) -> Sequence[Reservation]:
        return tuple(self._own)

    def counted(self, now: float) -> Counter[Lane]:
        """The calls that count now, by lane; those of the other processes as they were last seen."""
        self._forget(now)
        return Counter(each.lane for each in (*self._own, *self._others))

    # --- learning ---

    def learn(self, identified: bool, limit: int | None, remaining: int | None, now: float) -> None:
        """From the headers of an answer: the limit moves either way, what remains only ever falls.

        They lag and are not monotonic, so a high Remaining proves nothing. One that is lower than what we counted
        ourselves tells of calls of others behind our address: they are believed in for a window.
        """
        if self.fixed:
            return
        if limit:
            self.limits[identified] = limit
        if remaining is not None:
            self._forget(now)
            calls = max(0, self.limits[identified] - remaining - len(self._own) - len(self._others))
            if identified not in self._strangers or calls >= self._strangers[identified].calls:
                self._strangers[identified] = _Strangers(now, calls)

    def answered(self, reservation: Reservation, status: int, now: float) -> None:
        """429 starts or prolongs the cool-down, any other status of the probe ends it.

        Without a limit it does not: an upstream that is not Discogs may refuse one client and serve the next.
        """
        if status == 429 and reservation.counted:
            self.cool_down.failed(now, probe=reservation.probe)
        elif reservation.probe:
            self.cool_down.succeeded()
        reservation.probe = False

    # --- telling ---

    def remaining(self, identified: bool, now: float) -> int:
        """Calls left for shoppers in this window."""
        self._forget(now)
        return max(0, self._free(identified))

    def promise(self, identified: bool, now: float) -> float:
        """Seconds after which a refused shopper may come again: each is told a place that is nobody else's."""
        self._forget(now)
        limit = self.limits[identified]
        strangers = self._strangers.get(identified, NO_STRANGERS)
        places = max(1, min(limit - self._kept_from_shoppers(identified), limit // self.sharers))
        taken_until = sorted(
            [(call.ended_at or now) + WINDOW_S for call in (*self._own, *self._others)]
            + [at + PROMISED_CALL_S + WINDOW_S for at in self._promised]
            + [strangers.seen_at + WINDOW_S] * strangers.calls
        )
        soonest = now + (self.cool_down.wait_s(now) or RUNNING_LOOK_AGAIN_S)
        at = max(soonest, taken_until[-places]) if len(taken_until) >= places else soonest
        if at > now + PROMISE_LONGEST_S:
            return PROMISE_LONGEST_S
        if len(self._promised) < max(PROMISED_LEAST, PROMISED_WINDOWS * limit):
            self._promised.append(at)
        return at - now

    # --- rules ---

    def _turn(self, queue: Queue) -> tuple[bool, bool, int, int]:
        """Shoppers first; then who has not had its guaranteed share yet, who had least of it first; then by urgency."""
        used = self._used_by(queue.lane)
        short = used < self._guaranteed(queue.lane, self.limits[queue.identified])
        return queue.lane is not Lane.SHOPPER, not short, used if short else 0, URGENCY[queue.lane]

    def _wait_s(self, queue: Queue, waiting: AbstractSet[Queue], now: float) -> float:
        limit = self.limits[queue.identified]
        if not limit:
            return 0.0
        free = self._free(queue.identified) - self._kept_from(queue.lane, waiting, limit)
        if free <= 0:
            return self._until_free(1 - free, now)
        if queue.lane is Lane.SHOPPER:
            return 0.0
        if self._promised and self._used_by(queue.lane) >= self._guaranteed(queue.lane, limit):
            return max(self._background_from, max(self._promised) + PROMISED_CALL_S) - now
        return self._background_from - now

    def _free(self, identified: bool) -> int:
        """Calls that may still be made; our own keep to our part while the others cannot be seen."""
        free = self.limits[identified] - self._used(identified)
        if self.sharers == 1:
            return free
        return min(free, max(1, self.limits[identified] // self.sharers) - len(self._own))

    def _kept_from(self, lane: Lane, waiting: AbstractSet[Queue], limit: int) -> int:
        """Calls that a lane must leave to the shares of others."""
        busy = {queue.lane for queue in waiting} | {Lane.SHOPPER}
        return sum(
            max(0, self._guaranteed(other, limit) - self._used_by(other))
            for other in (Lane.SHOPPER, *GUARANTEED)
            if other is not lane and other in busy
        )

    def _kept_from_shoppers(self, identified: bool) -> int:
        limit = self.limits[identified]
        return sum(self._guaranteed(lane, limit) for lane in GUARANTEED if self._used_by(lane))

    def _guaranteed(self, lane: Lane, limit: int) -> int:
        if lane is Lane.SHOPPER:
            return shoppers_part(limit)
        return (limit - shoppers_part(limit)) // GUARANTEED_PART * GUARANTEED.get(lane, 0)

    def _used(self, identified: bool) -> int:
        """Calls in the window, those included that only upstream knows of."""
        return len(self._own) + len(self._others) + self._strangers.get(identified, NO_STRANGERS).calls

    def _used_by(self, lane: Lane) -> int:
        return sum(call.lane is lane for call in (*self._own, *self._others))

    def _until_free(self, places: int, now: float) -> float:
        """Until so many of the calls that count have aged out; soon again where they still run."""
        ended = sorted(call.ended_at for call in (*self._own, *self._others) if call.ended_at is not None)
        if places > len(ended):
            return RUNNING_LOOK_AGAIN_S
        return max(0.01, WINDOW_S - (now - ended[places - 1]))

    def _forget(self, now: float) -> None:
        self._promised = [at for at in self._promised if at + PROMISED_CALL_S > now]
        self._own = [call for call in self._own if call.counts_at(now)]
        self._others = [call for call in self._others if call.of_another_counts_at(now)]
        self._strangers = {kind: seen for kind, seen in self._strangers.items() if now - seen.seen_at < WINDOW_S}


def shoppers_part(limit: int) -> int:
    """Of `limit` calls a minute, how many are kept for shoppers; background work always has one at least."""
    return max(0, min(math.ceil(limit / SHOPPERS_PART), limit - 1))
