from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.domain.ranges import part_of

ANSWER: CIMultiDict[str] = CIMultiDict({"ETag": '"a"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-1", range(2)),
        ("bytes=1-", range(1, 10)),
        ("bytes=-1", range(9, 10)),
        ("bytes=-99", range(10)),
        ("bytes=8-99", range(8, 10)),
        ("bytes=10-", range(10, 10)),
        ("bytes=-0", range(10, 10)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 50 + "-", None),
        ("", None),
    ],
)
def test_one_range_is_cut_out_and_anything_else_is_the_whole(asked: str, part: range | None) -> None:
    assert part_of(CIMultiDict({"Range": asked}), ANSWER, 10) == part


@pytest.mark.parametrize(
    ("if_range", "cut"),
    [('"a"', True), ("Sun, 06 Nov 1994 08:49:37 GMT", True), ('"b"', False), ('W/"a"', False), ("", False)],
)
def test_a_range_of_another_answer_is_the_whole(if_range: str, *, cut: bool) -> None:
    found = part_of(CIMultiDict({"Range": "bytes=0-1", "If-Range": if_range}), ANSWER, 10)
    assert found == (range(2) if cut else None)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_part_lies_within_the_whole(first: int, last: int, size: int) -> None:
    for asked in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        part = part_of(CIMultiDict({"Range": asked}), ANSWER, size)
        assert part is None or not part or (0 <= part.start < part.stop <= size)
