"""What a provider allows: limits as values, and whether a call may be made under them, now or a little later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `calls` in any `period_s` seconds: up to `burst` at once, then evenly (GCRA, ITU-T I.371)."""

    name: str
    calls: int
    period_s: float
    burst: int = 1
    path: str | None = None
    """Of what it counts; None: of every call."""

    @property
    def interval_s(self) -> float:
        """A burst and what follows it within one period are `calls` together."""
        return self.period_s / (self.calls - self.burst + 1)


@dataclass(frozen=True, slots=True)
class Daily:
    """At most `calls` in a day that ends at midnight of `zone`, as the provider counts it."""

    name: str
    calls: int
    zone: str
    path: str | None = None
    """Of what it counts; None: of every call."""


Limit = Pace | Daily

PACIFIC = "America/Los_Angeles"

LIMITS: Mapping[str, tuple[Limit, ...]] = {
    # A tenth is kept free: calls do not arrive as evenly as they start.
    "musicbrainz": (Pace("calls", 1, period_s=1.1),),
    "deezer": (Pace("calls", 50, period_s=5.5, burst=10),),
    "youtube": (Daily("searches", 100, PACIFIC, path="/search"), Daily("units", 10_000, PACIFIC)),
    "itunes": (Pace("calls", 20, period_s=66.0, burst=5),),
}
"""What each provider states; where it states nothing (iTunes), what has been seen to pass."""


PLACES_AHEAD_S = 3600.0
DAY_MOST_S = 26 * 3600.0
"""What is remembered of a time further ahead is by a clock that was wrong: it does not hold."""


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of a limit; times in seconds of one clock."""

    at: float = 0.0
    """Of a pace: when the next call is due, were there no bursts. Of a day: its end."""
    used: int = 0
    """Calls made in that day."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time, and when the present day ends in the zone of each `Daily`."""

    at: float
    day_ends: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Taken:
    """A call may start in `wait_s` seconds; `states` by the names of their limits are to be remembered."""

    wait_s: float
    states: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Refused:
    """None may start within anybody's patience: ask again in `wait_s` seconds."""

    wait_s: float
    limit: str


def counting(limits: Sequence[Limit], path: str) -> tuple[Limit, ...]:
    """Those that count a call of `path`."""
    return tuple(limit for limit in limits if limit.path in (None, path))


def take(limits: Sequence[Limit], states: Mapping[str, State], now: Now, patience_s: float) -> Taken | Refused:
    """A call under all of `limits`, or under none."""
    wait_s, after = 0.0, {}
    for limit in limits:
        needed_s, after[limit.name] = _next(limit, states.get(limit.name, State()), now)
        if needed_s > (
            patience_s if isinstance(limit, Pace) else 0.0
        ):  # a place in tomorrow's count is not given today
            return Refused(needed_s, limit.name)
        wait_s = max(wait_s, needed_s)
    return Taken(wait_s, after)


def _next(limit: Limit, state: State, now: Now) -> tuple[float, State]:
    """Seconds until the limit allows one more call, and what is to be remembered of it."""
    match limit:
        case Pace():
            due = state.at if now.at < state.at <= now.at + PLACES_AHEAD_S else now.at
            wait_s = due - (limit.burst - 1) * limit.interval_s - now.at
            return max(0.0, wait_s), State(due + limit.interval_s)
        case Daily():
            today = _today(limit, state, now)
            return (0.0 if today.used < limit.calls else today.at - now.at), State(today.at, today.used + 1)
        case _:
            assert_never(limit)


def left(limit: Daily, state: State, now: Now) -> int:
    """Calls left today."""
    return max(0, limit.calls - _today(limit, state, now).used)


def _today(limit: Daily, state: State, now: Now) -> State:
    return state if now.at < state.at <= now.at + DAY_MOST_S else State(now.day_ends[limit.zone])
