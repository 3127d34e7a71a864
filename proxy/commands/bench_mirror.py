"""The mirror in `./run bench`: how many pages a check reads to find what happened to a store of 3,000 listings.

The planner runs against a store in memory, as it does against Discogs: it alone decides which pages are read.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.domain.delta import Changes, Contradiction, Observed, PageOf, Shown, next_step

LISTINGS = 3000
ROUNDS = 40
SHOWN = Shown()


@dataclass
class Store:
    """Ids newest first, the truth; and the mirror of it."""

    draw: random.Random
    rows: list[int] = field(default_factory=lambda: list(range(LISTINGS, 0, -1)))
    mirror: Sequence[int] = field(default_factory=lambda: tuple(range(LISTINGS, 0, -1)))
    audit: int = 1

    def sell(self, place: int | None = None) -> int:
        return self.rows.pop(self.draw.randrange(len(self.rows)) if place is None else place)

    def add(self, place: int = 0, listing_id: int | None = None) -> None:
        self.rows.insert(place, max(self.rows) + 1 if listing_id is None else listing_id)

    def page(self, wanted: PageOf) -> Observed:
        rows = self.rows[::-1] if wanted.ascending else self.rows
        first = (wanted.number - 1) * SHOWN.per_page
        return Observed(wanted, tuple(rows[first : first + SHOWN.per_page]), len(rows))

    def check(self, *, audit: bool = False) -> int:
        """Returns the pages read. With `audit` the next page of the rotation is one of them."""
        seen = [self.page(PageOf(self.audit))] if audit and self.audit > 1 else []
        self.audit = self.audit % (len(self.rows) // SHOWN.per_page) + 1 if audit else self.audit
        while True:
            step = next_step(self.mirror, seen, SHOWN)
            match step:
                case PageOf():
                    seen.append(self.page(step))
                case Changes():
                    self.mirror = step.order
                    return len(seen)
                case Contradiction():
                    raise AssertionError(step.reason)


def relist(store: Store) -> None:
    store.add(listing_id=store.sell())


def balanced(store: Store) -> None:
    store.sell()
    store.add()


def sixty_additions(store: Store) -> None:
    for _ in range(60):
        store.add()


def two_apart(store: Store) -> None:
    store.sell(400)
    store.sell(2500)


EVENTS: dict[str, Callable[[Store], object]] = {
    "nothing": lambda _: None,
    "one sale deep down": lambda store: store.sell(2000),
    "one sale near the end": lambda store: store.sell(len(store.rows) - 3),
    "40 sales at once": lambda store: [store.sell() for _ in range(40)],
    "an addition": Store.add,
    "60 additions": sixty_additions,
    "an edit that moves the listing up": relist,
    "a relisting": relist,
    "a sale and an addition": balanced,
    "two sales far apart": two_apart,
}
MIDDLE = "an insertion in the middle (with audits)"


def mirror_table() -> None:
    print(f"\n{'what happened to a store of 3,000 (30 pages)':<46}{'pages':>9}{'most':>9}{'checks':>9}")
    for name, happen in EVENTS.items():
        _line(name, [_pages(happen, seed) for seed in range(ROUNDS)])
    _line(MIDDLE, [_pages(lambda store: store.add(store.draw.randrange(3000)), seed, audit=True) for seed in range(10)])
    print("pages: read until the mirror is true again, on average and at most; a full read is 30")


def _pages(happen: Callable[[Store], object], seed: int, *, audit: bool = False) -> tuple[int, int]:
    """Pages and checks until the mirror is true again, the first check after the event counted in."""
    store = Store(random.Random(seed))  # noqa: S311 - not for secrets
    happen(store)
    pages = checks = 0
    while not checks or tuple(store.mirror) != tuple(store.rows):
        pages, checks = pages + store.check(audit=audit), checks + 1
    return pages, checks


def _line(name: str, found: Sequence[tuple[int, int]]) -> None:
    pages = [each for each, _ in found]
    checks = max(each for _, each in found)
    print(f"{name:<46}{sum(pages) / len(pages):>9.1f}{max(pages):>9}{checks:>9}", flush=True)
