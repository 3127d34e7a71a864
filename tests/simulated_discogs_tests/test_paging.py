"""Pages and their urls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_discogs.exchange import Ask, Refusal
from tests.simulated_discogs.paging import page_of, pagination


def ask(*query: tuple[str, str]) -> Ask:
    return Ask("GET", "/users/den/inventory", query)


def urls(*query: tuple[str, str], items: int = 120) -> object:
    return pagination(ask(*query), page_of(ask(*query), range(items)))["urls"]


def url(query: str) -> str:
    return f"https://api.discogs.com/users/den/inventory?{query}"


@pytest.mark.parametrize(
    ("page", "relations"),
    [("1", ["last", "next"]), ("2", ["first", "prev", "next", "last"]), ("3", ["prev", "first"])],
)
def test_each_page_knows_its_neighbours(page: str, relations: list[str]) -> None:
    found = urls(("page", page))
    assert isinstance(found, dict)
    assert list(found) == relations


def test_a_lone_page_has_no_urls() -> None:
    assert urls(items=50) == {}
    assert urls(items=0) == {}


def test_what_was_asked_stays_in_place_and_page_comes_last() -> None:
    asked = (("status", "For Sale"), ("page", "1"), ("per_page", "250"), ("token", "t&k"))

    assert urls(*asked) == dict.fromkeys(("last", "next"), url("status=For+Sale&per_page=100&token=t%26k&page=2"))


def test_without_per_page_the_page_leads_and_per_page_is_added() -> None:
    last, following = url("page=3&token=tok&per_page=50"), url("page=2&token=tok&per_page=50")

    assert urls(("token", "tok")) == {"last": last, "next": following}


def test_only_so_many_items_can_be_reached_though_all_are_counted() -> None:
    page = page_of(ask(("per_page", "100")), range(24_435), most=10_000)
    assert (page.pages, page.items) == (100, 24_435)

    with pytest.raises(Refusal, match=r"Page 101 is outside of valid range \[1, 100\]\."):
        page_of(ask(("per_page", "100"), ("page", "101")), range(24_435), most=10_000)


@given(items=st.integers(0, 400), per_page=st.integers(1, 150))
def test_all_pages_together_are_the_whole_list(items: int, per_page: int) -> None:
    size = ("per_page", str(per_page))
    pages = page_of(ask(size), range(items)).pages

    rows = [
        row for number in range(1, pages + 1) for row in page_of(ask(size, ("page", str(number))), range(items)).rows
    ]

    assert rows == list(range(items))
    with pytest.raises(Refusal, match="outside of valid range"):
        page_of(ask(size, ("page", str(pages + 1))), range(items))
