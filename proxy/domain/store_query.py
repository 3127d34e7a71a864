"""What a shop asks of store results: filters, an order, the members wanted. Pure functions over facts of a listing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from anyascii import anyascii

from proxy.domain.merge import LISTING_MEMBERS, RESULT_MEMBERS
from proxy.errors import BadRequest

T = TypeVar("T")

TEXT_LONGEST = 200
FIELDS = LISTING_MEMBERS | RESULT_MEMBERS
YEAR = re.compile(r"[1-9][0-9]{3}")
DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
COPIES = re.compile(r"\d+\s*x\s*")
"""As in `2xLP`."""

CONDITIONS = (
    "Mint (M)",
    "Near Mint (NM or M-)",
    "Very Good Plus (VG+)",
    "Very Good (VG)",
    "Good Plus (G+)",
    "Good (G)",
    "Fair (F)",
    "Poor (P)",
)

FEED_LIMIT, FEED_LIMIT_MOST = 50, 200
FEED_STORES_MOST = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sort(StrEnum):
    AUDIO = "audio"
    PRICE = "price"
    ARTIST = "artist"
    TITLE = "title"
    LABEL = "label"
    YEAR = "year"
    LISTED = "listed"


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """Texts are `plain`; empty and None: anything will do. `fields` empty: all of them."""

    has_audio: bool | None = None
    words: tuple[str, ...] = ()
    artist: str = ""
    label: str = ""
    formats: frozenset[str] = frozenset()
    condition: str | None = None
    year: int | None = None
    min_price: float | None = None
    max_price: float | None = None
    sort: Sort = Sort.LISTED
    descending: bool = False
    fields: frozenset[str] = frozenset()

    @property
    def needs_audio(self) -> bool:
        return self.has_audio is not None or self.sort is Sort.AUDIO

    @property
    def needs_facts(self) -> bool:
        """False: the order of ids alone says which listings are shown, and in which order."""
        return self != StoreQuery(descending=self.descending, fields=self.fields)


@dataclass(frozen=True, slots=True)
class Facts:
    """What filters and sorts look at. `year` is None where it is not known."""

    artist: str
    title: str
    label: str
    catno: str
    format: str
    condition: str
    year: int | None
    price: float | None
    has_audio: bool


def plain(text: str) -> str:
    """Without case, accents and scripts: `Bjork` finds `Björk`."""
    return (text if text.isascii() else anyascii(text)).casefold().strip()


# --- reading ------------------------------------------------------------------------------------------------------


def requested(query: Mapping[str, str]) -> StoreQuery:
    """An empty value is none, as forms send it. Raises BadRequest."""
    least, most = _price(query, "min_price"), _price(query, "max_price")
    if least is not None and most is not None and least > most:
        raise BadRequest("min_price must be at most max_price.")
    return StoreQuery(
        has_audio=_has_audio(query),
        words=tuple(_text(query, "q").split()),
        artist=_text(query, "artist"),
        label=_text(query, "label"),
        formats=formats_in(_text(query, "format")),
        condition=_condition(query),
        year=_year(query),
        min_price=least,
        max_price=most,
        sort=Sort(_one_of(query, "sort", tuple(Sort)) or Sort.LISTED),
        descending=_one_of(query, "sort_order", ("asc", "desc")) == "desc",
        fields=_fields(query),
    )


def _text(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if len(value) > TEXT_LONGEST:
        raise BadRequest(f"{name} must be at most {TEXT_LONGEST} characters long.")
    return plain(value)


def _one_of(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    value = query.get(name, "").lower()
    if value and value not in allowed:
        raise BadRequest(f"{name} must be one of {', '.join(allowed)}.")
    return value


def _has_audio(query: Mapping[str, str]) -> bool | None:
    value = _one_of(query, "has_audio", ("true", "false", "1", "0"))
    return value in ("true", "1") if value else None


def _year(query: Mapping[str, str]) -> int | None:
    value = query.get("year", "")
    if not value:
        return None
    if not YEAR.fullmatch(value):
        raise BadRequest("year must be a year of four digits.")
    return int(value)


def _price(query: Mapping[str, str], name: str) -> float | None:
    value = query.get(name, "")
    if not value:
        return None
    if (price := decimal(value)) is None:
        raise BadRequest(f"{name} must be a number from 0 up, as in 9.50.")
    return price


def decimal(text: str) -> float | None:
    """Digits with or without a fraction; None for whatever else Python takes for a number: `1_0`, `1e3`, `nan`, `٣`."""
    return float(text) if DECIMAL.fullmatch(text) else None


def _condition(query: Mapping[str, str]) -> str | None:
    """By its whole name or its grade. A plus that was not encoded arrives as a blank."""
    value = query.get("condition", "").casefold()
    if not value:
        return None
    for condition in CONDITIONS:
        name, _, grades = condition.removesuffix(")").casefold().partition(" (")
        if value in (condition.casefold(), name) or value.replace(" ", "+") in grades.split(" or "):
            return condition.casefold()
    raise BadRequest(f"condition must be one of {', '.join(CONDITIONS)}, or its grade, as in VG%2B.")


def _fields(query: Mapping[str, str]) -> frozenset[str]:
    value = query.get("fields", "")
    names = frozenset(value.split(",") if value else ())
    if not names <= FIELDS:
        raise BadRequest(f"fields must be names of these, joined by commas: {', '.join(sorted(FIELDS))}.")
    return names


# --- filters ------------------------------------------------------------------------------------------------------


def facts_of(listing: Mapping[str, object], *, has_audio: bool) -> Facts:
    """Of a listing as Discogs gives it, whatever is missing in it."""
    release, price = listing.get("release"), listing.get("price")
    release = release if isinstance(release, dict) else {}
    year = release.get("year")
    value = price.get("value") if isinstance(price, dict) else None

    def text(of: Mapping[str, object], name: str) -> str:
        found = of.get(name)
        return plain(found) if isinstance(found, str) else ""

    return Facts(
        artist=text(release, "artist"),
        title=text(release, "title"),
        label=text(release, "label"),
        catno=text(release, "catalog_number"),
        format=text(release, "format"),
        condition=text(listing, "condition"),
        year=year if type(year) is int and year > 0 else None,
        price=float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None,
        has_audio=has_audio,
    )


def formats_in(text: str) -> frozenset[str]:
    """The parts of a format as Discogs writes it: `2xLP, Album, RE + 7"` is an LP, an album, a reissue and a 7"."""
    parts = (COPIES.sub("", part.strip(), count=1) for part in re.split(r"[,+]", text))
    return frozenset(part for part in parts if part)


