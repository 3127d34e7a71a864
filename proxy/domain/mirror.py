"""Which requests for an inventory the mirror can answer, and the page and pagination that Discogs would give.

A foreign inventory, as the public sees it (Discogs documentation, Marketplace: Inventory, and what it really answers):
always For Sale, whatever status is asked for; without a sort in the order of `listed`, oldest first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import parse_qsl, unquote, urlencode

from proxy.domain.credentials import is_credential_parameter
from proxy.domain.lifetimes import GRACE, may_leave
from proxy.domain.paging import PER_PAGE_DEFAULT, PER_PAGE_MAX
from proxy.domain.visibility import OWN_PARAMETERS, PAGE_WALL

STATUSES = frozenset({"all", "deleted", "draft", "expired", "for sale", "sold", "suspended", "violation"})
SORTS = frozenset({"listed", "status"})
"""Those whose order the mirror knows: a stranger's sort by status is ignored."""

WALL = "Pagination above 100 disabled for inventories besides your own"


class Way(Enum):
    """How a request for a page of a mirrored store is answered."""

    FRESH = auto()
    WHILE_CHECKED = auto()
    """At once, with a check behind."""
    AFTER_CHECK = auto()
    """The request waits for the check; where that fails, or takes too long, as the mirror is."""
    IF_CHECK_FAILS = auto()
    """As the mirror is: a check failed a moment ago."""
    UNPAID = auto()
    """Without a check, though one is due: those of the store have cost all that they may cost in a day."""
    UPSTREAM = auto()
    """From upstream: nothing says that the mirror is true."""


def way_of(
    checked_ago_s: float | None,
    interval_s: float,
    content_max_age_s: float,
    *,
    purged: bool = False,
    held: bool = False,
    may_check: bool = True,
) -> Way:
    """`checked_ago_s` None: it never was. `purged`: an operator does not trust it; `held`: a check has just failed.

    `may_check`: its checks have cost less than they may.
    """
    if checked_ago_s is None or purged or not may_leave(checked_ago_s, content_max_age_s):
        return Way.UPSTREAM
    if checked_ago_s < interval_s:
        return Way.FRESH
    if held:
        return Way.IF_CHECK_FAILS
    if not may_check:
        return Way.UNPAID
    return Way.WHILE_CHECKED if checked_ago_s < interval_s * GRACE else Way.AFTER_CHECK


@dataclass(frozen=True, slots=True)
class MirrorPage:
    """A page of the mirror. `number` counts from 1."""

    number: int
    per_page: int
    ascending: bool

    def cut(self, order: Sequence[int]) -> Sequence[int]:
        """Of the ids in `order`, newest first, those of this page as they are to be shown."""
        first = (self.number - 1) * self.per_page
        if not self.ascending:
            return order[first : first + self.per_page]
        end = len(order) - first
        return order[max(0, end - self.per_page) : max(0, end)][::-1]

    def pages(self, items: int) -> int:
        return max(1, -(-items // self.per_page))

    def refusal(self, items: int) -> tuple[int, str] | None:
        """Status and message where there is no such page."""
        if self.number > PAGE_WALL:
            return 403, WALL
        if not 1 <= self.number <= self.pages(items):
            return 404, f"Page {self.number} is outside of valid range [1, {self.pages(items)}]."
        return None


def page_asked_for(raw_query: str) -> MirrorPage | None:
    """None for what the mirror cannot answer just as Discogs would: another sort, a search, a value that is none.

    Nothing says what Discogs makes of `PAGE`: a name in other case is another name.
    """
    pairs = parse_qsl(raw_query, keep_blank_values=True)
    asked = dict(pairs)
    known = {"page", "per_page", "sort", "sort_order", "status", *OWN_PARAMETERS}
    strange = [name for name in asked if name not in known and not is_credential_parameter(name)]
    number, per_page = _number(asked.get("page"), 1), _number(asked.get("per_page"), PER_PAGE_DEFAULT)
    if strange or len(asked) < len(pairs) or ";" in unquote(raw_query) or not number or not per_page:
        return None
    sort, order = asked.get("sort", "listed"), asked.get("sort_order", "asc").lower()
    if sort not in SORTS or order not in ("asc", "desc") or asked.get("status", "all").lower() not in STATUSES:
        return None
    return MirrorPage(number, min(per_page, PER_PAGE_MAX), ascending=order == "asc")


def _number(text: str | None, default: int) -> int:
    """0 where it is none."""
    if not text:
        return default
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def pagination(page: MirrorPage, items: int, base_url: str, raw_query: str) -> dict[str, object]:
    """The object of an answer. Its URLs repeat what was asked for; `page` leads where no size was asked for."""
    asked = [
        (name, value)
        for name, value in parse_qsl(raw_query, keep_blank_values=True)
        if name.lower() not in ("page", *OWN_PARAMETERS)
    ]
    sized = any(name == "per_page" and value for name, value in asked)

    def url(number: int) -> str:
        place = ("page", str(number))
        if sized:
            kept = [(name, str(page.per_page) if name == "per_page" else value) for name, value in asked]
            return f"{base_url}?{urlencode([*kept, place])}"
        others = [(name, value) for name, value in asked if name != "per_page"]
        return f"{base_url}?{urlencode([place, *others, ('per_page', str(page.per_page))])}"

    return {
        "page": page.number,
        "pages": page.pages(items),
        "per_page": page.per_page,
        "items": items,
        "urls": {rel: url(number) for rel, number in _neighbours(page.number, page.pages(items)).items()},
    }


def without(page: dict[str, object], hidden: Collection[int], base_url: str, raw_query: str) -> dict[str, object]:
    """A page of upstream's less its `hidden` rows, which are then not counted either."""
    rows, told = page.get("listings"), page.get("pagination")
    if not hidden or not isinstance(rows, list) or not isinstance(told, dict):
        return page
    left = [row for row in rows if not (isinstance(row, dict) and row.get("id") in hidden)]
    number, per_page, items = told.get("page"), told.get("per_page"), told.get("items")
    if type(number) is int and type(per_page) is int and per_page > 0 and type(items) is int:
        fewer = max(items - (len(rows) - len(left)), (number - 1) * per_page + len(left))
        told = told | pagination(MirrorPage(number, per_page, ascending=True), fewer, base_url, raw_query)
    return page | {"listings": left, "pagination": told}


def _neighbours(number: int, pages: int) -> dict[str, int]:
    """In Discogs' order: the first page names last and next only, the last one prev and first."""
    if pages == 1:
        return {}
    if number == 1:
        return {"last": pages, "next": 2}
    if number == pages:
        return {"prev": number - 1, "first": 1}
    return {"first": 1, "prev": number - 1, "next": number + 1, "last": pages}
