"""The store-shaped answers: `GET /api/stores/{storeId}/inventory` and `GET /api/feed`, from the mirror, with audio."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from matcher.database import Connection, Database
from proxy.adapters import mirror
from proxy.adapters.mirror import Ages, FeedRow, StoreState
from proxy.adapters.upstream import Trace
from proxy.domain.budget import Lane
from proxy.domain.lifetimes import GRACE, Use, Window, may_leave, window
from proxy.domain.merge import Audience, cache_stats
from proxy.domain.mirror import Way
from proxy.domain.paging import Page
from proxy.domain.policy import MIRROR, Decision, Source
from proxy.domain.schedule import CHECKS_AT_ONCE
from proxy.domain.store_query import Cursor, FeedQuery, StoreQuery
from proxy.domain.wire import encode_json
from proxy.errors import Degraded, NotFound, ProxyError
from proxy.services.checks import Check, CheckService
from proxy.services.copies import too_old
from proxy.services.needed import needs_the_database
from proxy.services.orders import Backwards, Order, Orders
from proxy.services.persisted import PersistedCounts
from proxy.services.store_results import CHUNK, Chunk, View, chunk_of, chunks, picked
from proxy.settings import OFFICIAL_API_URL

AGAIN_S = 30.0
NOTICES = {
    "source": "Data provided by Discogs.",
    "source_url": "https://www.discogs.com/",
    "affiliation": "This application uses Discogs' API but is not affiliated with, sponsored or endorsed by Discogs. "
    "'Discogs' is a trademark of Zink Media, LLC.",
}
"""To be shown beside the data (Discogs API terms of use)."""

DATABASE_AWAY = "The database is away: store inventories cannot be answered now."


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """The answer's body, whole where it is short, else in pieces, and how it came about.

    `complete` is false until the first sweep has ended, and where listings are left out; `listings` is how many it has
    of each store that was asked for.
    """

    body: bytes | AsyncIterator[bytes]
    complete: bool
    decision: Decision
    listings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """`username` is lower case, `page` None for the whole store."""

    username: str
    query: StoreQuery
    page: Page | None
    audience: Audience
    public_origin: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """What may be shown of a store: ids oldest first, of `total` that it has. `aged` are too old to be shown.

    `seller` is the object of every row, as JSON.
    """

    state: StoreState
    ids: Sequence[int]
    total: int
    aged: int
    seller: bytes | None
    waited: bool = False

    @property
    def coverage(self) -> dict[str, int] | None:
        """None where all of the store is shown; what its first sweep read a check must confirm."""
        if self.state.is_mirrored and self.state.checked_at and len(self.ids) == self.total:
            return None
        return {"known": len(self.ids), "total": max(self.total, len(self.ids))}


@dataclass(slots=True)
class StoreService:
    """Answers from the mirror and lets it be checked behind; where there is nothing to show it waits for one page."""

    database: Database
    checks: CheckService
    orders: Orders
    counts: PersistedCounts
    is_tracked: Callable[[str], bool]
    upstream_origin: str
    audited_each_s: float
    content_max_age_s: float
    deadline_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def inventory(self, asked: Asked, trace: Trace) -> StoreAnswer:
        """Raises ProxyError. So do the pieces, and DatabaseUnavailable."""
        with needs_the_database(DATABASE_AWAY):
            shown = await self._shown(asked.username, trace)
            ids = await picked(self.database, asked.username, shown.ids, asked.query, asked.audience)
            pieces = self._paged(asked, shown, ids) if asked.page else self._whole(asked, shown, ids)
            is_short = asked.page or len(ids) <= CHUNK
            body = b"".join([piece async for piece in pieces]) if is_short else pieces
        listings = len(asked.page.cut(ids)) if asked.page else len(ids)
        return StoreAnswer(body, shown.coverage is None, self._decision(shown), {asked.username: listings})

    async def feed(
        self, usernames: Sequence[str], query: FeedQuery, audience: Audience, public_origin: str, trace: Trace
    ) -> StoreAnswer:
        """The newest listings of these stores together; of all known ones where none is named. Raises ProxyError."""
        view = self._view(audience, public_origin, query.fields)
        with needs_the_database(DATABASE_AWAY):
            if usernames:
                shown = await asyncio.gather(*(self._shown(each, trace) for each in usernames))
                return await self._feed([each.state for each in shown], shown, query, view)
            async with self.database.connection() as connection:
                known = await mirror.states(connection)
            return await self._feed(known, await self._followed(known, trace), query, view)

    # --- what may be shown ---

    async def _shown(self, username: str, trace: Trace) -> _Shown:
        """Checked behind where that is due, or under the first sweep, before where it is late; after the first page of
        a sweep where nothing could be shown before.
        """
        if self.checks.is_unknown(username):
            raise NotFound("User does not exist or may have been deleted.")
        shown = await self._look(username)
        if self._has_nothing(shown):
            check = await self._begin(shown, Lane.SHOPPER, trace)
            await self._wait_for_something(username, check, seen_before=shown.state.is_mirrored)
            shown = await self._look(username, waited=True)
            if not shown.ids and shown.total:
                raise Degraded("What is stored of the store is too old to be shown.", AGAIN_S)
        elif (lane := self._lane_of_check(shown)) is not None:
            check = await self._begin(shown, lane, trace)
            if lane is Lane.SHOPPER and await self.checks.ended(username, check, self.deadline_s) and not check.error:
                shown = await self._look(username, waited=True)
        return shown

    def _lane_of_check(self, shown: _Shown) -> Lane | None:
        """Of the check that is to begin now, None of none; who asks waits for one in the shoppers' lane.

        What is too old to be shown is read again whatever that costs, as less than the store would be shown.
        """
        if self.checks.is_held(shown.state.username):
            return None
        match self.checks.way(shown.state):
            case Way.FRESH | Way.IF_CHECK_FAILS | Way.UNPAID:
                return Lane.CHECK if shown.aged else None
            case Way.WHILE_CHECKED:
                return Lane.CHECK
            case Way.AFTER_CHECK:
                return Lane.SHOPPER
            case Way.UPSTREAM:
                is_late = shown.state.is_mirrored and self._age_s(shown.state) >= GRACE * self.checks.interval_s
                return Lane.SHOPPER if is_late else Lane.CHECK

    async def _followed(self, known: Sequence[StoreState], trace: Trace) -> list[_Shown]:
        """Those of the known stores that are tracked. They count as asked for; the stalest are checked behind."""
        followed = [_Shown(each, (), 0, 0, None) for each in known if self.is_tracked(each.username)]
        due = [each for each in followed if self._lane_of_check(each)]
        for each in sorted(due, key=lambda shown: self._age_s(shown.state), reverse=True)[:CHECKS_AT_ONCE]:
            await self._begin(each, Lane.CHECK, trace)
        return followed

    async def _look(self, username: str, *, waited: bool = False) -> _Shown:
        async with self.database.connection() as connection:
            state, ages, order, ids = await self._known(connection, username)
            if state.sweep_page and not (order or ids):  # the sweep has ended since we looked at the state
                state, ages, order, ids = await self._known(connection, username)
            real, shown = Backwards(ids), self._window()
            if ages and all(map(shown.holds, ages)):
                aged = set[int]()
            else:
                aged = await mirror.too_old(connection, username, list(real), shown)
            seller = order.seller if order else await mirror.seller(connection, username)
        total = len(order.ids) if order else state.items or 0
        young = [each for each in real if each not in aged] if aged else real
        return _Shown(state, young, total, len(aged), seller, waited)

    async def _known(
        self, connection: Connection, username: str
    ) -> tuple[StoreState, Ages | None, Order | None, Sequence[int]]:
        """The ids are newest first: of the mirror, or of the sweep that fills it. It is made known at first sight."""
        found = await mirror.state_and_ages(connection, username)
        state, ages = found or (await mirror.touch(connection, username), None)
        order = await self.orders.of(connection, state)
        return state, ages, order, order.known if order else await mirror.shown_of_sweep(connection, username)

    def _window(self) -> Window:
        return window(self.now(), self.content_max_age_s)

    def _has_nothing(self, shown: _Shown) -> bool:
        """A store that was found empty has nothing either, but that is known."""
        is_known_empty = shown.state.is_mirrored and not shown.total
        return not shown.ids and not (is_known_empty and may_leave(self._age_s(shown.state), self.content_max_age_s))

    def _age_s(self, state: StoreState) -> float:
        return self._since_s(state.checked_at)

    def _since_s(self, moment: datetime | None) -> float:
        return (self.now() - moment).total_seconds() if moment else float("inf")

    async def _begin(self, shown: _Shown, lane: Lane, trace: Trace) -> Check:
        """A check, or a sweep where rows are too old: only a page that holds a row renews it."""
        state = shown.state
        if shown.aged and not state.purged:
            async with self.database.connection() as connection:
                await mirror.purge(connection, state.username, soft=True)
        audits = 1 if self._since_s(state.reconciled_at) >= self.audited_each_s else 0
        return self.checks.check(state.username, lane, trace.request_id, audits=audits)

    async def _wait_for_something(self, username: str, check: Check, *, seen_before: bool) -> None:
        """Raises ProxyError, DatabaseUnavailable."""
        if not await check.shows(self.deadline_s):
            raise Degraded("Discogs has not answered yet; what is stored is too old to be shown.", AGAIN_S)
        error = check.error
        if error is None:
            return
        if isinstance(error, NotFound):
            if not seen_before:  # this request may have made it known again; of a mirror the check decides
                await self.checks.not_there(username)
        elif seen_before and isinstance(error, ProxyError):
            raise too_old(error)
        else:
            await self.checks.not_answered(username)
        raise error

    def _decision(self, shown: _Shown) -> Decision:
        state, age_s = shown.state, self._age_s(shown.state)
        if state.checked_at is None:
            return Decision(Source.MISS)
        if shown.waited:
            return Decision(Source.MISS, age_s=max(0.0, age_s))
        way, ttl_s, age_s = self.checks.way(state), self.checks.interval_s - age_s, max(0.0, age_s)
        if way is Way.FRESH:
            return Decision(Source.HIT, age_s, ttl_s, detail=MIRROR)
        detail = Use.IF_UPSTREAM_FAILS if self.checks.is_held(state.username) else Use.WHILE_RENEWED
        return Decision(Source.STALE, age_s, ttl_s, detail=MIRROR if way is Way.UNPAID else detail)

    # --- bodies ---

    def _view(self, audience: Audience, public_origin: str, fields: frozenset[str]) -> View:
        origins = (self.upstream_origin, OFFICIAL_API_URL)
        return View(audience, public_origin, origins, fields, self.content_max_age_s)

    def _chunks(self, asked: Asked, shown: _Shown, ids: Sequence[int]) -> AsyncIterator[Chunk]:
        view = self._view(asked.audience, asked.public_origin, asked.query.fields)
        return chunks(self.database, asked.username, ids, shown.seller, view, self.now)

    async def _whole(self, asked: Asked, shown: _Shown, ids: Sequence[int]) -> AsyncIterator[bytes]:
        """What is counted and left out is known at the end."""
        persisted = count = left_out = 0
        yield b'{"results":['
        async for chunk in self._chunks(asked, shown, ids):
            if chunk.shown:
                yield b"," + chunk.body if count else chunk.body
            persisted, count, left_out = persisted + chunk.persisted, count + chunk.shown, left_out + chunk.left_out
        coverage = shown.coverage
        if left_out:
            coverage = {"known": len(shown.ids) - left_out, "total": max(shown.total, len(shown.ids))}
        yield _tail(cache_stats(persisted, count), None, coverage)

    async def _paged(self, asked: Asked, shown: _Shown, ids: Sequence[int]) -> AsyncIterator[bytes]:
        page = asked.page or Page(1, CHUNK)
        bodies = [chunk.body async for chunk in self._chunks(asked, shown, page.cut(ids)) if chunk.shown]
        persisted = await self._persisted(asked, shown, ids)
        yield b'{"results":['
        yield b",".join(bodies)
        yield _tail(cache_stats(persisted, len(ids)), page.as_json(len(ids)), shown.coverage)

    async def _persisted(self, asked: Asked, shown: _Shown, ids: Sequence[int]) -> int:
        """Raises DatabaseUnavailable."""
        if asked.query.needs_facts or not shown.state.is_mirrored or shown.aged:
            return await self.counts.exactly(asked.username, ids)
        return await self.counts.of(asked.username, shown.state.version, ids)

    async def _feed(
        self, stores: Sequence[StoreState], asked: Sequence[_Shown], query: FeedQuery, view: View
    ) -> StoreAnswer:
        """Of these stores; `asked` are those that it is to be counted for."""
        after = (query.after.posted, query.after.listing_id) if query.after else None
        async with self.database.connection() as connection:
            names = [state.username for state in stores]
            found = await mirror.newest(connection, names, query.limit, after, self._window())
            sellers = {each: await mirror.seller(connection, each) for each in {row.store_username for row in found}}
        if not found and after is None and any(state.items for state in stores):
            raise Degraded("What is stored of the stores is too old to be shown.", AGAIN_S)
        rows = [(each.store_username, each.told) for each in found]
        chunk = await asyncio.to_thread(chunk_of, rows, sellers, view, self.now())
        told = {"next": _next(found, query.limit), "notices": NOTICES}
        body = b'{"results":[' + chunk.body + b"]," + encode_json(told)[1:]
        counts = Counter(each.store_username for each in found)
        return StoreAnswer(
            body,
            all(each.coverage is None for each in asked),
            self._worst(asked),
            {each.state.username: counts[each.state.username] for each in asked},
        )

    def _worst(self, asked: Sequence[_Shown]) -> Decision:
        """Of stores that are shown together, the one least known to be true."""
        decisions = [self._decision(each) for each in asked if each.state.checked_at or each.waited]
        return max(decisions, key=lambda each: (each.source is Source.MISS, each.age_s or 0.0), default=FROM_MIRROR)


FROM_MIRROR = Decision(Source.HIT, detail=MIRROR)


def _next(found: Sequence[FeedRow], limit: int) -> str | None:
    if len(found) < limit:
        return None
    return str(Cursor(found[-1].posted, found[-1].told.row.listing_id))


def _tail(stats: dict[str, int], pagination: dict[str, int] | None, coverage: dict[str, int] | None) -> bytes:
    """What follows the results."""
    told: dict[str, object] = {"cacheStats": stats, "notices": NOTICES}
    if pagination:
        told["pagination"] = pagination
    if coverage:
        told["coverage"] = coverage
    return b"]," + encode_json(told)[1:]
