"""Which pages are audited next, and where listings in doubt stand."""

from __future__ import annotations

import pytest

from proxy.domain.delta import PageOf, Shown
from proxy.domain.rotation import audit_pages, page_of_rotation, pages_in_doubt


@pytest.mark.parametrize(
    ("first", "count", "items", "pages"),
    [
        (1, 2, 730, [PageOf(1), PageOf(2)]),
        (8, 2, 730, [PageOf(8), PageOf(1)]),
        (3, 9, 250, [PageOf(3), PageOf(1), PageOf(2)]),
        (100, 3, 12_000, [PageOf(100), PageOf(1, ascending=True), PageOf(2, ascending=True)]),
        (200, 2, 50_000, [PageOf(100, ascending=True), PageOf(1)]),
        (1, 0, 730, []),
        (5, 1, 0, [PageOf(1)]),
    ],
)
def test_audits_go_round_all_pages_that_are_shown(first: int, count: int, items: int, pages: list[PageOf]) -> None:
    assert [page_of_rotation(number, Shown()) for number in audit_pages(first, count, items, Shown())] == pages


def test_each_page_with_listings_in_doubt_is_read_once_from_the_end_that_shows_it() -> None:
    shown = Shown(per_page=10, last_page=3)
    order = range(100)
    assert pages_in_doubt(order, [5, 7, 21, 99], 100, shown) == [PageOf(1), PageOf(3), PageOf(1, ascending=True)]
    assert pages_in_doubt(order, [50, 1000], 100, shown) == []
    assert pages_in_doubt(order, [], 100, shown) == []
