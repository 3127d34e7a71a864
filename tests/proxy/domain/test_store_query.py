from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from proxy.domain.store_query import (
    CONDITIONS,
    EPOCH,
    KEYS,
    Cursor,
    FeedQuery,
    Sort,
    StoreQuery,
    arranged,
    facts_of,
    fits,
    requested,
    requested_feed,
)
from proxy.errors import BadRequest

LISTING: Mapping[str, object] = {
    "condition": "Very Good Plus (VG+)",
    "price": {"value": 20.5, "currency": "EUR"},
    "release": {
        "artist": "Björk*",
        "title": "Début",
        "label": "One Little Indian",
        "catalog_number": "TPLP 31",
        "format": '2xLP, Album, RE + 7", RE',
        "year": 1993,
    },
}
BARE: Mapping[str, object] = {"release": {"year": 0, "artist": None}, "price": {}}


@pytest.mark.parametrize(
    ("asked", "fits_it"),
    [
        ({}, True),
        ({"q": "bjork DEBUT"}, True),
        ({"q": "tplp 31 lp"}, True),
        ({"q": "bjork post"}, False),
        ({"q": "  "}, True),
        ({"artist": "björk"}, True),
        ({"artist": "debut"}, False),
        ({"label": "little"}, True),
        ({"format": "LP"}, True),
        ({"format": 'lp, 7"'}, True),
        ({"format": "L"}, False),
        ({"format": "2xLP"}, True),
        ({"format": "CD"}, False),
        ({"condition": "VG+"}, True),
        ({"condition": "vg "}, True),
        ({"condition": "very good plus"}, True),
        ({"condition": "Very Good Plus (VG+)"}, True),
        ({"condition": "VG"}, False),
        ({"condition": "M-"}, False),
        ({"year": "1993"}, True),
        ({"year": "1994"}, False),
        ({"min_price": "20.5", "max_price": "20.5"}, True),
        ({"min_price": "21"}, False),
        ({"max_price": "20"}, False),
        ({"max_price": "0"}, False),
        ({"has_audio": "true"}, True),
        ({"has_audio": "0"}, False),
        ({"year": "", "min_price": "", "sort": "", "condition": "", "has_audio": "", "fields": ""}, True),
    ],
)
def test_a_listing_fits_what_it_is(asked: dict[str, str], fits_it: bool) -> None:
    assert fits(requested(asked), facts_of(LISTING, has_audio=True)) is fits_it


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_condition_goes_by_its_name_and_by_its_grades(condition: str) -> None:
    facts = facts_of({"condition": condition}, has_audio=False)
    grades = condition.rpartition("(")[2].rstrip(")").split(" or ")
    for name in (condition, condition.partition(" (")[0], *grades):
        assert fits(requested({"condition": name}), facts)
    assert sum(fits(requested({"condition": each}), facts) for each in CONDITIONS) == 1


@pytest.mark.parametrize("asked", [{"min_price": "0"}, {"max_price": "9"}, {"year": "1993"}, {"artist": "x"}])
def test_a_listing_that_tells_nothing_fits_no_filter(asked: dict[str, str]) -> None:
    facts = facts_of(BARE, has_audio=False)
    assert fits(StoreQuery(), facts)
    assert not fits(requested(asked), facts)


ODD_NUMBERS = ("-1", "1_0", "1e3", "+1", " 1", "1 ", "1.", ".5", "0x1", "٣", "1,5", "1\n", "9" * 13, "Infinity")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"has_audio": "maybe"}, "has_audio must be one of true, false, 1, 0."),
        ({"year": "93"}, "year must be"),
        ({"year": "١٩٩٣"}, "year must be"),
        ({"min_price": "cheap"}, "min_price must be a number"),
        ({"max_price": "nan"}, "max_price must be a number"),
        ({"max_price": "inf"}, "max_price must be a number"),
        ({"year": "0000"}, "year must be"),
        *(({"min_price": odd}, "min_price must be a number") for odd in ODD_NUMBERS),
        ({"min_price": "2", "max_price": "1"}, "min_price must be at most max_price."),
        ({"condition": "shiny"}, "condition must be one of Mint"),
        ({"sort": "fame"}, "sort must be one of audio, price, artist, title, label, year, listed."),
        ({"sort_order": "up"}, "sort_order must be one of asc, desc."),
        ({"q": "x" * 201}, "q must be at most"),
        ({"fields": "id,,title"}, "fields must be"),
        ({"fields": "id;drop"}, "fields must be"),
        ({"fields": "id,bogus"}, "fields must be names of these, joined by commas: allow_offers, artist, audio, "),
    ],
)
def test_what_cannot_be_understood_is_told(asked: dict[str, str], told: str) -> None:
    with pytest.raises(BadRequest) as raised:
        requested(asked)
    assert raised.value.message.startswith(told)


