from __future__ import annotations

import json
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.mirror import MirrorPage, Way, page_asked_for, pagination, way_of
from tests.conftest import STORE
from tests.simulated_discogs import SimulatedDiscogs

PATH = f"/users/{STORE}/inventory"


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", MirrorPage(1, 50, ascending=True)),
        ("page=3&per_page=25", MirrorPage(3, 25, ascending=True)),
        ("per_page=500&sort=listed&sort_order=desc", MirrorPage(1, 100, ascending=False)),
        ("status=Draft&sort=status&min_confidence=60", MirrorPage(1, 50, ascending=True)),
        ("sort_order=DESC&page=&per_page=", MirrorPage(1, 50, ascending=False)),
        ("token=secret&page=2", MirrorPage(2, 50, ascending=True)),
        ("sort=price", None),
        ("q=love", None),
        ("curr_abbr=EUR", None),
        ("page=0", None),
        ("page=one", None),
        ("per_page=-5", None),
        ("page=1&page=2", None),
        ("status=none", None),
        ("sort_order=up", None),
        ("page=1;sort=price", None),
        ("PAGE=2", None),
        ("page=1&Sort_Order=desc", None),
    ],
)
def test_the_mirror_answers_what_it_can_answer_exactly(query: str, page: MirrorPage | None) -> None:
    assert page_asked_for(query) == page


@pytest.mark.parametrize(
    ("checked_ago_s", "way"),
    [
        (0, Way.FRESH),
        (59, Way.FRESH),
        (-30, Way.FRESH),  # another machine's clock
        (60, Way.WHILE_CHECKED),
        (119, Way.WHILE_CHECKED),
        (120, Way.AFTER_CHECK),
        (21_599, Way.AFTER_CHECK),
        (21_600, Way.UPSTREAM),
        (-61, Way.UPSTREAM),
        (None, Way.UPSTREAM),
    ],
)
def test_by_the_age_of_its_last_check_the_mirror_answers_at_once_or_after_a_check(
    checked_ago_s: float | None, way: Way
) -> None:
    assert way_of(checked_ago_s, 60, 21_600) is way
    assert way_of(checked_ago_s, 60, 21_600, purged=True) is Way.UPSTREAM
    after_a_failure = {Way.FRESH: way, Way.UPSTREAM: way}.get(way, Way.IF_CHECK_FAILS)
    assert way_of(checked_ago_s, 60, 21_600, held=True) is after_a_failure
    unpaid = {Way.FRESH: way, Way.UPSTREAM: way}.get(way, Way.UNPAID)
    assert way_of(checked_ago_s, 60, 21_600, may_check=False) is unpaid


def test_an_interval_longer_than_content_may_be_shown_does_not_prolong_that() -> None:
    assert way_of(90, 600, 80) is Way.UPSTREAM


@given(st.integers(0, 60), st.integers(1, 7), st.booleans())
def test_the_pages_of_either_order_are_the_whole_store_once(size: int, per_page: int, ascending: bool) -> None:
    order = list(range(size))
    pages = [MirrorPage(number, per_page, ascending) for number in range(1, max(1, -(-size // per_page)) + 1)]
    shown = [row for page in pages for row in page.cut(order)]
    assert shown == (order[::-1] if ascending else order)
    assert all(page.refusal(size) is None for page in pages)
    assert MirrorPage(len(pages) + 1, per_page, ascending).refusal(size)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "page=2",
        "page=3&per_page=50",
        "per_page=100",
        "per_page=50&page=2&sort=listed&sort_order=desc",
        "status=For+Sale&page=2",
        "per_page=500",
        "page=4",
        "page=101",
        "page=2&token=collector",
    ],
)
async def test_pagination_and_refusals_are_those_of_discogs(discogs: SimulatedDiscogs, query: str) -> None:
    discogs.register_user("collector", "collector")
    async with aiohttp.ClientSession() as session, session.get(f"{discogs.url}{PATH}?{query}") as response:
        status, body = response.status, json.loads(await response.read())
    page = page_asked_for(query)
    assert page is not None
    refusal = page.refusal(120)
    if refusal:
        assert (status, body["message"]) == refusal
        return
    origin = f"https://{urlsplit('https://api.discogs.com').netloc}"
    assert list(pagination(page, 120, origin + PATH, query).items()) == list(body["pagination"].items())
    assert len(page.cut(range(120))) == len(body["listings"])
