"""Reads what lies between the ends of a store too long to be read by `listed`: pages of further orders, in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from matcher.database import Database
from proxy.adapters import doubts, middle, mirror
from proxy.domain.budget import Lane
from proxy.domain.middle import Middle, has_middle, next_turn, page_of_middle, pages_now, seen_since, skipped
from proxy.errors import ProxyError
from proxy.services.store_pages import Look, PageRead, StorePages
from proxy.services.sweep import Sweep

log = structlog.get_logger()


@dataclass(slots=True)
class LongStores:
    """Goes on where it was, after a restart too. The caller holds the lease of the store, and has compared it."""

    database: Database
    pages: StorePages
    sweep: Sweep
    content_max_age_s: float

    async def read_on(self, look: Look) -> None:
        """A few pages, while nobody waits for the check. Where upstream fails a later check goes on."""
        async with self.database.connection() as connection:
            state = await mirror.state(connection, look.username)
            found = await middle.middle(connection, look.username)
            began = (await doubts.doubts(connection, look.username)).at
        items = state.items if state and state.items else 0
        if look.errand.lane_now is Lane.SHOPPER or not has_middle(items, self.pages.shown):
            return
        seen = set[int]()
        for _ in range(pages_now(found, look.audits, self.pages.shown)):
            if look.errand.is_awaited:
                break
            found = await self._turned(look, found, items)
            if found.is_read and not (found.orders and look.audits):
                break
            try:
                read = await self.pages.read(look.behind(), page_of_middle(found.page, self.pages.shown))
            except ProxyError as error:
                log.warning("middle not read", store=look.username, error=str(error), request_id=look.trace.request_id)
                await self._save(look, skipped(found, self.pages.shown))
                break
            look.found.middle += not found.is_read
            found = replace(found, page=found.page + 1)
            await self._write(look, found, read)
            seen.update(read.observed.ids)
        async with self.database.transaction() as connection:
            since = seen_since(found, self.pages.now(), self.content_max_age_s)
            await middle.keep(connection, look.username, look.lease, since)
            if await doubts.settle(connection, look.username, seen, began):
                await mirror.touch_rows(connection, look.username)

    async def _turned(self, look: Look, found: Middle, items: int) -> Middle:
        """After the last page: what is read next is decided by what is known now."""
        if found.page < found.pages(self.pages.shown):
            return found
        since = seen_since(found, self.pages.now(), self.content_max_age_s)
        async with self.database.transaction() as connection:
            known = await middle.keep(connection, look.username, look.lease, since)
        turned = next_turn(found, known, items, self.pages.shown)
        await self._save(look, turned)
        return turned

    async def _save(self, look: Look, found: Middle) -> None:
        async with self.database.transaction() as connection:
            await middle.save(connection, look.username, look.lease, found)

    async def _write(self, look: Look, found: Middle, read: PageRead) -> None:
        async with self.database.transaction() as connection:
            known = await mirror.rows(connection, look.username, read.observed.ids)
            queued = await self.sweep.keep(connection, look, read)
            if any(row.listing_id in known and known[row.listing_id].body != row.body for row in read.rows):
                await mirror.touch_rows(connection, look.username)
            await middle.save(connection, look.username, look.lease, found)
        self.sweep.kept(queued)
