"""A sweep: reads all pages of a store that upstream shows. A comparison makes true what it read, then shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from matcher import queue_store
from matcher.database import Connection, Database
from matcher.queue_store import Priority
from proxy.adapters import mirror
from proxy.domain.delta import NEWEST, PageOf
from proxy.domain.webhook import is_told
from proxy.errors import UpstreamBroken
from proxy.services.store_pages import Look, PageRead, StorePages
from proxy.services.webhooks import RecordListings

log = structlog.get_logger()


@dataclass(slots=True)
class Sweep:
    """Goes on where it was, after a restart too. The caller holds the lease of the store."""

    database: Database
    pages: StorePages
    on_enqueued: Callable[[], None]
    record: RecordListings

    async def sweep(self, look: Look) -> Sequence[int]:
        """Read every page that upstream shows; placeholders stand for what it does not. Raises ProxyError."""
        async with self.database.connection() as connection:
            page, swept = await mirror.swept(connection, look.username)
        ids, items, queued, last, shown = list(swept), None, 0, frozenset[int](), self.pages.shown
        while page < shown.last_page:
            read = await self.pages.read_if_there(look.behind() if page else look, PageOf(page + 1))
            if read is None:
                items = None
                break
            if last and last == frozenset(read.observed.ids):
                raise UpstreamBroken("Discogs answers with the same page for different ones.")
            page, items, last = page + 1, read.observed.items, frozenset(read.observed.ids)
            seen = set(ids)
            ids += [each for each in read.observed.ids if each not in seen]
            async with self.database.transaction() as connection:
                await mirror.save_sweep(connection, look.username, look.lease, page=page, ids=ids, items=items)
                new = await self.keep(connection, look, read)
            queued += new
            self.kept(new)
            look.found.pages += 1
            look.first_page.set()
            if page >= -(-items // shown.per_page):
                break
        if items is None:  # the last page was read before a restart, or the store shrank
            items = await self._items_of_end(look, page)
        end = await self._far_end(look, ids, items)
        hole = range(-max(0, items - len(ids) - len(end)), 0) if end else ()
        async with self.database.connection() as connection:
            await mirror.log_sync(connection, look.username, listings=len(ids) + len(end), new_releases=queued)
        log.info("sweep", store=look.username, pages=page, listings=len(ids), request_id=look.trace.request_id)
        return [*ids, *hole, *end]

    async def discard(self, look: Look) -> None:
        """What was read is not to be gone on with. Raises LeaseLost."""
        async with self.database.connection() as connection:
            await mirror.discard_sweep(connection, look.username, look.lease)

    async def _items_of_end(self, look: Look, page: int) -> int:
        """How many listings there are, if `page` can be the last one. Raises UpstreamBroken if it cannot."""
        items = (await self.pages.read(look.behind(), NEWEST)).observed.items
        if page < self.pages.shown.last_page and items > page * self.pages.shown.per_page:
            raise UpstreamBroken(f"Discogs says that there is no page {page + 1} of {items} listings.")
        return items

    async def _far_end(self, look: Look, ids: Sequence[int], items: int) -> list[int]:
        """Of a store longer than upstream shows: what is seen from its other end, newest first."""
        seen, end, number = set(ids), list[int](), 1
        shown = self.pages.shown
        is_longer = items > shown.last_page * shown.per_page  # else what is missing was missed: the comparison finds it
        while is_longer and len(ids) + len(end) < items and number <= self.pages.shown.last_page:
            read = await self.pages.read_if_there(look.behind(), PageOf(number, ascending=True))
            if read is None:
                break
            async with self.database.transaction() as connection:
                queued = await self.keep(connection, look, read)
            self.kept(queued)
            look.found.pages += 1
            new = [each for each in read.observed.ids if each not in seen]
            end = new[::-1] + end
            if len(new) < len(read.observed.ids):
                break
            number += 1
        return end

    def kept(self, queued: int) -> None:
        if queued:
            self.on_enqueued()

    async def keep(self, connection: Connection, look: Look, read: PageRead) -> int:
        """Write the rows of a page; returns how many releases were queued, for `kept` once that is committed."""
        shown = await mirror.shown_bodies(connection, look.username, [row.listing_id for row in read.rows])
        rows = await self.pages.write(connection, look.username, read.rows, read.seller)
        releases = [row.release_id for row in read.rows]
        queued = await queue_store.enqueue(
            connection,
            releases,
            priority=Priority.HISTORY,
            store_username=look.username,
            request_id=look.trace.request_id,
        )
        changed = [row.listing_id for row in rows if is_told(shown.get(row.listing_id, row.body), row.body)]
        await self.record(connection, look.username, changed=changed)
        return queued
