"""A delta check: compares the mirror of a store with a few pages of upstream, and makes it true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile

import structlog

from matcher import queue_store
from matcher.database import Connection, Database
from matcher.queue_store import Priority
from proxy.adapters import doubts, middle, mirror
from proxy.adapters.doubts import Doubts
from proxy.adapters.mirror import MirrorRow, StoreState
from proxy.domain.delta import NEWEST, Changes, Contradiction, PageOf, Shown, next_step
from proxy.domain.middle import Middle, has_middle, noted, seen_since, vanished_from_middle, within_reach
from proxy.domain.rotation import audit_pages, page_of_rotation, pages_in_doubt
from proxy.domain.webhook import is_told
from proxy.services.store_pages import Look, PageRead, StorePages
from proxy.services.webhooks import RecordListings

LOOKED_AT = 5
"""Listings in doubt that one check looks for: their pages come on top of what it needs."""

AUDITS_AWAITED = 1
"""Pages that are audited though a shopper waits: else a store that is always waited for never would be."""

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
        audits = [page_of_rotation(number, self.pages.shown) for number in audited]
        in_doubt = pages_in_doubt(order, unseen, items, self.pages.shown)
        while True:
            wanted = [*in_doubt, *(audits[:AUDITS_AWAITED] if look.errand.is_awaited else audits)]
            unread = next((page for page in wanted if page not in pages), None)
            step = unread or next_step(order, [page.observed for page in pages.values()], self.pages.shown)
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
                    done = list(takewhile(lambda number: page_of_rotation(number, self.pages.shown) in pages, audited))
                    await self._write(look, before, step, pages, done)
                    return True

    async def _write(
        self,
        look: Look,
        before: _Before,
        found: Changes,
        pages: Mapping[PageOf, PageRead],
        audited: Sequence[int],
    ) -> None:
        first, changes = pages[NEWEST], before.to_be_shown(found, self.pages.shown)
        vanished = vanished_from_middle(before.order, found, before.middle_ids)
        async with self.database.transaction() as connection:
            rows = await self._write_rows(connection, look, pages)
            queued = await queue_store.enqueue(
                connection,
                [rows.now[each].release_id for each in changes.added],
                priority=Priority.NEW,
                store_username=look.username,
                request_id=look.trace.request_id,
            )
            since = await self._middle_seen_since(connection, look, vanished, first)
            await self._show(connection, look, before, changes, since, is_edited=bool(rows.edited))
            if since or before.middle_ids:
                await middle.keep(connection, look.username, look.lease, since or first.at)
            await mirror.confirm(
                connection,
                look.username,
                look.lease,
                items=first.observed.items,
                at=first.at,
                audited=audited[-1] if audited else None,
            )
            back = await self._settle_doubts(connection, look, before, changes, pages)
            await mirror.log_sync(connection, look.username, listings=len(rows.now), new_releases=queued)
            if before.state.is_mirrored:  # at first sight no listing is news
                added, removed = before.news(changes)
                await self.record(connection, look.username, added=[*added, *back], removed=removed, changed=rows.told)
        if queued:
            self.on_enqueued()
        look.found.compared(changes, rows.edited)
        log.info(
            "check",
            store=look.username,
            calls=len(pages),
            added=look.found.added,
            removed=look.found.removed,
            moved=look.found.moved,
            edited=look.found.edited,
            request_id=look.trace.request_id,
        )

    async def _write_rows(self, connection: Connection, look: Look, pages: Mapping[PageOf, PageRead]) -> _Rows:
        read = {row.listing_id: row for page in pages.values() for row in page.rows}
        known = await mirror.rows(connection, look.username, list(read))
        written = await self.pages.write(connection, look.username, list(read.values()), pages[NEWEST].seller)
        return _Rows(known, {row.listing_id: row for row in written})

    async def _show(
        self,
        connection: Connection,
        look: Look,
        before: _Before,
        changes: Changes,
        seen_since: datetime | None,
        *,
        is_edited: bool,
    ) -> None:
        if before.swept is not None or changes.order != tuple(before.shown):
            await mirror.change(
                connection,
                look.username,
                look.lease,
                changes.order,
                swept=before.swept is not None,
                removed=changes.removed,
                seen_since=seen_since,
            )
        elif is_edited:
            await mirror.touch_rows(connection, look.username)

    async def _settle_doubts(
        self, connection: Connection, look: Look, before: _Before, changes: Changes, pages: Mapping[PageOf, PageRead]
    ) -> list[int]:
        """Returns what was hidden and is shown again."""
        doubted = before.doubted
        in_doubt = _unseen(doubted, [*changes.order, *before.middle_ids], pages)
        settled = [each for each in doubted.listing_ids if each not in in_doubt]
        if not (hidden := await doubts.settle(connection, look.username, settled, doubted.at)):
            return []
        await mirror.touch_rows(connection, look.username)
        there = set(changes.order)
        return [each for each in hidden if each in there]

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

    def to_be_shown(self, changes: Changes, shown: Shown) -> Changes:
        """Without the places that cannot be known; what was known from the middle is not added."""
        known = set(self.middle_ids)
        return replace(
            changes,
            order=within_reach(changes.order, shown),
            added=tuple(each for each in changes.added if each not in known),
        )

    def news(self, changes: Changes) -> tuple[list[int], list[int]]:
        """What was added, and what removed. What is only out of reach may still be there."""
        old, new = [*self.shown, *self.middle_ids], set(changes.order)
        known, gone, all_is_seen = set(old), set(changes.removed), not any(each < 0 for each in changes.order)
        return (
            [each for each in changes.order if each > 0 and each not in known],
            [each for each in old if each > 0 and each not in new and (all_is_seen or each in gone)],
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """By their ids: those `known` before, and those on the pages read as they are `now`."""

    known: Mapping[int, MirrorRow]
    now: Mapping[int, MirrorRow]

    @property
    def edited(self) -> list[int]:
        return [each for each, row in self.now.items() if each in self.known and self.known[each].body != row.body]

    @property
    def told(self) -> list[int]:
        """Of the edited ones."""
        return [each for each in self.edited if is_told(self.known[each].body, self.now[each].body)]


def _unseen(doubted: Doubts, order: Sequence[int], pages: Mapping[PageOf, PageRead]) -> list[int]:
    """Of the listings in doubt those in `order` that are on none of the pages read."""
    if not doubted.listing_ids:
        return []
    there, seen = set(order), {row.listing_id for page in pages.values() for row in page.rows}
    return [each for each in doubted.listing_ids if each in there and each not in seen]