ROWS: tuple[tuple[str, Mapping[str, object], bool], ...] = (
    ("a", {"release": {"artist": "Ärzte", "title": "b", "label": "L", "year": 1990}, "price": {"value": 3}}, False),
    ("b", {"release": {"artist": "abba", "title": "c", "year": 0}, "price": {"value": 10.5}}, True),
    ("c", {"release": {"artist": "Zappa", "title": "A", "label": "k", "year": 1970}}, False),
    ("d", {"release": {"artist": "abba", "title": "d", "label": "M", "year": 1970}, "price": {"value": 3.0}}, True),
)
"""Oldest first; each with its artist, some without a price, a label or a year, and whether it has audio."""


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ({}, "abcd"),
        ({"sort_order": "desc"}, "dcba"),
        ({"sort": "listed", "sort_order": "desc"}, "dcba"),
        ({"sort": "price"}, "adbc"),
        ({"sort": "price", "sort_order": "desc"}, "badc"),
        ({"sort": "artist"}, "bdac"),
        ({"sort": "title"}, "cabd"),
        ({"sort": "label"}, "cadb"),
        ({"sort": "label", "sort_order": "desc"}, "dacb"),
        ({"sort": "year"}, "cdab"),
        ({"sort": "year", "sort_order": "desc"}, "acdb"),
        ({"sort": "audio"}, "bdac"),
        ({"sort": "audio", "sort_order": "desc"}, "dbca"),
    ],
)
def test_rows_come_in_the_order_asked_for(asked: dict[str, str], order: str) -> None:
    query = requested(asked)
    keyed = [(KEYS[query.sort](facts_of(row, has_audio=audio)), name) for name, row, audio in ROWS]
    assert "".join(arranged(query, keyed)) == order


def test_only_filters_and_other_sorts_need_the_rows() -> None:
    for asked in ({}, {"sort": "listed"}, {"sort_order": "desc"}, {"fields": "id"}):
        assert not requested(asked).needs_facts
    for sort in set(Sort) - {Sort.LISTED}:
        assert requested({"sort": sort}).needs_facts
    for asked in ({"q": "x"}, {"has_audio": "0"}, {"year": "1990"}, {"min_price": "0"}, {"format": "LP"}):
        assert requested(asked).needs_facts


def test_a_feed_is_asked_for_by_stores_limit_and_cursor() -> None:
    assert requested_feed({}) == FeedQuery((), 50, None, frozenset())
    cursor = Cursor(datetime(2023, 5, 7, 8, 45, 30, 123456, UTC), 2237957062)
    asked = requested_feed({"stores": "a, b,,a", "limit": "200", "cursor": str(cursor), "fields": "id"})
    assert asked == FeedQuery(("a", "b"), 200, cursor, frozenset({"id"}))
    before = Cursor(datetime(1969, 12, 31, tzinfo=UTC), 1)
    assert requested_feed({"cursor": str(before)}).after == before
    assert str(Cursor(EPOCH, 7)) == "0-7"


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"cursor": "x"},
        {"cursor": "9" * 20 + "-1"},
        {"cursor": "9999999999999999-" + "9" * 19},
        {"stores": ",".join(f"s{number}" for number in range(21))},
    ],
)
def test_a_feed_that_cannot_be_understood_is_told(asked: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        requested_feed(asked)
