"""Which pages a check reads beside those that tell what changed: audits in turn, and where listings are in doubt."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from proxy.domain.delta import PageOf, Shown


def audit_pages(first: int, count: int, items: int, shown: Shown) -> list[int]:
    """The next numbers of the rotation; page 1 is read anyway."""
    pages = min(2 * shown.last_page, max(1, -(-items // shown.per_page)))
    return list(dict.fromkeys((first - 1 + number) % pages + 1 for number in range(min(count, pages))))


def page_of_rotation(number: int, shown: Shown) -> PageOf:
    """After the last page that upstream shows, those of the far end."""
    beyond = number - shown.last_page
    return PageOf(beyond, ascending=True) if beyond > 0 else PageOf(number)


def pages_in_doubt(order: Sequence[int], doubted: Collection[int], items: int, shown: Shown) -> list[PageOf]:
    """Where the `doubted` listings stand in `order`, each page once; none for what upstream does not show there."""
    if not doubted:
        return []
    places = (place for place, each in enumerate(order) if each in doubted)
    return list(dict.fromkeys(page for place in places if (page := shown.page_at(place, items))))
