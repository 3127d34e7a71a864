from __future__ import annotations

import pytest

from proxy.domain.counting import Calls, client_calls_of


@pytest.mark.parametrize(
    ("calls", "reduction", "hit_rate"),
    [
        (Calls(), None, None),
        (Calls(upstream_calls=9), None, None),
        (Calls(4, 3, 400, 100), 0.75, 0.75),
        (Calls(1, 0, 1, 3), -2, 0),
        (Calls(3, 1, 3, 1), 0.6667, 0.3333),
    ],
)
def test_what_calls_save_is_told_as_fractions(calls: Calls, reduction: float | None, hit_rate: float | None) -> None:
    told = calls.as_json()
    assert (told["reduction"], told["hit_rate"]) == (reduction, hit_rate)


@pytest.mark.parametrize(("rows", "calls"), [(0, 1), (1, 1), (100, 1), (101, 2), (10_000, 100)])
def test_a_client_needs_a_call_for_each_hundred_rows_and_one_for_none(rows: int, calls: int) -> None:
    assert client_calls_of(rows, 100) == calls
