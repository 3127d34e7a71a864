"""Which stores are kept true by schedule, and when: decided from what is known of them, the settings and the clock.

A store is checked every NEW_LISTING_CHECK_INTERVAL while people ask for it, at most hourly while they do not. Checks of
a store that is looked at also read some pages again (audits), by rotation, so that each row is read again within half
of CONTENT_MAX_AGE; where that did not happen, it is swept again. Where checks save no calls, as a store is rarely asked
for, it is checked every six hours only, and no page is read but for whoever asks for it.

What checks cost is bounded by what they save: a check begins only while the store's checks of the last 24 hours took
fewer calls than they replaced, plus 24. How many calls a check will take is not known when it begins: one that finds
much may exceed the bound by its own calls, and the next ones then wait until that is made up for. The first sweep of a
store, and one that an operator asked for, do not count. Calls are counted by the hour: those of checks of the last 24
to 25 hours, replaced ones of the last 23 to 24, so that the bound holds for any 24 hours that end with a check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from proxy.domain.budget import GUARANTEED_PART, shoppers_part
from proxy.domain.visibility import PAGE_WALL

WATCHED_FOR = timedelta(minutes=10)
"""After a request a store counts as looked at."""

QUIET_INTERVAL_S = 3600.0
UNPAID_INTERVAL_S = 6 * QUIET_INTERVAL_S
"""Between checks of a store whose checks save no calls."""

LEAD = 1 / 30
"""Part of the interval by which a check begins earlier: when it has ended, what it found is not late."""

FREE_CHECKS_A_DAY = 24

AUDITED_FOR = timedelta(hours=3)
"""After a request the rows of a store are still read again before they are too old to be shown."""

AUDIT_HORIZON = 0.5
"""Part of CONTENT_MAX_AGE in which each row is read again."""

RENEW_FROM = 0.9
"""Part of CONTENT_MAX_AGE from which rows are so old that only a sweep saves them."""

REQUESTS_TO_TRACK = 3
TRACKED_WITHIN = timedelta(hours=1)

CHECKS_AT_ONCE = 4
SWEEPS_AT_ONCE = 2

PER_PAGE = 100
PAGES_MAX = 2 * PAGE_WALL
UNLIMITED_PAGES_A_MINUTE = 120.0
"""Where there is no limit: what one call after the other takes."""


class Work(StrEnum):
    CHECK = "check"
    SWEEP = "sweep"
    """Reading a store for the first time, or again as an operator wants it."""
    RENEW = "renew"
    """A sweep of a store that is mirrored, as its rows would become too old to be shown."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings: how often a store is checked and audited, how old a row may be, how many stores are tracked."""

    check_s: float
    audit_s: float
    content_max_age_s: float
    tracked_max: int


@dataclass(frozen=True, slots=True)
class Store:
    """What the schedule needs to know of a store. The calls are those of the last 24 hours."""

    username: str
    requested_at: datetime
    is_mirrored: bool = False
    is_purged: bool = False
    sweep_page: int = 0
    items: int | None = None
    checked_at: datetime | None = None
    reconciled_at: datetime | None = None
    oldest_at: datetime | None = None
    """When the oldest row that is shown was read."""
    asked_at: tuple[datetime, ...] = ()
    """The last requests, newest first."""
    is_pinned: bool = False
    """In STORES, or wanted by an operator."""
    is_tracked: bool = False
    """By the last decision."""
    is_paused: bool = False
    """An operator wants it checked only when it is asked for."""
    is_leased: bool = False
    """Some process works on it now."""
    replaced_calls: int = 0
    check_calls: int = 0

    @property
    def pages(self) -> int:
        return pages_of(self.items or 0)

    @property
    def pages_left(self) -> int:
        """Of a sweep that is due."""
        return max(1, self.pages - self.sweep_page)

    @property
    def needs_first_sweep(self) -> bool:
        return not self.is_mirrored or self.is_purged

    @property
    def is_to_be_swept(self) -> bool:
        """Or is being swept."""
        return self.needs_first_sweep or self.sweep_page > 0

    @property
    def saved_calls(self) -> int:
        """Calls that its checks saved, less those that they cost."""
        return self.replaced_calls - self.check_calls

    @property
    def allowed_calls(self) -> int:
        return self.saved_calls + FREE_CHECKS_A_DAY

    @property
    def may_check(self) -> bool:
        return self.allowed_calls > 0

    def is_watched(self, now: datetime) -> bool:
        return now - self.requested_at <= WATCHED_FOR

    @property
    def is_asked_for_often(self) -> bool:
        last = self.asked_at[:REQUESTS_TO_TRACK]
        return len(last) == REQUESTS_TO_TRACK and last[0] - last[-1] <= TRACKED_WITHIN


