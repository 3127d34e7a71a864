"""Delta checks: what changed in a store's inventory, found with as few pages as possible.

The mirror is the store's listings in the order last known, newest first. A page that is read pins rows to places: a row
that both know has a place in the mirror and one in the store, and between two such rows as many must lie in the one as
in the other, unless some came or went. Where the counts differ, the page in the middle of what is unseen is asked for:
one sale among n pages is found with about log2(n) of them, and where nothing differs nothing is asked.

Rows between the ends of a store that is too long to be read are in the mirror as placeholders, negative numbers: they
count, and are never shown.

What counts cannot show (a sale and an insertion between the same two pages, a price changed in silence) is found by
auditing: any page that was read for another reason may be among the pages given.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, order=True)
class PageOf:
    """A page of the inventory. `number` counts from 1; a long store's far end is read ascending.

    The planner compares pages by `listed` alone; those of another `sort` show what lies between a long store's ends.
    """

    number: int
    ascending: bool = False
    sort: str = "listed"


NEWEST = PageOf(1)


@dataclass(frozen=True, slots=True)
class Observed:
    """A page as upstream gave it: ids of its rows in their order, and how many rows the store has in all."""

    page: PageOf
    ids: tuple[int, ...]
    items: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The check is done. `order` is the new mirror; what moved is neither added nor removed."""

    order: tuple[int, ...]
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The pages do not belong together, or to the mirror: read them again, or sweep."""

    reason: str


Step = PageOf | Changes | Contradiction


@dataclass(frozen=True, slots=True)
class Shown:
    """What upstream shows: rows of a page, and the last page that it gives (a foreign inventory stops at 100)."""

    per_page: int = 100
    last_page: int = 100

    def page_at(self, place: int, items: int) -> PageOf | None:
        """The page that holds the row at `place` (0 is the newest); None where both ends are too far."""
        from_the_end = items - 1 - place
        if (number := place // self.per_page + 1) <= self.last_page:
            return PageOf(number)
        if (number := from_the_end // self.per_page + 1) <= self.last_page:
            return PageOf(number, ascending=True)
        return None

    def places(self, observed: Observed) -> Iterator[tuple[int, int]]:
        """Place and id of each row."""
        for row, listing_id in enumerate(observed.ids, start=(observed.page.number - 1) * self.per_page):
            yield (observed.items - 1 - row if observed.page.ascending else row), listing_id

    def rows_due(self, page: PageOf, items: int) -> int:
        return max(0, min(self.per_page, items - (page.number - 1) * self.per_page))


def next_step(mirror: Sequence[int], pages: Iterable[Observed], shown: Shown) -> Step:
    """The page to read next, or what changed. `pages` are those read so far in this check, of one moment if possible.

    The newest page is always read: it shows what was added, and how many there are.
    """
    seen = {observed.page: observed for observed in pages}
    if NEWEST not in seen:
        return NEWEST
    items = seen[NEWEST].items
    if trouble := _contradiction(seen.values(), items, shown):
        return Contradiction(trouble)
    at = dict(sorted(place for observed in seen.values() for place in shown.places(observed)))
    standing = _standing(mirror, at)
    for gap in _gaps(mirror, at, standing, items):
        if gap.is_settled:
            continue
        if page := _telling_page(gap, shown, items):
            return page
        if not gap.has_placeholders:
            return Contradiction("what changed lies where upstream shows nothing")
    return _changes(mirror, at, standing, items)


def _telling_page(gap: _Gap, shown: Shown, items: int) -> PageOf | None:
    """The page that tells most; where upstream does not show it the nearest that it does; None if it shows none."""
    place = gap.telling_place
    nearest = sorted(gap.unseen, key=lambda each: abs(each - place))
    return next(filter(None, (shown.page_at(each, items) for each in nearest)), None)


def _contradiction(pages: Iterable[Observed], items: int, shown: Shown) -> str | None:
    ids: dict[int, PageOf] = {}
    for observed in pages:
        if observed.items != items:
            return "the number of listings changed while they were read"
        if len(observed.ids) != shown.rows_due(observed.page, items):
            return f"page {observed.page.number} has another number of rows than its count says"
    for observed in pages:
        for place, listing_id in shown.places(observed):
            if ids.setdefault(listing_id, observed.page) != observed.page and _differs(pages, shown, listing_id, place):
                return "a listing is on two pages"
    return None


def _differs(pages: Iterable[Observed], shown: Shown, listing_id: int, place: int) -> bool:
    """From both ends the pages of a short store overlap: the same row at the same place is no contradiction."""
    return any(other == listing_id and elsewhere != place for page in pages for elsewhere, other in shown.places(page))


def _standing(mirror: Sequence[int], at: Mapping[int, int]) -> dict[int, int]:
    """Of the rows seen those that still follow each other as in the mirror: id to its index there.

    The longest such series; whatever else the mirror knows has moved.
    """
    index = {listing_id: number for number, listing_id in enumerate(mirror)}
    known = [index[listing_id] for listing_id in at.values() if listing_id in index]
    return {mirror[number]: number for number in _longest_increasing(known)}


def _longest_increasing(numbers: Sequence[int]) -> list[int]:
    """By patience sorting; O(n log n)."""
    tops: list[int] = []
    piles: list[int] = []
    before: list[int | None] = []
    for position, number in enumerate(numbers):
        pile = bisect_left(tops, number)
        before.append(piles[pile - 1] if pile else None)
        if pile == len(tops):
            tops.append(number)
            piles.append(position)
        else:
            tops[pile], piles[pile] = number, position
    series: list[int] = []
    last = piles[-1] if piles else None
    while last is not None:
        series.append(numbers[last])
        last = before[last]
    return series[::-1]


@dataclass(frozen=True, slots=True)
class _Gap:
    """Between two standing rows: the places not seen, and the mirror's rows that may be there.

    `above` is the place of the upper one, -1 for the top of the store.
    """

    above: int
    unseen: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def is_settled(self) -> bool:
        """As many rows as places: nothing tells that any came or went. No place left: the rows are gone."""
        return not self.unseen or (len(self.unseen) == len(self.rows) and not self._may_go_on)

    @property
    def _may_go_on(self) -> bool:
        """What was added ends where an old row follows: until then more of it may come."""
        return self.unseen[0] != self.above + 1

    @property
    def has_placeholders(self) -> bool:
        return any(row < 0 for row in self.rows)

    def filled(self) -> Iterator[tuple[int, int]]:
        """Each place not seen with the row that is taken to be there; placeholders make up for what is too few."""
        rows = [row for row in self.rows if row > 0 or len(self.rows) == len(self.unseen)]
        if len(rows) != len(self.unseen) and self.unseen:
            above = next((place for place, row in enumerate(self.rows) if row < 0), len(rows))
            rows[above:above] = range(-len(self.unseen), -len(rows))
        return zip(self.unseen, rows, strict=False)

    @property
    def telling_place(self) -> int:
        """The place to look at next: where additions may go on, else in the middle."""
        return self.unseen[0 if self._may_go_on else len(self.unseen) // 2]


def _gaps(mirror: Sequence[int], at: Mapping[int, int], standing: Mapping[int, int], items: int) -> list[_Gap]:
    pinned = [(place, standing[listing_id]) for place, listing_id in at.items() if listing_id in standing]
    elsewhere = set(at.values())
    return [
        _Gap(
            above,
            tuple(place for place in range(above + 1, below) if place not in at),
            tuple(row for row in mirror[first + 1 : last] if row not in elsewhere),
        )
        for (above, first), (below, last) in pairwise([(-1, -1), *pinned, (items, len(mirror))])
    ]


def _changes(mirror: Sequence[int], at: Mapping[int, int], standing: Mapping[int, int], items: int) -> Changes:
    filled = dict(at)
    for gap in _gaps(mirror, at, standing, items):
        filled.update(gap.filled())
    order = tuple(filled[place] for place in range(items))
    before, after = set(mirror), set(order)
    return Changes(
        order,
        added=tuple(row for row in order if row > 0 and row not in before),
        removed=tuple(row for row in mirror if row > 0 and row not in after),
        moved=tuple(row for row in at.values() if row in before and row not in standing),
    )
