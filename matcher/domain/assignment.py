"""The best one-to-one assignment of tracks to candidates (the Hungarian method, Jonker-Volgenant's shortest paths)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def assign(gains: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column at most once, whose gains add up highest; ordered by row.

    A gain of 0 or less is never assigned. O(n²·m) for n rows and m columns, the fewer ones first.
    """
    if not gains or not gains[0]:
        return []
    if len(gains) > len(gains[0]):
        turned = [list(column) for column in zip(*gains, strict=True)]
        return sorted((row, column) for column, row in assign(turned))
    chosen = _cheapest([[-max(gain, 0.0) for gain in row] for row in gains])
    return [(row, column) for row, column in enumerate(chosen) if gains[row][column] > 0]


def _cheapest(costs: list[list[float]]) -> list[int]:
    """The column of each row; there are at least as many columns as rows."""
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)  # of each column, 1-based; 0: free. Column 0 stands for the row being placed.
    for row in range(1, rows + 1):
        owner[0] = row
        came_from, column = _shortest_path(costs, row_price, column_price, owner)
        while column:
            owner[column], column = owner[came_from[column]], came_from[column]
    chosen = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            chosen[owner[column] - 1] = column - 1
    return chosen


def _shortest_path(
    costs: list[list[float]], row_price: list[float], column_price: list[float], owner: list[int]
) -> tuple[list[int], int]:
    """Extend the alternating path from column 0 until it reaches a free column; prices are kept feasible."""
    columns = len(column_price)
    distance, came_from, done = [math.inf] * columns, [0] * columns, [False] * columns
    column = 0
    while owner[column]:
        done[column] = True
        row, nearest, delta = owner[column], 0, math.inf
        for other in range(1, columns):
            if done[other]:
                continue
            reduced = costs[row - 1][other - 1] - row_price[row] - column_price[other]
            if reduced < distance[other]:
                distance[other], came_from[other] = reduced, column
            if distance[other] < delta:
                delta, nearest = distance[other], other
        for other in range(columns):
            if done[other]:
                row_price[owner[other]] += delta
                column_price[other] -= delta
            else:
                distance[other] -= delta
        column = nearest
    return came_from, column
