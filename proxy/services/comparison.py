"""A delta check: compares the mirror of a store with a few pages of upstream, and makes it true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from matcher import store
from matcher.database import Connection, Database
from matcher.store import Priority
from proxy.adapters import doubts, middle, mirror
from proxy.adapters.doubts import Doubts
from proxy.adapters.mirror import StoreState
from proxy.domain.delta import NEWEST, Changes, Contradiction, PageOf, next_step
from proxy.domain.middle import Middle, has_middle, noted, seen_since, vanished_from_middle, within_reach
from proxy.domain.rotation import audit_pages, page_of_rotation, pages_in_doubt
from proxy.domain.webhook import is_told
from proxy.services.store_pages import Look, PageRead, StorePages
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
    content_max_age_s: float

    async def compare(self, look: Look, state: StoreState, swept: Sequence[int] | None = None) -> bool:
        """Whether the mirror is true now; False where the store changed while it was read. Raises ProxyError.

        The order that a sweep found is made true in the same way, and then shown.
        """
        async with self.database.connection() as connection:
            shown = await mirror.whole_order(connection, look.username)
            middle_ids = await middle.ids(connection, look.username)
            doubted = await doubts.doubts(connection, look.username)
        before = _Before(state, shown, swept, middle_ids, doubted)
        order = before.order
        pages = {NEWEST: await self.pages.read(look, NEWEST)}
        items = pages[NEWEST].observed.items
        audited = audit_pages(state.audit_page, look.audits, items, self.pages.shown)
        unseen = _unseen(doubted, order, pages)[:LOOKED_AT]
        wanted = [page_of_rotation(number, self.pages.shown) for number in audited]
        wanted += pages_in_doubt(order, unseen, items, self.pages.shown)
        wanted = [page for page in dict.fromkeys(wanted) if page != NEWEST]
        while True:
            step = (
                wanted.pop()
                if wanted
                else next_step(order, [page.observed for page in pages.values()], self.pages.shown)
            )
            if isinstance(step, Changes):
                unseen = [each for each in _unseen(doubted, step.order, pages) if each in unseen]
                step = next(iter(pages_in_doubt(step.order, unseen, items, self.pages.shown)), step)
            match step:
                case PageOf():
                    if (read := await self.pages.read_if_there(look, step)) is None:
                        return False
                    pages[step] = read
                case Contradiction():
                    log.info("check begins again", store=look.username, reason=step.reason)
                    return False
                case Changes():
                    await self._write(look, before, step, pages, audited)
                    return True

    async def _write(
        self,
        look: Look,
        before: _Before,
        changes: Changes,
        pages: Mapping[PageOf, PageRead],
        audited: Sequence[int],
    ) -> None:
        middle_ids, doubted = before.middle_ids, before.doubted
        rows = {row.listing_id: row for page in pages.values() for row in page.rows}
        first = pages[NEWEST]
        vanished = vanished_from_middle(before.order, changes, middle_ids)
        known_before = set(middle_ids)
        changes = replace(
            changes,
            order=within_reach(changes.order, self.pages.shown),
            added=tuple(each for each in changes.added if each not in known_before),
        )
        async with self.database.transaction() as connection:
            known = await mirror.rows(connection, look.username, list(rows))
            written = await self.pages.write(connection, look.username, list(rows.values()), first.seller)
            rows = {row.listing_id: row for row in written}
            edited = [each for each, row in rows.items() if each in known and known[each].body != row.body]
            added = [rows[each].release_id for each in changes.added]
            queued = await store.enqueue(
                connection,
                added,
                priority=Priority.NEW,
                store_username=look.username,
                request_id=look.trace.request_id,
            )
            since = await self._middle_seen_since(connection, look, vanished, first)
            if before.swept is not None or changes.order != tuple(before.shown):
                await mirror.change(
                    connection,
                    look.username,
                    look.lease,
                    changes.order,
                    swept=before.swept is not None,
                    removed=changes.removed,
                    seen_since=since,
                )
            elif edited:
                await mirror.touch_rows(connection, look.username)
            if since or middle_ids:
                await middle.keep(connection, look.username, look.lease, since or first.at)
            await mirror.confirm(
                connection,
                look.username,
                look.lease,
                items=first.observed.items,
                at=first.at,
                audited=audited[-1] if audited else None,
            )
            in_doubt = _unseen(doubted, [*changes.order, *middle_ids], pages)
            settled = [each for each in doubted.listing_ids if each not in in_doubt]
            if hidden := await doubts.settle(connection, look.username, settled, doubted.at):
                await mirror.touch_rows(connection, look.username)
            back = [each for each in hidden if each in set(changes.order)]
            await mirror.log_sync(connection, look.username, listings=len(rows), new_releases=queued)
            if before.state.is_mirrored:  # at first sight no listing is news
                added, removed = before.news(changes)
                told = [each for each in edited if is_told(known[each].body, rows[each].body)]
                await self.record(connection, look.username, added=[*added, *back], removed=removed, changed=told)
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

    async def _middle_seen_since(
        self, connection: Connection, look: Look, vanished: int, first: PageRead
    ) -> datetime | None:
        """When a row out of reach must have been seen to be shown; None where all of the store is within reach."""
        before = await middle.middle(connection, look.username)
        if not has_middle(first.observed.items, self.pages.shown):
            if before != Middle():
                await middle.save(connection, look.username, look.lease, Middle())
            return None
        since = seen_since(before, first.at, self.content_max_age_s)
        after = noted(before, vanished, first.at, self.content_max_age_s)
        if after != before:
            await middle.save(connection, look.username, look.lease, after)
        return since


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known as a comparison begins: the order that is `shown`, and what was `swept` just now."""

    state: StoreState
    shown: Sequence[int]
    swept: Sequence[int] | None
    middle_ids: Sequence[int]
    doubted: Doubts

    @property
    def order(self) -> Sequence[int]:
        """What is compared with upstream."""
        return self.shown if self.swept is None else self.swept

    def news(self, changes: Changes) -> tuple[list[int], list[int]]:
        """What was added, and what removed. What is only out of reach may still be there."""
        old, new = [*self.shown, *self.middle_ids], set(changes.order)
        known, gone, all_is_seen = set(old), set(changes.removed), not any(each < 0 for each in changes.order)
        return (
            [each for each in changes.order if each > 0 and each not in known],
            [each for each in old if each > 0 and each not in new and (all_is_seen or each in gone)],
        )


def _unseen(doubted: Doubts, order: Sequence[int], pages: Mapping[PageOf, PageRead]) -> list[int]:
    """Of the listings in doubt those in `order` that are on none of the pages read."""
    if not doubted.listing_ids:
        return []
    there, seen = set(order), {row.listing_id for page in pages.values() for row in page.rows}
    return [each for each in doubted.listing_ids if each in there and each not in seen]