def fits(query: StoreQuery, facts: Facts) -> bool:
    return (
        (query.has_audio is None or query.has_audio == facts.has_audio)
        and query.artist in facts.artist
        and query.label in facts.label
        and query.formats <= formats_in(facts.format)
        and query.condition in (None, facts.condition)
        and query.year in (None, facts.year)
        and _price_fits(query, facts.price)
        and _words_are_in(query.words, facts)
    )


def _price_fits(query: StoreQuery, price: float | None) -> bool:
    """In the currency of the listing; one without a price fits no limit."""
    if price is None:
        return query.min_price is None and query.max_price is None
    return (query.min_price or 0) <= price <= (math.inf if query.max_price is None else query.max_price)


def _words_are_in(words: Sequence[str], facts: Facts) -> bool:
    text = f"{facts.artist} {facts.title} {facts.label} {facts.catno} {facts.format}" if words else ""
    return all(word in text for word in words)


# --- sorts --------------------------------------------------------------------------------------------------------

Key = tuple[float, str] | None
"""None: there is nothing to sort by."""

KEYS: Mapping[Sort, Callable[[Facts], Key]] = {
    Sort.AUDIO: lambda facts: (0 if facts.has_audio else 1, ""),
    Sort.PRICE: lambda facts: None if facts.price is None else (facts.price, ""),
    Sort.ARTIST: lambda facts: (0, facts.artist) if facts.artist else None,
    Sort.TITLE: lambda facts: (0, facts.title) if facts.title else None,
    Sort.LABEL: lambda facts: (0, facts.label) if facts.label else None,
    Sort.YEAR: lambda facts: None if facts.year is None else (facts.year, ""),
    Sort.LISTED: lambda _: (0, ""),
}


def arranged(query: StoreQuery, found: Sequence[tuple[Key, T]]) -> list[T]:
    """In the order asked for; `found` is oldest first. Equal ones stay in that order, those without a key come last.

    Those with audio come first whichever way is sorted: the direction is that of the listings among themselves.
    """
    by_listing = query.sort in (Sort.AUDIO, Sort.LISTED)
    if by_listing and query.descending:
        found = found[::-1]
    keyed = [(key, each) for key, each in found if key is not None]
    keyed.sort(key=lambda pair: pair[0], reverse=query.descending and not by_listing)
    return [each for _, each in keyed] + [each for key, each in found if key is None]


# --- the feed -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last listing shown: the next one is older, or has a lower id."""

    posted: datetime
    listing_id: int

    def __str__(self) -> str:
        return f"{(self.posted - EPOCH) // timedelta(microseconds=1)}-{self.listing_id}"


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """`stores` as they were named, none: all that are known."""

    stores: tuple[str, ...]
    limit: int
    after: Cursor | None
    fields: frozenset[str]


def requested_feed(query: Mapping[str, str]) -> FeedQuery:
    """Raises BadRequest."""
    stores = tuple(dict.fromkeys(name.strip() for name in query.get("stores", "").split(",") if name.strip()))
    if len(stores) > FEED_STORES_MOST:
        raise BadRequest(f"stores must be at most {FEED_STORES_MOST} names, joined by commas.")
    limit = query.get("limit") or str(FEED_LIMIT)
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 10 and 1 <= int(limit) <= FEED_LIMIT_MOST):
        raise BadRequest(f"limit must be a whole number from 1 to {FEED_LIMIT_MOST}.")
    return FeedQuery(stores, int(limit), _cursor(query), _fields(query))


def _cursor(query: Mapping[str, str]) -> Cursor | None:
    value = query.get("cursor", "")
    if not value:
        return None
    if not (found := re.fullmatch(r"(-?[0-9]{1,16})-([0-9]{1,18})", value)):
        raise BadRequest("cursor must be the `next` of an answer.")
    return Cursor(EPOCH + timedelta(microseconds=int(found[1])), int(found[2]))
