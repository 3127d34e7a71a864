from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.links import (
    CONFIRMED_AFTER,
    NOTHING_LEARNT,
    REVIVED_LAST,
    ROLLING,
    SCHEDULED_MOST,
    SILENT_LAST,
    TOLD_FOR,
    Link,
    LinkState,
    Seen,
    after,
    is_suspicious,
)

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALIVE, BLOCKED, DEAD = Seen(LinkState.ALIVE), Seen(LinkState.BLOCKED), Seen(LinkState.DEAD)
SAID_SO = Seen(LinkState.NOT_EMBEDDABLE, is_explicit=True)

looks = st.builds(Seen, st.sampled_from(LinkState), st.booleans())
histories = st.lists(st.tuples(looks, st.floats(0, 1)), max_size=40)


def looked_at(*seen: Seen, chance: float = 0.0) -> tuple[Link, datetime]:
    """Each when it was due; the time at which the next look is."""
    link, now = Link(), NOW
    for each in seen:
        link, now = after(link, each, now, chance)
    return link, now


@pytest.mark.parametrize(
    ("seen", "state", "is_hidden"),
    [
        ([ALIVE], LinkState.ALIVE, False),
        ([BLOCKED], LinkState.BLOCKED, False),
        ([NOTHING_LEARNT], LinkState.UNKNOWN, False),
        ([ALIVE, DEAD], LinkState.ALIVE, False),
        ([ALIVE, DEAD, DEAD], LinkState.DEAD, True),
        ([DEAD, DEAD], LinkState.DEAD, True),
        ([SAID_SO], LinkState.NOT_EMBEDDABLE, True),
        ([Seen(LinkState.BLOCKED_EVERYWHERE, is_explicit=True)], LinkState.BLOCKED_EVERYWHERE, True),
        ([Seen(LinkState.REFUSED)] * 2, LinkState.REFUSED, True),
        ([Seen(LinkState.REFUSED), DEAD], LinkState.DEAD, True),
        ([DEAD, ALIVE, DEAD], LinkState.ALIVE, False),
        ([DEAD, NOTHING_LEARNT, DEAD], LinkState.DEAD, True),
        ([DEAD, *[NOTHING_LEARNT] * 100], LinkState.UNKNOWN, False),
        ([DEAD, DEAD, ALIVE], LinkState.ALIVE, False),
        ([DEAD, DEAD, BLOCKED], LinkState.BLOCKED, False),
        ([DEAD, DEAD, NOTHING_LEARNT], LinkState.DEAD, True),
        ([DEAD, DEAD, SAID_SO], LinkState.NOT_EMBEDDABLE, True),
    ],
)
def test_what_a_link_is_after_looks_at_it(seen: list[Seen], state: LinkState, is_hidden: bool) -> None:
    link, _ = looked_at(*seen)
    assert (link.state, link.hidden_since is not None) == (state, is_hidden)


@pytest.mark.parametrize(
    ("seen", "pauses"),
    [
        ([ALIVE], (7 * DAY, 14 * DAY)),
        ([DEAD], (4 * HOUR, 6 * HOUR)),
        ([DEAD, DEAD], (DAY / 2, DAY)),
        ([DEAD, DEAD, DEAD, DEAD], (4 * DAY, 8 * DAY)),
        ([SAID_SO], (DAY / 2, DAY)),
        ([DEAD] * 20, (14 * DAY, 28 * DAY)),
        ([NOTHING_LEARNT], (HOUR / 8, HOUR / 4)),
        ([NOTHING_LEARNT] * 20, (DAY / 2, DAY)),
        ([*[NOTHING_LEARNT] * 20, ALIVE, NOTHING_LEARNT], (HOUR / 8, HOUR / 4)),
    ],
)
def test_when_it_is_looked_at_again(seen: list[Seen], pauses: tuple[timedelta, timedelta]) -> None:
    link, now = looked_at(*seen[:-1])
    assert tuple(after(link, seen[-1], now, chance)[1] - now for chance in (0.0, 1.0)) == pauses


def test_a_second_look_at_once_kills_nothing() -> None:
    link, _ = after(Link(LinkState.ALIVE), DEAD, NOW, 0.5)
    link, again = after(link, DEAD, NOW + HOUR, 0.5)
    assert link.hidden_since is None
    assert again >= NOW + CONFIRMED_AFTER


def test_a_doubt_from_the_future_is_of_now() -> None:
    link, again = after(Link(LinkState.ALIVE, None, 1, NOW + 365 * DAY), DEAD, NOW, 0.5)
    assert (link.hidden_since, link.doubted_since) == (None, NOW)
    assert NOW < again < NOW + DAY


@given(histories)
def test_only_what_was_seen_bad_is_ever_hidden(history: list[tuple[Seen, float]]) -> None:
    link, now = Link(), NOW
    for seen, chance in history:
        before, (link, now) = link, after(link, seen, now, chance)
        if seen.state is LinkState.UNKNOWN:
            assert (link.state, link.hidden_since, link.doubts) == (before.state, before.hidden_since, before.doubts)
        elif seen.state.is_bad:
            assert link.hidden_since or (link.doubts == 1 and not seen.is_explicit)
        else:
            assert (link, link.hidden_since) == (Link(seen.state), None)
        assert (link.hidden_since is not None) == link.state.is_bad


@given(histories)
def test_there_is_always_a_next_look_and_never_too_late(history: list[tuple[Seen, float]]) -> None:
    link, now = Link(), NOW
    for seen, chance in history:
        link, then = after(link, seen, now, chance)
        latest = REVIVED_LAST if link.hidden_since else ROLLING[1]
        assert then - now <= SCHEDULED_MOST
        assert timedelta(0) < then - now <= (SILENT_LAST if seen is NOTHING_LEARNT else latest)
        now = then


def test_what_youtube_told_is_told_anew_in_time() -> None:
    """Even if a look in its turn finds YouTube away for two weeks."""
    assert ROLLING[1] + timedelta(days=14) + SILENT_LAST <= TOLD_FOR < timedelta(days=30)


@pytest.mark.parametrize(
    ("bad", "known_bad", "well", "suspicious"),
    [
        (3, 0, 2, True),
        (1, 0, 0, True),
        (1, 0, 1, False),
        (5, 0, 0, True),
        (5, 0, 5, False),
        (2, 8, 0, True),
        (2, 8, 2, False),
        (0, 50, 0, False),
        (20, 30, 0, True),
    ],
)
def test_a_sudden_death_of_most_is_suspicious(bad: int, known_bad: int, well: int, suspicious: bool) -> None:
    fine, gone = Link(LinkState.ALIVE), Link(LinkState.DEAD, NOW)
    assert is_suspicious([*[(fine, DEAD)] * bad, *[(gone, DEAD)] * known_bad, *[(fine, ALIVE)] * well]) == suspicious
