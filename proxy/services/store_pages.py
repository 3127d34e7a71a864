"""Pages of a store's inventory as upstream shows them, read for a check or a sweep."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from matcher.database import Connection
from proxy.adapters import mirror
from proxy.adapters.mirror import LeaseLost, MirrorRow
from proxy.adapters.upstream import Call, Trace, Upstream
from proxy.domain.budget import Errand, Lane
from proxy.domain.delta import NEWEST, Changes, Observed, PageOf, Shown
from proxy.domain.merge import listings_of, posted_of, release_id_of
from proxy.domain.schedule import RENEW_FROM
from proxy.domain.visibility import PAGE_WALL, Using, is_poor, public_inventory, with_pictures_of
from proxy.domain.wire import decode_json, encode_json
from proxy.errors import NotFound, UpstreamBroken
from proxy.services.inventory_pages import inventory_page, items_of, seller_apart

SHOWN = Shown(per_page=100, last_page=PAGE_WALL)

ITEMS_MAX = 2_000_000
"""Of a store. What it says is kept in memory: a number by mistake must not fill that."""

SIX_HOURS_S = 6 * 3600.0

PATIENCE_S = 120.0
"""How long a call of a check or a sweep waits for budget that was begun while nobody waited for it."""


@dataclass(slots=True)
class Found:
    """What a check found, and the calls that it took. `pages` are those that a sweep read."""

    calls: int = 0
    added: int = 0
    removed: int = 0
    moved: int = 0
    edited: int = 0
    pages: int = 0
    middle: int = 0
    """Pages of other orders that were read for the first time, as the store is too long."""
    is_first: bool = False
    """The store was read for the first time, or again as an operator wants it."""

    def compared(self, changes: Changes, edited: Sequence[int]) -> None:
        self.added, self.removed, self.moved = len(changes.added), len(changes.removed), len(changes.moved)
        self.edited = len(edited)


@dataclass(frozen=True, slots=True)
class Look:
    """What a check works on, and by which lease. `patience_s` is that of its calls."""

    username: str
    errand: Errand
    patience_s: float | None
    trace: Trace
    audits: int
    renew: bool
    found: Found
    first_page: asyncio.Event
    token: uuid.UUID | None = None

    @property
    def lease(self) -> uuid.UUID:
        """Raises LeaseLost where there is none."""
        if self.token is None:
            raise LeaseLost
        return self.token

    def behind(self) -> Look:
        """For the pages that nobody waits for."""
        return replace(self, errand=Errand(Lane.SWEEP), patience_s=PATIENCE_S)


@dataclass(frozen=True, slots=True)
class PageRead:
    """`at` is when the page was asked for, `seller` the seller object of its rows as JSON."""

    observed: Observed
    rows: tuple[MirrorRow, ...]
    seller: bytes | None
    at: datetime


@dataclass(slots=True)
class StorePages:
    """Reads pages, as many and as long as upstream shows."""

    upstream: Upstream
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    content_max_age_s: float = SIX_HOURS_S
    shown: Shown = SHOWN

    async def write(
        self, connection: Connection, username: str, found: Sequence[MirrorRow], seller: bytes | None
    ) -> Sequence[MirrorRow]:
        """Into the mirror; returns the rows as they are there."""
        rows = await self._with_pictures(connection, username, found)
        await mirror.write_rows(connection, username, rows)
        if seller is not None:
            await mirror.write_seller(connection, username, seller)
        return rows

    async def _with_pictures(
        self, connection: Connection, username: str, found: Sequence[MirrorRow]
    ) -> tuple[MirrorRow, ...]:
        """Rows without pictures, as they are read while the operator's credential is refused, with those known.

        Such a row is as old as its pictures, and is left without them before that is too old to be shown.
        """
        poor = [row.listing_id for row in found if self.upstream.operator and is_poor(row.body)]
        known = await mirror.rows(connection, username, poor) if poor else {}
        since = self.now() - timedelta(seconds=self.content_max_age_s * RENEW_FROM)
        rich = {each: row for each, row in known.items() if row.fetched_at > since and not is_poor(row.body)}
        return tuple(_pictured(row, rich.get(row.listing_id)) for row in found)

    async def read_if_there(self, look: Look, page: PageOf) -> PageRead | None:
        """None beyond the last page: a store may have shrunk since the sweep began."""
        try:
            return await self.read(look, page)
        except NotFound:
            if page == NEWEST:
                raise
            return None

    async def read(self, look: Look, page: PageOf) -> PageRead:
        """Raises NotFound for a store that is not there, ProxyError for what is no page."""
        began, errand = self.now(), look.errand
        call = Call(
            "GET",
            f"/users/{quote(look.username, safe='')}/inventory?status=For+Sale&sort={page.sort}"
            f"&sort_order={'asc' if page.ascending else 'desc'}&per_page={self.shown.per_page}&page={page.number}",
            errand.lane_now,
            Using.OPERATOR if self.upstream.operator else Using.NOBODY,
            patience_s=look.patience_s,
            errand=errand,
        )
        body = public_inventory(inventory_page(await self.upstream.fetch(call, look.trace)))
        read = _page_read(body, look.username, page, began)
        if trouble := _trouble(read.observed, self.shown):
            raise UpstreamBroken(f"Discogs answered with a page that cannot be: {trouble}.")
        return read


def _page_read(body: dict[str, object], username: str, page: PageOf, at: datetime) -> PageRead:
    """Raises UpstreamBroken where a row says not what it is."""
    rows, seller = [], None
    for listing in listings_of(body):
        listing_id, release_id = _id_of(listing), release_id_of(listing)
        row, its_seller = seller_apart(listing)
        if listing_id is None or release_id is None or _is_another(its_seller, username):
            raise UpstreamBroken("Discogs answered with a listing that says not what it is, or is another seller's.")
        seller = seller or (encode_json(its_seller) if its_seller else None)
        rows.append(MirrorRow(listing_id, release_id, encode_json(row), at, posted_of(listing)))
    ids = tuple(row.listing_id for row in rows)
    return PageRead(Observed(page, ids, items_of(body)), tuple(rows), seller, at)


def _pictured(row: MirrorRow, rich: MirrorRow | None) -> MirrorRow:
    listing, known = decode_json(row.body), decode_json(rich.body) if rich else None
    if rich is None or not isinstance(listing, dict) or not isinstance(known, dict):
        return row
    body = encode_json(with_pictures_of(known, listing))
    return row if is_poor(body) else row._replace(body=body, fetched_at=rich.fetched_at)


def _id_of(listing: Mapping[str, object]) -> int | None:
    listing_id = listing.get("id")
    return listing_id if type(listing_id) is int and 0 < listing_id < 2**63 else None


def _is_another(seller: object, username: str) -> bool:
    """`username` is lower case."""
    name = seller.get("username") if isinstance(seller, dict) else None
    return isinstance(name, str) and name.lower() != username


def _trouble(observed: Observed, shown: Shown) -> str | None:
    """Of a page by itself: a store that is read from such pages would be shown short, or with listings twice."""
    if observed.items > ITEMS_MAX:
        return f"{observed.items} listings are more than any store has"
    if len(set(observed.ids)) < len(observed.ids):
        return "a listing is on it twice"
    if len(observed.ids) != shown.rows_due(observed.page, observed.items):
        return f"{len(observed.ids)} rows on page {observed.page.number} of {observed.items} listings"
    return None
