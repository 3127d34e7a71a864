from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.links import LinkState
from matcher.errors import Broken, Unavailable
from matcher.providers.client import Reply
from matcher.providers.deezer_links import DeezerLinks, parse_track
from tests.matcher.providers.asking import client_of
from tests.simulated_discogs import Catalogue
from tests.simulated_providers import SimulatedDeezer, songs_of

TRACK: dict[str, Any] = {"id": 3135556, "readable": True, "title": "Harder", "available_countries": ["DE", "FR"]}


def error(code: object) -> dict[str, Any]:
    return {"error": {"type": "Exception", "message": "no", "code": code}}


@pytest.mark.parametrize(
    ("body", "state", "is_explicit"),
    [
        (TRACK, LinkState.ALIVE, False),
        ({"id": 1, "readable": True}, LinkState.ALIVE, False),
        (TRACK | {"readable": False}, LinkState.BLOCKED, False),
        ({"id": 1, "readable": False}, LinkState.BLOCKED_EVERYWHERE, False),
        (TRACK | {"available_countries": []}, LinkState.BLOCKED_EVERYWHERE, True),
        (error(800), LinkState.DEAD, False),
    ],
)
def test_what_deezer_tells_of_a_track(body: object, state: LinkState, is_explicit: bool) -> None:
    seen = parse_track(Reply(200, {}, body))
    assert (seen.state, seen.is_explicit) == (state, is_explicit)


@pytest.mark.parametrize(
    ("status", "body", "is_throttled"),
    [
        (200, error(4), True),
        (200, error(700), True),
        (200, error(500), False),
        (200, error(None), False),
        (200, {"error": "An error has occured"}, False),
        (404, {"error": "Not Found"}, False),
        (403, {}, False),
        (200, {}, False),
        (200, [], False),
        (200, None, False),
        (200, TRACK | {"readable": None}, False),
        (200, TRACK | {"id": "7"}, False),
    ],
)
def test_what_tells_nothing_of_the_track(status: int, body: object, is_throttled: bool) -> None:
    with pytest.raises(Unavailable) as told:
        parse_track(Reply(status, {}, body))
    assert isinstance(told.value, Broken) is not is_throttled


@given(
    st.dictionaries(st.sampled_from([*TRACK, "error"]), st.none() | st.booleans() | st.integers() | st.lists(st.text()))
)
def test_whatever_is_answered_is_news_or_none(changes: dict[str, object]) -> None:
    with contextlib.suppress(Unavailable):
        assert parse_track(Reply(200, {}, TRACK | changes)).state is not LinkState.UNKNOWN


async def test_a_simulated_track_lives_and_another_is_dead() -> None:
    catalogue = Catalogue.generate(seed=3, stores={"den": 10}, releases=10)
    release = catalogue.release(next(iter(catalogue.headings())).id)
    assert release
    song = songs_of(release)[0]
    async with (
        SimulatedDeezer(catalogue, chance_of_song=1.0, chance_of_silence=0.0) as deezer,
        client_of(deezer.url) as client,
    ):
        checker = DeezerLinks(client)
        asked = checker.id_of(f"https://www.deezer.com/en/track/{song.id}")
        assert asked
        seen = await checker.look([asked, "999999999999"])
    assert [each.state for each in seen.values()] == [LinkState.ALIVE, LinkState.DEAD]
    assert checker.id_of("https://www.deezer.com/album/7") is None
