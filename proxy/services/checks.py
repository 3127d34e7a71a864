"""Checks keep the mirror of a store true: a delta check where there is one, a sweep where there is none yet.

One process at a time works on a store, by a lease. A sweep goes on after a restart where it was; the store may have
changed while it was read, so a comparison follows at once, and what it made true is shown.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import mirror
from proxy.adapters.mirror import LeaseLost, StoreState
from proxy.adapters.upstream import Trace, Upstream
from proxy.domain.budget import Errand, Lane
from proxy.domain.delta import Shown
from proxy.domain.hold_down import HOLD_DOWN_S, HoldDown
from proxy.domain.mirror import Way, way_of
from proxy.errors import BudgetExhausted, Degraded, NotFound, ProxyError, UpstreamBroken
from proxy.services.comparison import Comparison
from proxy.services.long_stores import LongStores
from proxy.services.store_pages import PATIENCE_S, SHOWN, SIX_HOURS_S, Found, Look, StorePages
from proxy.services.sweep import Sweep
from proxy.services.webhooks import RecordListings, record_nothing

LEASE_S = 10.0
"""Prolonged while a check lives: after a process was killed another takes its store over so soon."""

GONE_AFTER_S = 600.0
"""A mirrored store that upstream says is not there is forgotten when it still says so after that: a sweep is dear."""

ATTEMPTS = 3
"""Of comparing a store that changes while it is read. Where all fail it is swept, and compared again."""

CONTRADICTED_S = 300.0
"""How long a store that contradicts itself even then is left alone: finding that out is dear."""

BUSY_LOOK_S = 0.25

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Check:
    """A running check. `first_page` is set once there is something to show, or nothing more will come."""

    errand: Errand
    first_page: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    error: ProxyError | DatabaseUnavailable | None = None
    found: Found = field(default_factory=Found)

    @property
    def result(self) -> str:
        """In a word."""
        if self.error:
            return "gone" if isinstance(self.error, NotFound) else "failed"
        if self.found.pages:
            return "swept"
        found = self.found
        return "changed" if found.added or found.removed or found.moved or found.edited else "unchanged"

    async def shows(self, within_s: float) -> bool:
        """Whether there is something to show, or nothing more will come, waiting so long for it at most."""
        try:
            async with asyncio.timeout(within_s):
                return await self.first_page.wait()
        except TimeoutError:
            return False

    async def ended(self, within_s: float | None = None) -> bool:
        """Whether it has, waiting so long for it at most; it goes on where not."""
        if self.task is not None:
            await asyncio.wait({self.task}, timeout=within_s)
        return self.task is None or self.task.done()


def begun_for(lane: Lane) -> tuple[Errand, float | None]:
    """The errand of a check, and the patience of its calls. A shopper's is awaited from the first."""
    if lane is Lane.SHOPPER:
        return Errand(Lane.CHECK, is_awaited=True), None
    return Errand(lane), PATIENCE_S


