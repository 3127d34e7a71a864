"""Keeps the stores' mirrors true by schedule: one loop per process that reads, decides and starts checks.

Any number of processes may do so on one database: a store that one of them works on is leased, and what each costs and
replaces is counted in the database.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import structlog

from matcher import queue_store as queue
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from matcher.models import ProcessingStatus
from proxy.adapters import mirror, tracking
from proxy.adapters.metrics import Metrics
from proxy.adapters.upstream import Upstream
from proxy.domain.budget import Lane
from proxy.domain.hold_down import HOLD_DOWN_S
from proxy.domain.schedule import Forecast, Pace, Store, Task, Work, choose, forecast, tracked
from proxy.services.checks import Check, CheckService
from proxy.services.demand import Demand

TICK_S = 1.0
TICK_LEAST_S = 0.05
PROGRESS_S = 60.0
HOUSEKEEPING_S = 3600.0
FORGOTTEN_AT_ONCE = 200
"""Stores, each hour: a crawler of names must not fill the database."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Done:
    """What was done since `began`."""

    began: float
    pages: int = 0
    decided: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What this process did lately and how fast, how long the rest takes, and what it waits for."""

    pages_read: int
    pages_a_minute: float
    pages_left: int
    sweeps_left_s: int
    releases_decided: int
    releases_a_minute: float
    releases_left: int
    releases_left_s: int | None
    """None: nothing tells, as none was decided lately."""
    interval_stretch: float
    """Above 1 the budget makes all intervals so many times longer."""
    limited_by: str


@dataclass(slots=True)
class Scheduler:
    """`named` are the usernames in STORES, in lower case."""

    database: Database
    checks: CheckService
    demand: Demand
    upstream: Upstream
    metrics: Metrics
    pace: Pace
    named: Sequence[str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    _tracked: frozenset[str] = frozenset()
    _exhausted: frozenset[str] = frozenset()
    _running: dict[str, Work] = field(default_factory=dict)
    _discogs_failed_at: float = float("-inf")
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _minute: _Done = field(default_factory=lambda: _Done(time.monotonic()))
    _before: _Done = field(default_factory=lambda: _Done(time.monotonic()))
    _housekeeping_at: float = float("-inf")
    _is_away: bool = False

    def __post_init__(self) -> None:
        self.metrics.track(self.named)

    async def run(self) -> None:
        """For ever; while the database is away nothing is started."""
        tick_s = min(TICK_S, max(TICK_LEAST_S, self.pace.check_s / 4))
        while True:
            try:
                await self._turn()
            except DatabaseUnavailable as error:
                self._tell_once(str(error))
            else:
                self._is_away = False
            self._wake.clear()
            try:
                async with asyncio.timeout(tick_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Something is due sooner than thought."""
        self._wake.set()

    def page_read(self) -> None:
        """A call of a check or a sweep has ended."""
        self._minute.pages += 1

    def decided(self) -> None:
        """A release was matched, or found to have no match."""
        self._minute.decided += 1

    def ended(self, username: str, check: Check) -> None:
        """Some check of this process ended, whoever asked for it."""
        found = check.found
        if not found.calls and not check.error:
            return  # another process made it
        self.metrics.checks.labels(check.result).inc()
        if not found.pages and not check.error:
            self.metrics.check_calls.observe(found.calls - found.middle)
        if not found.is_first:
            self.demand.spent(username, found.calls - found.middle)

    def is_tracked(self, username: str) -> bool:
        """By the last decision; those of STORES always."""
        return username.lower() in self._tracked or username.lower() in self.named

    def may_check(self, username: str) -> bool:
        """By the last decision: false where its checks cost all that they may cost in a day."""
        return username.lower() not in self._exhausted

    async def watched(self) -> list[Store]:
        """The stores that are tracked, by the requests counted up to now. Raises DatabaseUnavailable."""
        await self.demand.flush()
        async with self.database.connection() as connection:
            known = await tracking.stores(connection, self.named)
            chosen = tracked(known, self.pace.tracked_max)
            if chosen != {each.username for each in known if each.is_tracked}:
                await tracking.track(connection, chosen)
        self._tracked = chosen
        self._exhausted = frozenset(each.username for each in known if not each.may_check)
        self.metrics.track({*chosen, *self.named})
        return [each for each in known if each.username in chosen]

    def forecast(self, stores: Sequence[Store]) -> Forecast:
        return forecast(stores, self.pace, self.now(), self.upstream.limit)

    # --- the loop ---

    async def _turn(self) -> None:
        if self.clock() >= self._housekeeping_at + HOUSEKEEPING_S:
            await self._keep_house()
        stores = await self.watched()
        now = self.clock()
        if now >= self._discogs_failed_at + HOLD_DOWN_S:
            free = [each for each in stores if not (each.is_paused or self.checks.is_held(each.username))]
            for task in choose(free, self.pace, self.now(), self._running):
                self._start(task)
        self._measure(stores)
        if now >= self._minute.began + PROGRESS_S:
            await self._tell_progress(stores, now)

    async def _keep_house(self) -> None:
        """The stores of STORES are known, and nothing is kept for longer than it is of use."""
        async with self.database.connection() as connection:
            for username in self.named:
                await mirror.make_known(connection, username)
            await mirror.forget_never_seen(connection, self.named)
            for _ in range(FORGOTTEN_AT_ONCE):
                if not await mirror.forget_one_unasked(connection, self.named):
                    break
            await tracking.forget_hours(connection)
            await tracking.forget_demand(connection)
            await tracking.forget_forwarded(connection)
        self._housekeeping_at = self.clock()

    def _start(self, task: Task) -> None:
        lane = Lane.CHECK if task.work is Work.CHECK else Lane.SWEEP
        renew = task.work is Work.RENEW
        # Anonymous pages renew no row that has pictures, however many are read.
        audits = min(task.audits, 1) if self.upstream.operator_refused else task.audits
        check = self.checks.check(task.username, lane, f"check-{secrets.token_hex(8)}", audits=audits, renew=renew)
        if check.task is None or check.task.done():
            return
        self._running[task.username] = task.work
        check.task.add_done_callback(lambda _: self._free(task.username, check))

    def _free(self, username: str, check: Check) -> None:
        """While Discogs fails altogether all stores are left alone for a while, else the one whose check failed."""
        self._running.pop(username, None)
        if check.error is None:
            self.wake()
        elif "discogs" in self.upstream.troubles():
            self._discogs_failed_at = self.clock()

    def _tell_once(self, error: str) -> None:
        if not self._is_away:
            log.warning("no checks while the database is away", error=error)
        self._is_away = True

    # --- telling ---

    def _measure(self, stores: Sequence[Store]) -> None:
        now = self.now()
        ages = [
            (now - each.checked_at).total_seconds()
            for each in stores
            if each.is_mirrored and each.checked_at and each.is_watched(now)
        ]
        self.metrics.check_age.set(max(ages, default=0.0))
        self.metrics.sweep_pages.clear()
        self.metrics.listing_age.clear()
        for each in stores:
            if each.is_to_be_swept:
                self.metrics.sweep_pages.labels(each.username, "read").set(each.sweep_page)
                self.metrics.sweep_pages.labels(each.username, "left").set(each.pages_left)
            if each.oldest_at:
                self.metrics.listing_age.labels(each.username).set((now - each.oldest_at).total_seconds())

    async def _tell_progress(self, stores: Sequence[Store], now: float) -> None:
        log.info("progress", stores=len(stores), **asdict(await self._progress(stores, self._minute)))
        self._before, self._minute = self._minute, _Done(now)

    async def progress(self, stores: Sequence[Store]) -> Progress:
        """Over the last minute or two. Raises DatabaseUnavailable."""
        before, minute = self._before, self._minute
        return await self._progress(
            stores, _Done(before.began, before.pages + minute.pages, before.decided + minute.decided)
        )

    async def _progress(self, stores: Sequence[Store], done: _Done) -> Progress:
        minutes = max(1.0, self.clock() - done.began) / 60
        async with self.database.connection() as connection:
            by_status = await queue.counts(connection)
        waiting = by_status[ProcessingStatus.QUEUED] + by_status[ProcessingStatus.PROCESSING]
        expected, decided_a_minute = self.forecast(stores), done.decided / minutes
        return Progress(
            pages_read=done.pages,
            pages_a_minute=round(done.pages / minutes, 1),
            pages_left=expected.pages_left,
            sweeps_left_s=round(expected.sweeps_s),
            releases_decided=done.decided,
            releases_a_minute=round(decided_a_minute, 1),
            releases_left=waiting,
            releases_left_s=round(waiting / decided_a_minute * 60) if decided_a_minute else None,
            interval_stretch=round(expected.stretch, 2),
            limited_by=self._limit(expected, waiting),
        )

    def _limit(self, expected: Forecast, waiting: int) -> str:
        troubles = self.upstream.troubles()
        for trouble in ("discogs", "budget"):
            if trouble in troubles:
                return f"Discogs: {troubles[trouble]}"
        if not (expected.pages_left or waiting or self._running):
            return "nothing: all is done"
        if self.upstream.lanes.is_awaited:
            return f"the budget of {self.upstream.limit} calls a minute"
        return "the time that calls and matching take"
