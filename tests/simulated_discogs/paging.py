"""Pages of a list and the `pagination` object, with its urls that repeat every query parameter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from .exchange import Ask, Body, Refusal

T = TypeVar("T")

PER_PAGE = 50
MOST_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    number: int
    pages: int
    per_page: int
    items: int
    rows: Sequence[T]


def page_of(ask: Ask, items: Sequence[T], *, most: int | None = None) -> Page[T]:
    """`most` is how many items can be reached by paging at all (search: 10 000), though all are counted."""
    per_page = min(whole_number(ask, "per_page", PER_PAGE), MOST_PER_PAGE)
    if per_page < 1:
        raise Refusal(422, "Invalid per_page: expected positive integer.")
    reachable = len(items) if most is None else min(len(items), most)
    number, pages = whole_number(ask, "page", 1), max(1, -(-reachable // per_page))
    if not 1 <= number <= pages:
        raise Refusal(404, f"Page {number} is outside of valid range [1, {pages}].")
    rows = items[(number - 1) * per_page : number * per_page]
    return Page(number, pages, per_page, len(items), rows)


def whole_number(ask: Ask, name: str, default: int) -> int:
    """No source tells what Discogs says to page=abc; this is worded like its "Invalid price: expected float."."""
    try:
        return int(ask.parameter(name) or default)
    except ValueError:
        raise Refusal(422, f"Invalid {name}: expected integer.") from None


def pagination(ask: Ask, page: Page[T]) -> Body:
    return {
        "page": page.number,
        "pages": page.pages,
        "per_page": page.per_page,
        "items": page.items,
        "urls": {rel: _url(ask, number, page.per_page) for rel, number in _neighbours(page).items()},
    }


def _neighbours(page: Page[T]) -> dict[str, int]:
    """In Discogs' order: the first page knows last and next only, the last prev and first only."""
    if page.pages == 1:
        return {}
    if page.number == 1:
        return {"last": page.pages, "next": 2}
    if page.number == page.pages:
        return {"prev": page.number - 1, "first": 1}
    return {"first": 1, "prev": page.number - 1, "next": page.number + 1, "last": page.pages}


def _url(ask: Ask, number: int, per_page: int) -> str:
    """Asked-for parameters stay in place with `page` last; when per_page was not asked, `page` leads (as seen)."""
    others = [(key, value) for key, value in ask.query if key not in {"page", "per_page"}]
    if ask.parameter("per_page"):
        kept = [(key, str(per_page) if key == "per_page" else value) for key, value in ask.query if key != "page"]
        return f"{ask.origin}{ask.path}?{urlencode([*kept, ('page', str(number))])}"
    return f"{ask.origin}{ask.path}?{urlencode([('page', str(number)), *others, ('per_page', str(per_page))])}"
