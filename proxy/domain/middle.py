"""The middle of a store that is too long to be read by `listed`: what further orders bring, and how long it is shown.

Upstream shows the first pages of any order. What lies too far from both ends by `listed` may lie near one by price, so
its pages are read as well, then those by title, and so on, as long as they bring something. A row found so is known,
but its exact place is not. Such pages are read in turn for ever: a row not seen again for too long is not shown.

Counts tell that something vanished from the middle, not what. Each of thousands of rows may be it: they are not all
hidden for the sake of one, nor shown for long. Who was not seen again some time after is hidden; one round of the pages
takes less than that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from proxy.domain.delta import Changes, PageOf, Shown

SORTS = ("price", "item", "artist", "label", "catno", "audio")
"""Those that a stranger may ask for; his sort by status is ignored."""

ORDERS = tuple((sort, ascending) for sort in SORTS for ascending in (True, False))

LEAST_NEW = 1.0
"""Rows a page, on average, that another order must promise, and the last one have brought. With 100 rows a page no
other one is read once less than a hundredth of the store is unknown."""

AT_ONCE = 10
"""Pages that one check reads while the orders are read for the first time."""

TURNS = 2
"""So often the middle is read again while the ends are once, a row of which can be looked for at its place."""

SHOWN_PART = 1 / 2
"""Of CONTENT_MAX_AGE: for so long a row is shown that was not seen again."""

DOUBTED_PART = 1 / 3
"""Of CONTENT_MAX_AGE: for so long it is still shown after something, which it may be, has vanished."""


@dataclass(frozen=True, slots=True)
class Middle:
    """Which pages are read in turn, and how far that is; `page` is the next one, counted from 0."""

    orders: int = 0
    """The first so many of ORDERS."""
    page: int = 0
    known_before: int = 0
    """Listings of the store that were known when the last of them began."""
    is_read: bool = False
    """All of them have been read once, and no further one pays."""
    gone_at: tuple[datetime, ...] = ()
    """When counts told that something had vanished, as long as that makes a difference."""

    def pages(self, shown: Shown) -> int:
        return self.orders * shown.last_page


def has_middle(items: int, shown: Shown) -> bool:
    return items > 2 * shown.per_page * shown.last_page


def page_of_middle(number: int, shown: Shown) -> PageOf:
    """`number` counts from 0 through the pages of all ORDERS."""
    order, page = divmod(number, shown.last_page)
    sort, ascending = ORDERS[order]
    return PageOf(page + 1, ascending, sort)


def next_turn(middle: Middle, known: int, items: int, shown: Shown) -> Middle:
    """After its last page: another order joins, or all begins again. `known` are the listings known of `items`."""
    promised = (items - known) * shown.per_page / max(1, items)
    brought = (known - middle.known_before) / shown.last_page
    pays = promised >= LEAST_NEW and (not middle.orders or brought >= LEAST_NEW)
    if pays and middle.orders < len(ORDERS):
        return replace(middle, orders=middle.orders + 1, known_before=known, is_read=False)
    return replace(middle, page=0, is_read=True)


def skipped(middle: Middle, shown: Shown) -> Middle:
    """Upstream does not give the next page: its order waits for the next round. That it brought little says nothing."""
    after = (middle.page // shown.last_page + 1) * shown.last_page
    return replace(middle, page=min(middle.pages(shown), after), known_before=0)


def pages_now(middle: Middle, audits: int, shown: Shown) -> int:
    """How many pages, at most, a check reads that audits so many pages of the ends."""
    if not (middle.is_read and middle.orders):
        return AT_ONCE
    pages = middle.pages(shown)
    return min(pages, -(-audits * TURNS * pages // (2 * shown.last_page)))


def seen_since(middle: Middle, now: datetime, content_max_age_s: float) -> datetime:
    """Rows of the middle that were seen last before that are not shown."""
    doubts_end = now - timedelta(seconds=content_max_age_s * DOUBTED_PART)
    return max([_at_the_latest(now, content_max_age_s), *(each for each in middle.gone_at if each <= doubts_end)])


def noted(middle: Middle, vanished: int, at: datetime, content_max_age_s: float) -> Middle:
    """What a check `at` that time found to have vanished; what makes no difference any more is forgotten."""
    since = _at_the_latest(at, content_max_age_s)
    gone_at = (*(each for each in middle.gone_at if each > since), *([at] if vanished else []))
    return replace(middle, gone_at=gone_at)


def _at_the_latest(now: datetime, content_max_age_s: float) -> datetime:
    return now - timedelta(seconds=content_max_age_s * SHOWN_PART)


def vanished_from_middle(order: Sequence[int], changes: Changes, middle_ids: Collection[int]) -> int:
    """How many: placeholders that are no more, and that no row known from the middle has taken the place of."""
    known = set(middle_ids)
    came = sum(each in known for each in changes.added)
    return max(0, sum(each < 0 for each in order) - sum(each < 0 for each in changes.order) - came)


def within_reach(order: Sequence[int], shown: Shown) -> tuple[int, ...]:
    """What drifted where upstream shows nothing has an exact place no more: a placeholder stands there."""
    reach = shown.per_page * shown.last_page
    if not has_middle(len(order), shown):
        return tuple(order)
    far = range(reach, len(order) - reach)
    return (*order[:reach], *(order[place] if order[place] < 0 else -1 - place for place in far), *order[far.stop :])


def with_middle(order: Sequence[int], middle_ids: Sequence[int]) -> list[int]:
    """All ids that are known, newest first: those of the middle where the placeholders stand, each id once."""
    first = next((place for place, each in enumerate(order) if each < 0), len(order))
    placed = set(order)
    others = [each for each in middle_ids if each not in placed]
    return [*order[:first], *others, *(each for each in order[first:] if each > 0)]
