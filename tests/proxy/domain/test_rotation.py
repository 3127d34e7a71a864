"""Which pages are audited next."""

from __future__ import annotations

import pytest

from proxy.domain.delta import PageOf, Shown
from proxy.domain.rotation import audit_pages, page_of_rotation


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
