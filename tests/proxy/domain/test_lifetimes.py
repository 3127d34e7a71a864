from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.lifetimes import (
    JITTER,
    LAST_ASKED_MOST,
    LastAsked,
    Lifetime,
    Use,
    jitter,
    lifetime,
    refresh_pays,
)

SIX_HOURS_S = 6 * 3600.0


@pytest.mark.parametrize(
    ("age_s", "purged", "use"),
    [
        (0, False, Use.FRESH),
        (59, False, Use.FRESH),
        (60, False, Use.WHILE_RENEWED),
        (119, False, Use.WHILE_RENEWED),
        (120, False, Use.IF_UPSTREAM_FAILS),
        (3599, False, Use.IF_UPSTREAM_FAILS),
        (3600, False, Use.NOTHING),
        (0, True, Use.IF_UPSTREAM_FAILS),
        (3600, True, Use.NOTHING),
        (-1, False, Use.NOTHING),
    ],
)
def test_what_a_copy_is_good_for(age_s: float, purged: bool, use: Use) -> None:
    assert Lifetime(60, 120, 3600).use(age_s, purged=purged) is use


def test_the_greatest_age_wins_over_a_longer_lifetime() -> None:
    assert Lifetime(100, 100, 30).use(40) is Use.NOTHING


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 429, 500, 502, 503])
def test_other_answers_are_not_kept(status: int) -> None:
    assert lifetime(status, "", 600, "key", SIX_HOURS_S) is None


@pytest.mark.parametrize("said", ["no-store", "private", "No-Cache", "public, private", 'private="x-user"'])
def test_upstream_may_forbid_keeping(said: str) -> None:
    assert lifetime(200, said, 600, "key", SIX_HOURS_S) is None


@pytest.mark.parametrize(
    ("said", "longest_s"),
    [("public, must-revalidate", 600), ("max-age=30", 30), ("max-age=30, s-maxage=10", 10), ("max-age=9999", 600)],
)
def test_upstream_may_shorten_a_lifetime_and_never_lengthen_it(said: str, longest_s: float) -> None:
    found = lifetime(200, said, 600, "key", SIX_HOURS_S)
    assert found
    assert longest_s * (1 - JITTER) <= found.fresh_s <= longest_s


def test_errors_are_kept_for_a_minute_at_most() -> None:
    found = lifetime(404, "", 10_000, "key", SIX_HOURS_S)
    assert found
    assert found.fresh_s <= 60


@given(st.floats(0, 1e6), st.text(), st.floats(0, SIX_HOURS_S), st.floats(0, 1e6))
def test_nothing_is_shown_beyond_the_greatest_age(kind_s: float, key: str, most_s: float, age_s: float) -> None:
    found = lifetime(200, "", kind_s, key, most_s)
    assert found
    assert (found.use(age_s) is Use.NOTHING) == (age_s >= most_s)


@given(st.text())
def test_jitter_only_shortens_and_is_the_same_for_the_same_key(key: str) -> None:
    assert 1 - JITTER <= jitter(key) <= 1
    assert jitter(key) == jitter(key)


@pytest.mark.parametrize(("asked_ago_s", "pays"), [(None, True), (0, True), (1800, True), (1801, False)])
def test_only_what_is_in_demand_is_renewed_behind_an_answer(asked_ago_s: float | None, pays: bool) -> None:
    """Nobody knows after a restart: then it is."""
    assert refresh_pays(asked_ago_s) is pays


def test_what_was_last_asked_for_is_known_for_a_while() -> None:
    asked = LastAsked()
    assert asked.ago_s("a", 5) is None
    asked.note("a", 5)
    asked.note("a", 7)
    assert asked.ago_s("a", 17) == 10
    for number in range(LAST_ASKED_MOST):
        asked.note(number, 20)
    assert asked.ago_s("a", 20) is None
