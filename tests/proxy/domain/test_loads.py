from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.loads import LAST, LEAST_S, bucket_of, quantile_ms

SECONDS = st.floats(LEAST_S, 900)


@given(st.lists(SECONDS, min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_true_to_a_tenth(loads: list[float], quantile: float) -> None:
    found = quantile_ms(Counter(map(bucket_of, loads)), quantile)
    place = next(place for place in range(1, len(loads) + 1) if place >= quantile * len(loads))
    assert found == pytest.approx(sorted(loads)[place - 1] * 1000, rel=0.1, abs=0.01)


@given(SECONDS, SECONDS)
def test_what_takes_longer_is_in_no_earlier_bucket(one: float, other: float) -> None:
    assert (bucket_of(min(one, other))) <= bucket_of(max(one, other))


def test_nothing_falls_out_of_the_buckets() -> None:
    assert [bucket_of(seconds) for seconds in (-1.0, 0.0, 1e-9, 1e9)] == [0, 0, 0, LAST]


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile_ms({}, 0.5) is None
