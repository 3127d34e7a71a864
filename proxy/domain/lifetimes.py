"""How long an answer of Discogs counts as fresh, per kind of resource: our policy, as Discogs sends no directives."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from proxy.domain.http_fields import directives_in
from proxy.domain.resources import Kind

MINUTE_S = 60.0
HOUR_S = 3600.0

LIFETIMES: Mapping[Kind, float] = {
    Kind.ROOT: HOUR_S,
    Kind.DATABASE: 3 * HOUR_S,
    Kind.DATABASE_LIST: 3 * HOUR_S,
    Kind.SEARCH: 10 * MINUTE_S,
    Kind.MARKETPLACE_STATS: 10 * MINUTE_S,
    Kind.PROFILE: HOUR_S,
}
"""Seconds. What is not here is never kept: a listing about to be bought, and everything that is somebody's own.

Inventories and releases are added from the settings.
"""

NEGATIVE: Mapping[int, float] = {404: MINUTE_S, 405: MINUTE_S, 422: MINUTE_S}
"""Errors that a repetition would only get again. 401, 403, 429 and 5xx are never kept."""

FORBIDDING = ("no-store", "no-cache", "private")

JITTER = 0.1
"""Share by which lifetimes differ between keys, so that what came together does not go together."""

GRACE = 2.0
"""Up to so many lifetimes a copy is shown while it is renewed; older, the renewal comes first."""


DEMANDED_WITHIN_S = 1800.0
"""A release that nobody else asked for in so long is not renewed behind an answer."""

LAST_ASKED_MOST = 200_000
"""Releases of which that is known, at some 200 bytes each."""

CLOCK_SKEW_S = 60.0
"""So much may the clocks of two machines differ: what one wrote may seem to come from the future to another."""


class Use(StrEnum):
    """What a copy is good for."""

    FRESH = "fresh"
    WHILE_RENEWED = "stale-while-revalidate"
    """RFC 5861 section 3."""
    IF_UPSTREAM_FAILS = "stale-if-error"
    """RFC 5861 section 4."""
    NOTHING = "nothing"
    """Too old to leave the proxy (Discogs API terms: six hours)."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds that a copy is fresh, that it may be shown while it is renewed, and that it may be shown at all."""

    fresh_s: float
    renewed_s: float
    most_s: float

    def use(self, age_s: float, *, purged: bool = False) -> Use:
        """A copy from the future was made before a clock was set back: its age is not known."""
        if age_s >= self.most_s or age_s < 0:
            return Use.NOTHING
        if purged or age_s >= self.renewed_s:
            return Use.IF_UPSTREAM_FAILS
        return Use.FRESH if age_s < self.fresh_s else Use.WHILE_RENEWED


def lifetime(status: int, cache_control: str, kind_s: float, key: str, content_max_age_s: float) -> Lifetime | None:
    """Of an answer to a request of a kind that is kept for `kind_s`; None: not to be kept.

    Where upstream does say how long (RFC 9111 section 5.2.2), it can only shorten that.
    """
    said = directives_in(cache_control)
    if any(name in said for name in FORBIDDING) or not (status == 200 or status in NEGATIVE):
        return None
    fresh_s = min(kind_s, NEGATIVE.get(status, kind_s)) * jitter(key)
    allowed_s = said.seconds("s-maxage" if "s-maxage" in said else "max-age")
    if allowed_s is not None:
        fresh_s = min(fresh_s, allowed_s)
    return Lifetime(min(fresh_s, content_max_age_s), fresh_s * GRACE, content_max_age_s)


def jitter(key: str) -> float:
    """From 1 - JITTER to 1, the same for the same key: lifetimes are never longer than they say."""
    draw = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest()) / 2**32
    return 1 - JITTER * draw


@dataclass(slots=True)
class LastAsked:
    """When things were last asked for, by a steady clock; what is not known any more counts as not known."""

    _at: dict[Hashable, float] = field(default_factory=dict)

    def note(self, key: Hashable, now: float) -> None:
        if len(self._at) >= LAST_ASKED_MOST:
            self._at.clear()
        self._at[key] = now

    def ago_s(self, key: Hashable, now: float) -> float | None:
        at = self._at.get(key)
        return None if at is None else now - at


def refresh_pays(asked_ago_s: float | None) -> bool:
    """Whether a release that was last asked for so long ago is in demand: None, it is not known when.

    Who is asked for more rarely would be old again before it is asked for next: the call would save nobody a wait.
    """
    return asked_ago_s is None or asked_ago_s <= DEMANDED_WITHIN_S


def may_leave(age_s: float, content_max_age_s: float) -> bool:
    """Whether restricted content that another machine may have fetched is young enough to be shown."""
    return -CLOCK_SKEW_S <= age_s < content_max_age_s


@dataclass(frozen=True, slots=True)
class Window:
    """The same for many: what was fetched after `since` and no later than `until` may leave."""

    since: datetime
    until: datetime

    def holds(self, fetched_at: datetime) -> bool:
        return self.since < fetched_at <= self.until


def window(now: datetime, content_max_age_s: float) -> Window:
    return Window(now - timedelta(seconds=content_max_age_s), now + timedelta(seconds=CLOCK_SKEW_S))
