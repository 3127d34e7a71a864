"""Checks keep the mirror of a store true: a delta check where there is one, a sweep where there is none yet.

One process at a time works on a store, by a lease. A sweep goes on after a restart where it was; what it reads is shown
once it is whole, and a delta check follows at once, as the store may have changed while it was read.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from matcher import store
from matcher.database import Connection, Database
from matcher.errors import DatabaseUnavailable
from matcher.store import Priority
from proxy.adapters import mirror
from proxy.adapters.mirror import LeaseLost, MirrorRow, StoreState
from proxy.adapters.upstream import Call, Trace, Upstream
from proxy.domain.budget import Lane
from proxy.domain.delta import NEWEST, Changes, Contradiction, Observed, PageOf, Shown, next_step
from proxy.domain.hold_down import HoldDown
from proxy.domain.merge import listings_of, posted_of, release_id_of
from proxy.domain.visibility import PAGE_WALL, Using, public_inventory
from proxy.domain.wire import encode_json
from proxy.errors import Degraded, NotFound, ProxyError, UpstreamBroken
from proxy.services.inventory_pages import inventory_page, items_of, seller_apart

SHOWN = Shown(per_page=100, last_page=PAGE_WALL)
LEASE_S = 20.0
"""Prolonged while a check lives: after a process was killed another takes its store over so soon."""

GONE_AFTER_S = 600.0
"""A mirrored store that upstream says is not there is forgotten when it still says so after that: a sweep is dear."""

PATIENCE_S = 120.0
"""How long a call of a check or a sweep waits for budget when nobody waits for it."""

ATTEMPTS = 3
"""Of comparing a store that changes while it is read. The last one may fail: then it is swept."""

BUSY_LOOK_S = 0.25

log = structlog.get_logger()


@dataclass(slots=True)
class Found:
    """What a check found, and the calls that it took. `pages` are those that a sweep read."""

    calls: int = 0
    added: int = 0
    removed: int = 0
    moved: int = 0
    edited: int = 0
    pages: int = 0
    is_first: bool = False
    """The store was read for the first time, or again as an operator wants it."""


@dataclass(eq=False, slots=True)
class Check:
    """A running check. `first_page` is set once there is something to show, or nothing more will come."""

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

    async def ended(self, within_s: float | None = None) -> bool:
        """Whether it has, waiting so long for it at most; it goes on where not."""
        if self.task is not None:
            await asyncio.wait({self.task}, timeout=within_s)
        return self.task is None or self.task.done()


@dataclass(slots=True)
class CheckService:
    """At most one check per store at a time."""

    database: Database
    upstream: Upstream
    on_enqueued: Callable[[], None]
    on_ended: Callable[[str, Check], None] = lambda *_: None
    """Told the username and what became of each check that this process made."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _checks: dict[str, Check] = field(default_factory=dict)
    _held: HoldDown = field(default_factory=HoldDown)
    _unknown: HoldDown = field(default_factory=HoldDown)
    _missing_since: dict[str, float] = field(default_factory=dict)

    def is_unknown(self, username: str) -> bool:
        """Upstream said a moment ago that there is no such store: it is not asked again."""
        return self._unknown.holds(username, self.now().timestamp())

    def is_held(self, username: str) -> bool:
        """A check failed a moment ago: what is stored is shown without another attempt."""
        return self._held.holds(username, self.now().timestamp())

    def check(self, username: str, lane: Lane, request_id: str, *, audits: int = 0, renew: bool = False) -> Check:
        """The running check of the store, or a new one.

        `username` is lower case, `audits` how many pages to read again, to `renew` is to sweep what is mirrored.
        """
        if username not in self._checks:
            check = self._checks[username] = Check()
            look = _Look(username, lane, Trace(request_id), audits, check, renew)
            check.task = asyncio.create_task(self._run(look), name=f"check {username}")
            check.task.add_done_callback(lambda _: self._checks.pop(username, None))
        return self._checks[username]

    def running(self, username: str) -> Check | None:
        return self._checks.get(username)

    async def stop(self) -> None:
        """Cancel what runs: a sweep goes on after the next start."""
        tasks = [check.task for check in self._checks.values() if check.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, look: _Look) -> None:
        """Errors end in the check."""
        try:
            await self._leased(look)
        except (ProxyError, DatabaseUnavailable) as error:
            log.warning("check ended early", store=look.username, error=str(error), request_id=look.trace.request_id)
            self._held.failed(look.username, self.now().timestamp())
            if isinstance(error, NotFound):
                self._unknown.failed(look.username, self.now().timestamp())
            look.check.error = error
        except LeaseLost:
            look.check.error = Degraded("Another process took the store over.", 5)
        except Exception:
            log.exception("check died", store=look.username, request_id=look.trace.request_id)
            look.check.error = ProxyError("An error of the proxy's own; its log tells more.")
        finally:
            look.check.first_page.set()
            look.check.found.calls = look.trace.upstream_calls
            self.on_ended(look.username, look.check)

    async def _leased(self, look: _Look) -> None:
        async with self.database.connection() as connection:
            before = await mirror.make_known(connection, look.username)
            token = await mirror.lease(connection, look.username, LEASE_S)
        if token is None and (token := await self._wait_for_the_other(look, before)) is None:
            return
        keeping = asyncio.create_task(self._keep_lease(look.username, token), name="lease")
        try:
            await self._sweep_and_compare(replace(look, token=token), before)
            self._missing_since.pop(look.username, None)
        except NotFound:
            if not before.is_mirrored or self._is_gone(look.username):
                async with self.database.connection() as connection:
                    await mirror.forget(connection, look.username)
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

    async def _wait_for_the_other(self, look: _Look, before: StoreState) -> uuid.UUID | None:
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
                look.check.first_page.set()

    async def _sweep_and_compare(self, look: _Look, state: StoreState) -> None:
        look.check.found.is_first = not state.is_mirrored or state.purged
        if look.check.found.is_first or look.renew:
            await self._sweep(look)
        for _ in range(ATTEMPTS):
            if await self._compare(look, state.audit_page):
                return
        await self._sweep(look)

    # --- delta checks ---

    async def _compare(self, look: _Look, audit_page: int) -> bool:
        """Whether the mirror is true now; False where the store changed while it was read. Raises ProxyError."""
        async with self.database.connection() as connection:
            found = await mirror.order(connection, look.username)
        order: Sequence[int] = found[1] if found else ()
        pages = {NEWEST: await self._read(look, NEWEST)}
        audited = _audit_pages(audit_page, look.audits, pages[NEWEST].observed.items)
        wanted = [page for number in audited if (page := _page_of_rotation(number)) != NEWEST]
        while True:
            step = wanted.pop() if wanted else next_step(order, [page.observed for page in pages.values()], SHOWN)
            match step:
                case PageOf():
                    if (read := await self._read_if_there(look, step, look.lane)) is None:
                        return False
                    pages[step] = read
                case Contradiction():
                    log.info("check begins again", store=look.username, reason=step.reason)
                    return False
                case Changes():
                    await self._write(look, order, step, pages, audited)
                    return True

    async def _write(
        self,
        look: _Look,
        order: Sequence[int],
        changes: Changes,
        pages: Mapping[PageOf, _PageRead],
        audited: Sequence[int],
    ) -> None:
        rows = {row.listing_id: row for page in pages.values() for row in page.rows}
        first = pages[NEWEST]
        async with self.database.transaction() as connection:
            known = await mirror.rows(connection, look.username, list(rows))
            await mirror.write_rows(connection, look.username, rows.values())
            edited = [each for each, row in rows.items() if each in known and known[each].body != row.body]
            if first.seller is not None:
                await mirror.write_seller(connection, look.username, first.seller)
            added = [rows[each].release_id for each in changes.added]
            queued = await store.enqueue(connection, added, priority=Priority.NEW, store_username=look.username)
            if changes.order != tuple(order):
                await mirror.change(connection, look.username, look.lease, changes.order)
            elif edited:
                await mirror.touch_rows(connection, look.username)
            await mirror.confirm(
                connection,
                look.username,
                look.lease,
                items=first.observed.items,
                at=first.at,
                audited=audited[-1] if audited else None,
            )
            await mirror.log_sync(connection, look.username, listings=len(rows), new_releases=queued)
        if queued:
            self.on_enqueued()
        found = look.check.found
        found.added, found.removed, found.moved = len(changes.added), len(changes.removed), len(changes.moved)
        found.edited = len(edited)
        log.info(
            "check",
            store=look.username,
            calls=len(pages),
            added=len(changes.added),
            removed=len(changes.removed),
            moved=len(changes.moved),
            edited=len(edited),
            request_id=look.trace.request_id,
        )

    # --- sweeps ---

    async def _sweep(self, look: _Look) -> None:
        """Read every page that upstream shows. Raises ProxyError."""
        async with self.database.connection() as connection:
            page, swept = await mirror.swept(connection, look.username)
        ids, items, queued = list(swept), 0, 0
        while True:
            read = await self._read_if_there(look, PageOf(page + 1), Lane.SWEEP if page else look.lane)
            if read is None:
                break
            page, items = page + 1, read.observed.items
            seen = set(ids)
            ids += [each for each in read.observed.ids if each not in seen]
            async with self.database.transaction() as connection:
                queued += await self._keep(connection, look, read)
                await mirror.save_sweep(connection, look.username, look.lease, page=page, ids=ids, items=items)
            look.check.found.pages += 1
            look.check.first_page.set()
            if page >= min(SHOWN.last_page, -(-items // SHOWN.per_page)):
                break
        end = await self._far_end(look, ids, items)
        hole = range(-max(0, items - len(ids) - len(end)), 0) if end else ()
        async with self.database.transaction() as connection:
            await mirror.change(connection, look.username, look.lease, [*ids, *hole, *end])
            await mirror.log_sync(connection, look.username, listings=len(ids) + len(end), new_releases=queued)
        log.info("sweep", store=look.username, pages=page, listings=len(ids), request_id=look.trace.request_id)

    async def _far_end(self, look: _Look, ids: Sequence[int], items: int) -> list[int]:
        """Of a store longer than upstream shows: what is seen from its other end, newest first."""
        seen, end, number = set(ids), list[int](), 1
        while len(ids) + len(end) < items and number <= SHOWN.last_page:
            read = await self._read_if_there(look, PageOf(number, ascending=True), Lane.SWEEP)
            if read is None:
                break
            async with self.database.transaction() as connection:
                await self._keep(connection, look, read)
            look.check.found.pages += 1
            new = [each for each in read.observed.ids if each not in seen]
            end = new[::-1] + end
            if len(new) < len(read.observed.ids):
                break
            number += 1
        return end

    async def _keep(self, connection: Connection, look: _Look, read: _PageRead) -> int:
        """Write the rows of a page; returns how many releases were queued."""
        await mirror.write_rows(connection, look.username, read.rows)
        if read.seller is not None:
            await mirror.write_seller(connection, look.username, read.seller)
        releases = [row.release_id for row in read.rows]
        queued = await store.enqueue(connection, releases, priority=Priority.HISTORY, store_username=look.username)
        if queued:
            self.on_enqueued()
        return queued

    # --- pages ---

    async def _read_if_there(self, look: _Look, page: PageOf, lane: Lane) -> _PageRead | None:
        """None beyond the last page: a store may have shrunk since the sweep began."""
        try:
            return await self._read(replace(look, lane=lane), page)
        except NotFound:
            if page == NEWEST:
                raise
            return None

    async def _read(self, look: _Look, page: PageOf) -> _PageRead:
        """Raises NotFound for a store that is not there, ProxyError for what is no page."""
        began = self.now()
        waits = look.lane is Lane.SHOPPER
        call = Call(
            "GET",
            f"/users/{quote(look.username, safe='')}/inventory?status=For+Sale&sort=listed"
            f"&sort_order={'asc' if page.ascending else 'desc'}&per_page={SHOWN.per_page}&page={page.number}",
            look.lane,
            Using.OPERATOR if self.upstream.operator else Using.NOBODY,
            patience_s=None if waits else PATIENCE_S,
        )
        body = public_inventory(inventory_page(await self.upstream.fetch(call, look.trace)))
        return _page_read(body, page, began)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a check works on, and by which lease."""

    username: str
    lane: Lane
    trace: Trace
    audits: int
    check: Check
    renew: bool
    token: uuid.UUID | None = None

    @property
    def lease(self) -> uuid.UUID:
        """Raises LeaseLost where there is none."""
        if self.token is None:
            raise LeaseLost
        return self.token


@dataclass(frozen=True, slots=True)
class _PageRead:
    """`at` is when the page was asked for, `seller` the seller object of its rows as JSON."""

    observed: Observed
    rows: tuple[MirrorRow, ...]
    seller: bytes | None
    at: datetime


def _page_read(body: dict[str, object], page: PageOf, at: datetime) -> _PageRead:
    """Raises UpstreamBroken where a row says not what it is."""
    rows, seller = [], None
    for listing in listings_of(body):
        listing_id, release_id = listing.get("id"), release_id_of(listing)
        if type(listing_id) is not int or not 0 < listing_id < 2**63 or release_id is None:
            raise UpstreamBroken("Discogs answered with a listing that says not what it is.")
        row, its_seller = seller_apart(listing)
        seller = seller or (encode_json(its_seller) if its_seller else None)
        rows.append(MirrorRow(listing_id, release_id, encode_json(row), at, posted_of(listing)))
    ids = tuple(row.listing_id for row in rows)
    return _PageRead(Observed(page, ids, items_of(body)), tuple(rows), seller, at)


def _audit_pages(first: int, count: int, items: int) -> list[int]:
    """The next numbers of the rotation; page 1 is read anyway."""
    pages = min(2 * SHOWN.last_page, max(1, -(-items // SHOWN.per_page)))
    return list(dict.fromkeys((first - 1 + number) % pages + 1 for number in range(min(count, pages))))


def _page_of_rotation(number: int) -> PageOf:
    """After the last page that upstream shows, those of the far end."""
    beyond = number - SHOWN.last_page
    return PageOf(beyond, ascending=True) if beyond > 0 else PageOf(number)
