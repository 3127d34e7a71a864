"""Fits the weights of the evidence to labelled pairs: logistic regression in which each weight keeps its sign.

Evidence for a match may only raise a confidence, evidence against it only lower it; what comes out otherwise is chance
or says what other evidence has said, and is left out. So the table reads as it is meant, and holds for other artists.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RIDGE = 1.0
"""Pulls weights to nought (a Gaussian prior of variance 1/RIDGE): little evidence, little weight."""
STEPS_MAX = 40
PRECISE = 1e-5

Row = Mapping[str, float]
"""Strength of the evidence by name."""


@dataclass(frozen=True, slots=True)
class Example:
    """The evidence of a labelled pair."""

    row: Row
    is_match: bool


@dataclass(frozen=True, slots=True)
class Signs:
    """Names of evidence that speaks for a match, and of what may do both; the rest speaks against it."""

    favourable: frozenset[str]
    free: frozenset[str]

    def holds(self, name: str, weight: float) -> bool:
        return name in self.free or (weight > 0) == (name in self.favourable)


def fit(examples: Sequence[Example], signs: Signs) -> dict[str, float]:
    """Weight by name, in log-odds; evidence that did not keep its sign is missing."""
    names = sorted({name for each in examples for name in each.row})
    weights: dict[str, float] = {}
    while True:
        weights = _newton(examples, names, weights)
        wrong = sorted((name for name in names if not signs.holds(name, weights[name])), key=lambda n: -abs(weights[n]))
        if not wrong:
            return weights
        left_out = set(wrong[: max(1, len(wrong) // 3)])  # the worst first: the others may then come right
        names = [name for name in names if name not in left_out]


def fold_of(groups: Sequence[str], folds: int) -> dict[str, int]:
    """Spreads groups over folds, the same way on every machine."""
    return {group: place % folds for place, group in enumerate(sorted(set(groups), key=_shuffled))}


def _shuffled(group: str) -> int:
    """The same order on every machine."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8])


def _newton(examples: Sequence[Example], names: Sequence[str], start: Mapping[str, float]) -> dict[str, float]:
    """Newton's method (iteratively reweighted least squares) from `start`."""
    place = {name: number for number, name in enumerate(names)}
    rows = [[(place[name], value) for name, value in each.row.items() if name in place] for each in examples]
    weights = [start.get(name, 0.0) for name in names]
    for _ in range(STEPS_MAX):
        slope = [RIDGE * weight for weight in weights]
        curve = [[RIDGE if i == j else 0.0 for j in range(i + 1)] for i in range(len(names))]
        for row, example in zip(rows, examples, strict=True):
            chance = 1.0 / (1.0 + math.exp(-sum(weights[i] * value for i, value in row)))
            miss, spread = chance - example.is_match, chance * (1.0 - chance)
            for i, value in row:
                slope[i] += miss * value
                line, scaled = curve[i], spread * value
                for j, other in row:
                    if j <= i:
                        line[j] += scaled * other
        step = _solve(curve, slope)
        weights = [weight - change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step), default=0.0) < PRECISE:
            break
    return dict(zip(names, weights, strict=True))


def _solve(lower: list[list[float]], right: Sequence[float]) -> list[float]:
    """Of a symmetric positive matrix, given by its lower half (Cholesky's method)."""
    size = len(right)
    root = [[0.0] * (i + 1) for i in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = lower[i][j] - sum(a * b for a, b in zip(root[i][:j], root[j][:j], strict=True))
            root[i][j] = math.sqrt(rest) if i == j else rest / root[j][j]
    half = [0.0] * size
    for i in range(size):
        half[i] = (right[i] - sum(a * b for a, b in zip(root[i][:i], half, strict=False))) / root[i][i]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (half[i] - sum(root[j][i] * found[j] for j in range(i + 1, size))) / root[i][i]
    return found
