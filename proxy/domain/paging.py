"""Pages of a list of our own: `page` and `per_page` of the store-shaped answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from proxy.errors import BadRequest

T = TypeVar("T")

PER_PAGE_DEFAULT = 50
PER_PAGE_MAX = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Page numbers begin at 1."""

    number: int
    per_page: int

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        return items[(self.number - 1) * self.per_page : self.number * self.per_page]

    def as_json(self, items: int) -> dict[str, int]:
        pages = max(1, -(-items // self.per_page))
        return {"page": self.number, "pages": pages, "per_page": self.per_page, "items": items}


def requested_page(query: Mapping[str, str]) -> Page | None:
    """None: no page was asked for. A longer page than allowed is cut to 100, as Discogs does. Raises BadRequest."""
    if "page" not in query and "per_page" not in query:
        return None
    per_page = _positive(query, "per_page", PER_PAGE_DEFAULT)
    return Page(_positive(query, "page", 1), min(per_page, PER_PAGE_MAX))


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not (value.isascii() and value.isdecimal() and len(value) < 10 and int(value) > 0):
        raise BadRequest(f"{name} must be a whole number from 1 up.")
    return int(value)
