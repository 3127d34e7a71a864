"""A delta check: compares the mirror of a store with a few pages of upstream, and makes it true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from matcher import store
from matcher.database import Database
from matcher.store import Priority
from proxy.adapters import doubts, mirror
from proxy.adapters.doubts import Doubts
from proxy.domain.delta import NEWEST, Changes, Contradiction, PageOf, next_step
from proxy.domain.rotation import audit_pages, page_of_rotation, pages_in_doubt
from proxy.domain.webhook import is_told
from proxy.services.store_pages import SHOWN, Look, PageRead, StorePages
from proxy.services.webhooks import RecordListings

LOOKED_AT = 5
"""Listings in doubt that one check looks for: their pages come on top of what it needs."""

log = structlog.get_logger()


@dataclass(slots=True)
class Comparison:
    """The caller holds the lease of the store."""

    database: Database
    pages: StorePages
    on_enqueued: Callable[[], None]
    record: RecordListings

    async def compare(self, look: Look, audit_page: int) -> bool:
        """Whether the mirror is true now; False where the store changed while it was read. Raises ProxyError."""
        async with self.database.connection() as connection:
            order = await mirror.whole_order(connection, look.username)
            doubted = await doubts.doubts(connection, look.username)
        pages = {NEWEST: await self.pages.read(look, NEWEST)}
        items = pages[NEWEST].observed.items
        audited = audit_pages(audit_page, look.audits, items, SHOWN)
        unseen = _unseen(doubted, order, pages)[:LOOKED_AT]
        wanted = [page_of_rotation(number, SHOWN) for number in audited]
        wanted += pages_in_doubt(order, unseen, items, SHOWN)
        wanted = [page for page in dict.fromkeys(wanted) if page != NEWEST]
        while True:
            step = wanted.pop() if wanted else next_step(order, [page.observed for page in pages.values()], SHOWN)
            if isinstance(step, Changes):
                unseen = [each for each in _unseen(doubted, step.order, pages) if each in unseen]
                step = next(iter(pages_in_doubt(step.order, unseen, items, SHOWN)), step)
            match step:
                case PageOf():
                    if (read := await self.pages.read_if_there(look, step, look.lane)) is None:
                        return False
                    pages[step] = read
                case Contradiction():
                    log.info("check begins again", store=look.username, reason=step.reason)
                    return False
                case Changes():
                    await self._write(look, order, step, pages, audited, doubted)
                    return True

    async def _write(
        self,
        look: Look,
        order: Sequence[int],
        changes: Changes,
        pages: Mapping[PageOf, PageRead],
        audited: Sequence[int],
        doubted: Doubts,
    ) -> None:
        rows = {row.listing_id: row for page in pages.values() for row in page.rows}
        first = pages[NEWEST]
        async with self.database.transaction() as connection:
            known = await mirror.rows(connection, look.username, list(rows))
            rows = {
                row.listing_id: row
                for row in await self.pages.with_pictures(connection, look.username, list(rows.values()))
            }
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
            in_doubt = _unseen(doubted, changes.order, pages)
            settled = [each for each in doubted.listing_ids if each not in in_doubt]
            if await doubts.settle(connection, look.username, settled, doubted.at):
                await mirror.touch_rows(connection, look.username)
            await mirror.log_sync(connection, look.username, listings=len(rows), new_releases=queued)
            told = [each for each in edited if is_told(known[each].body, rows[each].body)]
            await self.record(connection, look.username, added=changes.added, removed=changes.removed, changed=told)
        if queued:
            self.on_enqueued()
        found = look.found
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


def _unseen(doubted: Doubts, order: Sequence[int], pages: Mapping[PageOf, PageRead]) -> list[int]:
    """Of the listings in doubt those in `order` that are on none of the pages read."""
    if not doubted.listing_ids:
        return []
    there, seen = set(order), {row.listing_id for page in pages.values() for row in page.rows}
    return [each for each in doubted.listing_ids if each in there and each not in seen]
