"""Fitting weights to labels."""

from __future__ import annotations

import random

import pytest

from matcher.fitting import Example, Signs, fit, fold_of

SIGNS = Signs(favourable=frozenset({"good", "odd"}), free=frozenset({"base"}))


def examples(count: int, *, odd_speaks_against: bool = False) -> list[Example]:
    """The truth: odds of a match are e^(-1 + 2·good - 1.5·bad), and less where odd speaks against it."""
    draw = random.Random(3)
    found = []
    for _ in range(count):
        row = {"base": 1.0, "good": draw.random(), "bad": float(draw.random() < 0.5), "odd": float(draw.random() < 0.2)}
        odds = -1 + 2 * row["good"] - 1.5 * row["bad"] - (row["odd"] if odd_speaks_against else 0)
        found.append(Example(row, draw.random() < 1 / (1 + 2.718281828**-odds)))
    return found


def test_weights_are_found_again() -> None:
    weights = fit(examples(20_000), SIGNS)
    assert weights["base"] == pytest.approx(-1, abs=0.15)
    assert weights["good"] == pytest.approx(2, abs=0.2)
    assert weights["bad"] == pytest.approx(-1.5, abs=0.15)


def test_evidence_that_does_not_keep_its_sign_is_left_out() -> None:
    assert "odd" not in fit(examples(5_000, odd_speaks_against=True), SIGNS)


def test_little_evidence_has_little_weight() -> None:
    few = [Example({"base": 1.0, "bad": 1.0}, False), *(Example({"base": 1.0}, bool(n % 2)) for n in range(100))]
    assert -1 < fit(few, SIGNS)["bad"] < 0


def test_folds_are_even_and_the_same_everywhere() -> None:
    folds = fold_of(["c", "a", "b", "a", "d"], 2)
    assert sorted(folds.values()) == [0, 0, 1, 1]
    assert folds == fold_of(["d", "c", "b", "a"], 2)
