from __future__ import annotations

import pytest

from proxy.domain.validators import entity_tag, headers_of_304, is_known

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