def pages_of(items: int) -> int:
    """That a sweep reads: upstream shows no more of a long store than its two ends."""
    return min(PAGES_MAX, max(1, -(-items // PER_PAGE)))


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with a store now. `lateness` is in intervals since the work was due."""

    username: str
    work: Work
    audits: int = 0
    lateness: float = 0.0
    pages: int = 1


# --- which stores ---------------------------------------------------------------------------------------------------


def tracked(stores: Iterable[Store], most: int) -> frozenset[str]:
    """The usernames of those that are checked by schedule.

    Pinned ones always; of the others those asked for often enough once, at most `most`, least recently used out.
    """
    known = list(stores)
    candidates = [each for each in known if not each.is_pinned and (each.is_tracked or each.is_asked_for_often)]
    candidates.sort(key=lambda store: (store.requested_at, store.username), reverse=True)
    return frozenset(each.username for each in (*(s for s in known if s.is_pinned), *candidates[:most]))


# --- when -----------------------------------------------------------------------------------------------------------


def interval_s(store: Store, pace: Pace, now: datetime) -> float:
    """Seconds between checks. The free ones of a day are kept for when nobody asks, and for whom an operator wants."""
    if store.saved_calls <= 0 and not store.is_pinned:
        return max(UNPAID_INTERVAL_S, pace.check_s)
    is_paid = store.is_watched(now) and store.saved_calls > 0
    return pace.check_s if is_paid else max(QUIET_INTERVAL_S, pace.check_s)


def audits(store: Store, pace: Pace, now: datetime) -> int:
    """How many pages the next check reads again: none while nobody looks, and none before INVENTORY_SYNC_INTERVAL.

    As many as would have been due since the last time, where the budget made that late; never more than were saved.
    """
    if now - store.requested_at > AUDITED_FOR or _since_s(store.reconciled_at, now) < pace.audit_s:
        return 0
    horizon_s = pace.content_max_age_s * AUDIT_HORIZON
    age_s = _since_s(store.oldest_at, now) if store.oldest_at else 0.0
    step_s = max(pace.audit_s, interval_s(store, pace, now), min(_since_s(store.reconciled_at, now), QUIET_INTERVAL_S))
    left_s = horizon_s if age_s <= horizon_s else max(step_s, pace.content_max_age_s * RENEW_FROM - age_s)
    needed = -int(-store.pages * step_s // left_s)
    return max(0, min(needed, store.pages, store.saved_calls - 1))


def task(store: Store, pace: Pace, now: datetime) -> Task | None:
    """What is due; None: nothing, or another process is at it."""
    if store.is_leased:
        return None
    if store.needs_first_sweep:
        return Task(store.username, Work.SWEEP, pages=store.pages_left)
    if _is_to_be_renewed(store, pace, now):
        return Task(store.username, Work.RENEW, pages=store.pages_left)
    every_s = interval_s(store, pace, now)
    late_s = _since_s(store.checked_at, now) - every_s * (1 - LEAD)
    if late_s < 0 or not store.may_check:
        return None
    return Task(store.username, Work.CHECK, audits(store, pace, now), late_s / every_s)


def _is_to_be_renewed(store: Store, pace: Pace, now: datetime) -> bool:
    if not store.is_watched(now) or store.saved_calls < store.pages_left:
        return False
    too_old = store.oldest_at and _since_s(store.oldest_at, now) >= pace.content_max_age_s * RENEW_FROM
    return bool(too_old) or store.sweep_page > 0


def renewal_pays(past_the_mirror_s: Iterable[float], pages: int, content_max_age_s: float) -> bool:
    """Whether a store whose rows are too old is swept for those who ask for it.

    Once as many pages were read past the mirror as the sweep takes, in the time that it is good for: it never costs
    more than was lost by waiting for it. `past_the_mirror_s` is how long ago each was.
    """
    return sum(ago_s < content_max_age_s for ago_s in past_the_mirror_s) >= pages


def _since_s(moment: datetime | None, now: datetime) -> float:
    return (now - moment).total_seconds() if moment else float("inf")


def choose(stores: Iterable[Store], pace: Pace, now: datetime, running: Mapping[str, Work]) -> list[Task]:
    """What to start now, beside what runs already: never more than a few at once.

    Checks: who is latest by its own measure, so that too little budget makes all intervals longer by the same part.
    Sweeps: rows that would vanish first, then short stores, so that none waits behind a long one.
    """
    due = [found for each in stores if each.username not in running and (found := task(each, pace, now))]
    checks = sorted((t for t in due if t.work is Work.CHECK), key=lambda t: (-t.lateness, t.username))
    sweeps = sorted((t for t in due if t.work is not Work.CHECK), key=lambda t: (t.work is Work.SWEEP, t.pages))
    checking = sum(work is Work.CHECK for work in running.values())
    sweeping = len(running) - checking
    return [*checks[: max(0, CHECKS_AT_ONCE - checking)], *sweeps[: max(0, SWEEPS_AT_ONCE - sweeping)]]


# --- estimates ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the budget makes of the schedule: intervals are `stretch` times longer, and how fast sweeps read."""

    stretch: float
    sweep_pages_a_minute: float
    pages_left: int
    """Of all sweeps that are due."""

    @property
    def sweeps_s(self) -> float:
        """Seconds until all sweeps have ended, the matching beside them."""
        return self.pages_left / self.sweep_pages_a_minute * 60


def forecast(stores: Collection[Store], pace: Pace, now: datetime, calls_a_minute: int) -> Forecast:
    """Of the tracked `stores`, with a limit of `calls_a_minute` (0: none). Checks that find nothing are assumed."""
    checks = sum((1 + audits(each, pace, now)) * 60 / interval_s(each, pace, now) for each in stores)
    left = sum(each.pages_left for each in stores if each.is_to_be_swept)
    if not calls_a_minute:
        return Forecast(1.0, UNLIMITED_PAGES_A_MINUTE, left)
    background = calls_a_minute - shoppers_part(calls_a_minute)
    share = background / GUARANTEED_PART
    for_checks = background - 2 * share
    return Forecast(max(1.0, checks / for_checks), max(share, background - checks - share), left)


def effective_interval_s(store: Store, pace: Pace, now: datetime, expected: Forecast) -> float:
    return interval_s(store, pace, now) * expected.stretch


def sweep_left_s(store: Store, due: Sequence[Store], expected: Forecast) -> float | None:
    """Seconds until the store's sweep has ended, of those that are `due` shorter ones first.

    None: its length is not known yet; 0: no sweep.
    """
    if not store.is_to_be_swept:
        return 0.0
    if store.items is None:
        return None
    ahead = sum(each.pages_left for each in due if each.pages_left <= store.pages_left)
    return ahead / expected.sweep_pages_a_minute * 60