@dataclass(slots=True)
class CheckService:
    """At most one check per store at a time."""

    database: Database
    upstream: Upstream
    on_enqueued: Callable[[], None]
    on_ended: Callable[[str, Check], None] = lambda *_: None
    """Told the username and what became of each check that this process made."""
    named: Collection[str] = ()
    """The stores of STORES, in lower case: they stay known, whatever upstream says."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    record: RecordListings = record_nothing
    content_max_age_s: float = SIX_HOURS_S
    interval_s: float = 60.0
    may_check: Callable[[str], bool] = lambda _: True
    """Whether the store's checks have cost less than they may."""
    shown: Shown = SHOWN
    _comparison: Comparison = field(init=False)
    _sweep: Sweep = field(init=False)
    _long_stores: LongStores = field(init=False)
    _checks: dict[str, Check] = field(default_factory=dict)
    _held: HoldDown = field(default_factory=HoldDown)
    _unknown: HoldDown = field(default_factory=HoldDown)
    _missing_since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pages = StorePages(self.upstream, lambda: self.now(), self.content_max_age_s, self.shown)
        self._comparison = Comparison(self.database, pages, self.on_enqueued, self.record, self.content_max_age_s)
        self._sweep = Sweep(self.database, pages, self.on_enqueued, self.record)
        self._long_stores = LongStores(self.database, pages, self._sweep, self.content_max_age_s)

    def is_unknown(self, username: str) -> bool:
        """Upstream said a moment ago that there is no such store: it is not asked again."""
        return self._unknown.holds(username, self.now().timestamp())

    def is_held(self, username: str) -> bool:
        """A check failed, or took too long: what is stored is shown for a while without another attempt."""
        return self._held.holds(username, self.now().timestamp())

    async def ended(self, username: str, check: Check, within_s: float) -> bool:
        """Whether it has, waiting so long for it at most; where not it goes on, and nobody else waits for it."""
        if not (has_ended := await check.ended(within_s)):
            self._hold(username)
        return has_ended

    def way(self, state: StoreState) -> Way:
        """How a request for the store is answered: the one rule by which requests of any shape begin checks."""
        return way_of(
            (self.now() - state.checked_at).total_seconds() if state.checked_at else None,
            self.interval_s,
            self.content_max_age_s,
            purged=state.purged,
            held=self.is_held(state.username),
            may_check=self.may_check(state.username),
        )

    def check(self, username: str, lane: Lane, request_id: str, *, audits: int = 0, renew: bool = False) -> Check:
        """The running check of the store, or a new one. A shopper does not wait in a slower lane than his own.

        `username` is lower case, `audits` how many pages to read again, to `renew` is to sweep what is mirrored.
        """
        if username not in self._checks:
            errand, patience_s = begun_for(lane)
            check = self._checks[username] = Check(errand)
            look = Look(username, errand, patience_s, Trace(request_id), audits, renew, check.found, check.first_page)
            check.task = asyncio.create_task(self._run(look, check), name=f"check {username}")
            check.task.add_done_callback(lambda _: self._checks.pop(username, None))
        elif lane is Lane.SHOPPER:
            self.upstream.lanes.hurry(self._checks[username].errand)
        return self._checks[username]

    def running(self, username: str) -> Check | None:
        return self._checks.get(username)

    async def not_there(self, username: str) -> None:
        """Upstream says that there is no such store. Raises DatabaseUnavailable."""
        self._missing_since.pop(username, None)
        async with self.database.transaction() as connection:
            removed = await mirror.to_be_forgotten(connection, username)
            await self.record(connection, username, removed=removed)  # the releases of listings must be there yet
            await mirror.not_there(connection, username, self.named)

    async def not_answered(self, username: str) -> None:
        """Upstream did not say whether there is such a store. Raises DatabaseUnavailable."""
        async with self.database.connection() as connection:
            await mirror.forget_if_never_seen(connection, username, self.named)

    async def settled(self) -> None:
        """What runs has ended."""
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    async def stop(self) -> None:
        """Cancel what runs: a sweep goes on after the next start."""
        for task in self._tasks():
            task.cancel()
        await self.settled()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [check.task for check in self._checks.values() if check.task]

    def _hold(self, username: str, error: Exception | None = None) -> None:
        """Not for as long as shoppers are told to wait for budget: checks have a share of their own."""
        again_s = None if isinstance(error, BudgetExhausted) else getattr(error, "retry_after_s", None)
        for_s = max(HOLD_DOWN_S, again_s or 0.0)
        self._held.failed(username, self.now().timestamp(), for_s)

    async def _run(self, look: Look, check: Check) -> None:
        """Errors end in the check."""
        try:
            await self._leased(look)
        except (ProxyError, DatabaseUnavailable) as error:
            log.warning("check ended early", store=look.username, error=str(error), request_id=look.trace.request_id)
            if isinstance(error, NotFound):
                self._unknown.failed(look.username, self.now().timestamp())
            check.error = error
        except LeaseLost:
            check.error = Degraded("Another process took the store over.", 5)
        except Exception:
            log.exception("check died", store=look.username, request_id=look.trace.request_id)
            check.error = ProxyError("An error of the proxy's own; its log tells more.")
        finally:
            if check.error:
                self._hold(look.username, check.error)
            look.first_page.set()
            look.found.calls = look.trace.upstream_calls
            self.on_ended(look.username, check)

    async def _leased(self, look: Look) -> None:
        async with self.database.connection() as connection:
            before = await mirror.make_known(connection, look.username)
            token = await mirror.lease(connection, look.username, LEASE_S)
        if token is None and (token := await self._wait_for_the_other(look, before)) is None:
            return
        keeping = asyncio.create_task(self._keep_lease(look.username, token), name="lease")
        try:
            look = replace(look, token=token)
            await self._sweep_and_compare(look, before)
            await self._long_stores.read_on(look)
            self._missing_since.pop(look.username, None)
        except NotFound:
            if not before.is_mirrored or self._is_gone(look.username):
                await self.not_there(look.username)
            raise
        except ProxyError:
            await self.not_answered(look.username)
            raise
        finally:
            keeping.cancel()
            async with self.database.connection() as connection:
                await mirror.give_back(connection, look.username, token)

    async def _keep_lease(self, username: str, token: uuid.UUID) -> None:
        """For ever, or until it is lost: then what is read is not written."""
        while True:
            await asyncio.sleep(LEASE_S / 4)
            try:
                async with self.database.connection() as connection:
                    await mirror.prolong(connection, username, token, LEASE_S)
            except LeaseLost:
                return
            except DatabaseUnavailable as error:
                log.warning("lease not prolonged", store=username, error=str(error))

    def _is_gone(self, username: str) -> bool:
        now = self.now().timestamp()
        return now - self._missing_since.setdefault(username, now) >= GONE_AFTER_S

    async def _wait_for_the_other(self, look: Look, before: StoreState) -> uuid.UUID | None:
        """Until the process that holds the store has checked it: None; or the lease, where it gave up or died."""
        while True:
            await asyncio.sleep(BUSY_LOOK_S)
            async with self.database.connection() as connection:
                state = await mirror.make_known(connection, look.username)
                if state.checked_at != before.checked_at:
                    return None
                if token := await mirror.lease(connection, look.username, LEASE_S):
                    return token
            if state.sweep_page > before.sweep_page:
                look.first_page.set()

    async def _sweep_and_compare(self, look: Look, state: StoreState) -> None:
        """What a sweep read is shown once a comparison has made it true. Raises ProxyError."""
        look.found.is_first = not state.is_mirrored or state.purged
        is_to_be_swept = look.found.is_first or look.renew
        if not is_to_be_swept and await self._is_made_true(look, state):
            return
        swept = await self._sweep.sweep(look)
        look.errand.lane = Lane.CHECK  # what is left must not wait behind the sweeps of other stores
        if not await self._is_made_true(look, state, swept):
            await self._sweep.discard(look)
            raise UpstreamBroken("Discogs contradicts itself about the store.", CONTRADICTED_S)

    async def _is_made_true(self, look: Look, state: StoreState, swept: Sequence[int] | None = None) -> bool:
        for _ in range(ATTEMPTS):
            if await self._comparison.compare(look, state, swept):
                return True
        return False
