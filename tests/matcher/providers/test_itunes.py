"""iTunes: what its bodies say, and the provider against a simulated API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.scoring import score
from matcher.errors import Broken, Unavailable
from matcher.models import Candidate, Release, Track
from matcher.providers.client import Reply
from matcher.providers.itunes import CANDIDATES_MAX, SEARCHES_MAX, answered, make, parse, song_url
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_providers import SimulatedITunes

from .asking import client_of
from .recorded import recorded
from .test_deezer import release_of

PAGE = "https://music.apple.com/us/album/you-and-i/1728639278?i=1728639281"
SONG: dict[str, Any] = {
    "wrapperType": "track",
    "kind": "song",
    "trackName": "YOU AND I",
    "artistName": "Dreamcatcher",
    "collectionName": "Nightmare·Escape The ERA - EP",
    "trackViewUrl": f"{PAGE}&uo=4",
    "previewUrl": "https://audio-ssl.itunes.apple.com/itunes-assets/x.m4a",
    "trackTimeMillis": 207_500,
}


def test_a_song_becomes_a_candidate_without_its_preview() -> None:
    album = "Nightmare·Escape The ERA - EP"
    expected = Candidate("itunes", "itunes", PAGE, "YOU AND I", 207.5, artist="Dreamcatcher", album=album)
    assert parse({"resultCount": 2, "results": [SONG, SONG]}) == (expected,)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "music-video"},
        {"kind": None},
        {"trackName": ""},
        {"trackName": ["x"]},
        {"previewUrl": ""},
        {"previewUrl": None},
        {"trackViewUrl": None},
        {"trackViewUrl": "https://music.apple.com/us/album/x/1"},
    ],
)
def test_what_cannot_be_named_or_heard_is_left_out(changes: dict[str, object]) -> None:
    assert parse({"results": [SONG | changes]}) == ()


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        (f"{PAGE}&uo=4", PAGE),
        (PAGE, PAGE),
        ("https://itunes.apple.com/gb/album/x/id1?i=2&uo=4", "https://itunes.apple.com/gb/album/x/id1?i=2"),
        ("http://music.apple.com/us/album/x/1?i=2", None),
        ("https://music.apple.com.evil.example/us/album/x/1?i=2", None),
        ("https://music.apple.com/us/album/<script>/1?i=2", None),
        ("https://music.apple.com/us/album/x/1?i=javascript:1", None),
        ("javascript:alert(1)", None),
        ("https://[music.apple.com/x?i=2", None),
        ("https://music.apple.com/" + "x" * 1000 + "?i=2", None),
        (None, None),
        (7, None),
    ],
)
def test_a_link_leads_to_a_song_in_the_shop_or_is_none(given_url: object, expected: str | None) -> None:
    assert song_url(given_url) == expected


@pytest.mark.parametrize("body", [None, [], {}, {"results": {}}, {"errorMessage": "no"}])
def test_what_holds_no_list_is_no_empty_one(body: object) -> None:
    with pytest.raises(Broken, match="without a list"):
        parse(body)


def test_counts_and_lengths_are_bounded() -> None:
    songs = [
        SONG | {"trackViewUrl": f"{PAGE}{number}", "trackName": "x" * 10**4, "trackTimeMillis": 10**15}
        for number in range(5_000)
    ]
    found = parse({"results": songs})
    assert len(found) == CANDIDATES_MAX
    assert {(len(each.title), each.duration_s) for each in found} == {(500, None)}


@given(
    st.dictionaries(st.sampled_from([*SONG]), st.none() | st.integers() | st.text() | st.lists(st.text())),
    st.lists(st.none() | st.integers() | st.text() | st.lists(st.none()), max_size=3),
)
def test_any_result_can_be_read(changes: dict[str, object], odd: list[object]) -> None:
    assert len(parse({"results": [SONG | changes, changes, *odd]})) <= 1


@pytest.mark.parametrize(
    ("status", "body", "kind"), [(403, None, Unavailable), (403, {}, Unavailable), (400, {}, Broken), (404, {}, Broken)]
)
def test_too_many_calls_are_told_from_failures(status: int, body: object, kind: type[Unavailable]) -> None:
    with pytest.raises(Unavailable) as told:
        answered(Reply(status, {}, body))
    assert type(told.value) is kind


def test_recorded_songs_are_read() -> None:
    for body in recorded("itunes"):
        songs = [each for each in body["results"] if each.get("kind") == "song" and "previewUrl" in each]
        found = parse(body)
        assert [each.title for each in found] == [each["trackName"] for each in songs][:CANDIDATES_MAX]
        assert all(each.duration_s and each.artist and each.album for each in found)


# --- against a simulated iTunes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=3, stores={"den": 40}, releases=60)


@pytest.fixture
async def itunes(catalogue: Catalogue) -> AsyncIterator[SimulatedITunes]:
    async with SimulatedITunes(catalogue, limit=None, chance_of_song=1.0, chance_of_preview=1.0) as server:
        yield server


async def test_wanted_tracks_are_found(catalogue: Catalogue, itunes: SimulatedITunes) -> None:
    release = release_of(catalogue, 1)
    wanted = release.tracks[:SEARCHES_MAX]
    async with client_of(itunes.url) as client:
        found = await make(client).candidates(release, {}, wanted)
    for track in wanted:
        best = max(found, key=lambda each: score(track, each, release).confidence)
        assert score(track, best, release).confidence > 50
        assert "Karaoke" not in best.title
    assert {(each.value("media"), each.value("entity")) for each in itunes.calls} == {("music", "song")}


async def test_calls_for_a_box_set_are_bounded(itunes: SimulatedITunes) -> None:
    itunes.at_least = 500
    tracks = tuple(Track(number, None, "", f"Song {number}", (), None) for number in range(200))
    async with client_of(itunes.url) as client:
        found = await make(client).candidates(Release(1, "Box", ("Nobody",), (), (), None, tracks), {}, tracks)
    assert len(itunes.calls) == SEARCHES_MAX
    assert len(found) <= CANDIDATES_MAX


async def test_beyond_its_limit_it_says_403_and_nothing_else(catalogue: Catalogue) -> None:
    release = release_of(catalogue, 1)
    async with SimulatedITunes(catalogue, limit=0) as server, client_of(server.url) as client:
        with pytest.raises(Unavailable, match="too many calls"):
            await make(client).candidates(release, {}, release.tracks)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=200, body=b"{}"),
        Fault("status", status=500),
        Fault("html", status=200),
        Fault("huge", size=10_000_000),
        Fault("empty"),
        Fault("reset_before_headers"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_failing_itunes_is_no_miss(catalogue: Catalogue, itunes: SimulatedITunes, fault: Fault) -> None:
    itunes.add_fault(fault)
    release = release_of(catalogue, 1)
    async with client_of(itunes.url) as client:
        with pytest.raises(Unavailable):
            await make(client).candidates(release, {}, release.tracks)
