"""Audits read the pages of a store again in turn: which come next."""

from __future__ import annotations

from proxy.domain.delta import PageOf, Shown


def audit_pages(first: int, count: int, items: int, shown: Shown) -> list[int]:
    """The next numbers of the rotation; page 1 is read anyway."""
    pages = min(2 * shown.last_page, max(1, -(-items // shown.per_page)))
    return list(dict.fromkeys((first - 1 + number) % pages + 1 for number in range(min(count, pages))))


def page_of_rotation(number: int, shown: Shown) -> PageOf:
    """After the last page that upstream shows, those of the far end."""
    beyond = number - shown.last_page
    return PageOf(beyond, ascending=True) if beyond > 0 else PageOf(number)
