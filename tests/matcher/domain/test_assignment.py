from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.assignment import assign

gains = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(-5, 20).map(float), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    )
)


def brute_force(matrix: list[list[float]]) -> float:
    """The highest sum, each row or column left out at will."""
    rows, columns = len(matrix), len(matrix[0])
    padded = [[max(gain, 0.0) for gain in row] + [0.0] * rows for row in matrix]
    return max(
        sum(padded[row][column] for row, column in enumerate(chosen))
        for chosen in permutations(range(columns + rows), rows)
    )


@given(gains)
def test_the_assignment_is_one_to_one_and_the_best_there_is(matrix: list[list[float]]) -> None:
    pairs = assign(matrix)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(matrix[row][column] > 0 for row, column in pairs)
    assert pairs == sorted(pairs)
    assert sum(matrix[row][column] for row, column in pairs) == brute_force(matrix)


def test_nothing_is_assigned_to_nothing() -> None:
    assert assign([]) == []
    assert assign([[], []]) == []


def test_the_greedy_choice_is_not_always_the_best() -> None:
    assert assign([[90, 80], [85, 10]]) == [(0, 1), (1, 0)]


def test_a_large_release_is_assigned() -> None:
    pairs = assign([[float((row * 7 + column * 13) % 101) for column in range(200)] for row in range(60)])
    assert len(pairs) == 60
