"""A delta check: compares the mirror of a store with a few pages of upstream, and makes it true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from matcher import store
from matcher.database import Database
from matcher.store import Priority
from proxy.adapters import mirror
from proxy.domain.delta import NEWEST, Changes, Contradiction, PageOf, next_step
from proxy.domain.rotation import audit_pages, page_of_rotation
from proxy.domain.webhook import is_told
from proxy.services.store_pages import SHOWN, Look, PageRead, StorePages
from proxy.services.webhooks import RecordListings

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
            found = await mirror.order(connection, look.username)
        order: Sequence[int] = found[1] if found else ()
        pages = {NEWEST: await self.pages.read(look, NEWEST)}
        audited = audit_pages(audit_page, look.audits, pages[NEWEST].observed.items, SHOWN)
        wanted = [page for number in audited if (page := page_of_rotation(number, SHOWN)) != NEWEST]
        while True:
            step = wanted.pop() if wanted else next_step(order, [page.observed for page in pages.values()], SHOWN)
            match step:
                case PageOf():
                    if (read := await self.pages.read_if_there(look, step, look.lane)) is None:
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
        look: Look,
        order: Sequence[int],
        changes: Changes,
        pages: Mapping[PageOf, PageRead],
        audited: Sequence[int],
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
