from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.domain.validators import entity_tag, headers_of_304, is_known, is_not_modified

TAG = 'W/"abc"'


def test_other_bytes_have_another_tag() -> None:
    assert entity_tag(b"one") == entity_tag(b"one") != entity_tag(b"two")


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ([TAG], True),
        (['"abc"'], True),
        (['"x", W/"abc"'], True),
        (['"x"', '"abc"'], True),
        (["*"], True),
        ([" * "], True),
        ([], False),
        (['"abcd"'], False),
        (["abc"], False),
        (['"a*"'], False),
        (['"abc'], False),
        ([""], False),
    ],
)
def test_a_tag_is_compared_weakly(asked: list[str], known: bool) -> None:
    assert is_known(TAG, asked) is known


def test_a_304_says_what_a_cache_needs_and_nothing_of_a_body() -> None:
    kept = headers_of_304({"ETag": TAG, "Vary": "Accept", "Content-Type": "application/json", "Content-Length": "3"})
    assert dict(kept) == {"ETag": TAG, "Vary": "Accept"}


DAY_1, DAY_2, DAY_3 = (f"Sun, 0{day} Nov 1994 08:49:37 GMT" for day in (1, 2, 3))


@pytest.mark.parametrize(
    ("sent", "answer", "known"),
    [
        ({"If-None-Match": '"a"'}, {"ETag": '"a"'}, True),
        ({"If-None-Match": 'W/"a"'}, {"ETag": '"a"'}, True),
        ({"If-None-Match": '"b"'}, {"ETag": '"a"'}, False),
        ({"If-None-Match": '"a"'}, {}, False),
        ({"If-None-Match": '"b"', "If-Modified-Since": DAY_3}, {"ETag": '"a"', "Last-Modified": DAY_1}, False),
        ({"If-Modified-Since": DAY_2}, {"Last-Modified": DAY_2}, True),
        ({"If-Modified-Since": DAY_2}, {"Last-Modified": DAY_1}, True),
        ({"If-Modified-Since": DAY_2}, {"Last-Modified": DAY_3}, False),
        ({"If-Modified-Since": DAY_2}, {"Date": DAY_3}, False),
        ({"If-Modified-Since": DAY_2}, {"Date": DAY_1}, True),
        ({"If-Modified-Since": "yesterday"}, {"Last-Modified": DAY_1}, False),
        ({}, {"ETag": '"a"', "Last-Modified": DAY_1}, False),
    ],
)
def test_a_client_that_has_the_answer_is_told_so(sent: dict[str, str], answer: dict[str, str], *, known: bool) -> None:
    assert is_not_modified(CIMultiDict(sent), CIMultiDict(answer)) is known
