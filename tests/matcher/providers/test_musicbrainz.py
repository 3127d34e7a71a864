from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.scoring import score
from matcher.domain.tracklist import parse_release as parse_discogs
from matcher.errors import Unavailable
from matcher.models import Candidate, Release, Track
from matcher.providers.client import Reply
from matcher.providers.musicbrainz import (
    CANDIDATES_MAX,
    Recording,
    answered,
    isrcs_of,
    linked,
    make,
    parse_links,
    parse_release,
)
from tests.matcher.providers.asking import client_of
from tests.matcher.providers.recorded import recorded
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_discogs.shapes import release_body
from tests.simulated_providers import SimulatedMusicBrainz, songs_of

MBIDS = ("00000001-5eed-4000-8000-000000000000", "00000001-5eed-4000-8000-000000000001")
WATCH = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "urls resource relations release id media tracks pregap recording title length isrcs url type "
                "artist-credit name joinphrase".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


def url_body(release_id: int, *mbids: object) -> dict[str, Any]:
    relations = [{"type": "discogs", "release": {"id": mbid}} for mbid in mbids]
    return {"resource": f"https://www.discogs.com/release/{release_id}", "relations": relations}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"urls": "x", "relations": 3}, {}),
        (url_body(7, MBIDS[0]), {7: (MBIDS[0],)}),
        (url_body(7, *MBIDS, MBIDS[0]), {7: MBIDS}),
        (url_body(7, "../../admin", None, {}), {}),
        ({"urls": [url_body(7, MBIDS[0]), url_body(8, MBIDS[1]), None, 4]}, {7: (MBIDS[0],), 8: (MBIDS[1],)}),
        (url_body(7, MBIDS[0]) | {"resource": "https://evil.example/release/7"}, {}),
    ],
)
def test_links_of_one_or_several_releases_are_read(body: object, expected: object) -> None:
    assert parse_links(body) == expected


def test_a_track_has_its_own_title_length_isrcs_and_links() -> None:
    recording = {
        "title": "Song (album version)",
        "length": 1,
        "isrcs": ["gbaya7300001", "GBAYA7300001", "nonsense", 4],
        "relations": [
            {"type": "free streaming", "url": {"resource": "https://youtu.be/dQw4w9WgXcQ"}},
            {"type": "free streaming", "ended": True, "url": {"resource": "https://youtu.be/aaaaaaaaaaa"}},
            {"type": "lyrics", "url": {"resource": "https://youtu.be/bbbbbbbbbbb"}},
            {"type": "streaming", "url": {"resource": "https://open.spotify.com/track/1"}},
            {"type": "streaming", "url": None},
        ],
    }
    credit = [{"name": "One", "joinphrase": " & "}, {"name": "Other", "joinphrase": ""}]
    track = {"title": "Song", "length": 181_500, "artist-credit": credit, "recording": recording}
    assert parse_release({"media": [{"tracks": [track]}]}) == (
        Recording("Song", "One & Other", 181.5, ("GBAYA7300001",), (("youtube", WATCH),)),
    )


@given(ODD)
def test_any_body_can_be_read(body: object) -> None:
    parse_links(body)
    linked(parse_release(body))


def test_a_link_that_several_titles_share_is_left_out() -> None:
    both = (("youtube", WATCH),)
    first, second = (Recording(title, None, 100, (), both) for title in ("A", "B"))
    assert linked([first, second]) == ()
    assert [each.title for each in linked([first, first])] == ["A"]


def test_no_more_candidates_than_can_be_looked_at() -> None:
    links = [("deezer", f"https://www.deezer.com/track/{number}") for number in range(1_000)]
    assert len(linked([Recording(f"T{n}", None, 100, (), (link,)) for n, link in enumerate(links)])) == CANDIDATES_MAX


def test_isrcs_go_to_the_track_of_that_title_and_version() -> None:
    tracks = (
        Track(1, None, "A", "Signal (Dub)", (), 300),
        Track(2, 0, "B", "Signal", (), None),
        Track(3, None, "C", "Else", (), 200),
    )
    release = Release(1, "Signal", ("The Tidal Club",), (), (), None, tracks)
    recordings = [
        Recording("Signal", "The Tidal Club", 240, ("QZAAA0000001",), ()),
        Recording("Signal (dub)", "The Tidal Club", 301, ("QZAAA0000002",), ()),
        Recording("Else", "The Tidal Club", 200, (), ()),
        Recording("Bonus", "The Tidal Club", 200, ("QZAAA0000004",), ()),
    ]
    assert isrcs_of(release, recordings) == {"1": ("QZAAA0000002",), "2.0": ("QZAAA0000001",)}


@pytest.mark.parametrize(
    ("status", "body"), [(200, None), (200, []), (200, {"error": "slow down"}), (400, {}), (403, {}), (500, None)]
)
def test_an_answer_without_sense_is_no_miss(status: int, body: object) -> None:
    with pytest.raises(Unavailable):
        answered(Reply(status, {}, body))


def test_not_there_is_a_miss() -> None:
    assert answered(Reply(404, {}, {"error": "Not Found"})) is None


# --- against what was recorded ---------------------------------------------------------------------------------------


def test_recorded_releases_are_read() -> None:
    (release,) = recorded("musicbrainz", "picard__release.json")
    found = parse_release(release)
    assert found[0] == Recording("Speak to Me", None, 68.346, (), ())
    assert all(parse_release(body) is not None for body in recorded("musicbrainz"))


def test_isrcs_and_links_of_recorded_recordings_are_read() -> None:
    (release,) = recorded("musicbrainz", "beets__official_release.json")
    assert parse_release(release)[0].isrcs
    (video,) = recorded("musicbrainz", "picard__recording_video.json")
    (found,) = linked(parse_release({"media": [{"tracks": [{"recording": video}]}]}))
    assert (found.title, found.duration_s, found.url) == (
        "The Enemy",
        218.0,
        "https://www.youtube.com/watch?v=O_HwMrrJ4M4",
    )


# --- against a simulated MusicBrainz ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=3, stores={"den": 40}, releases=60)


@pytest.fixture
async def musicbrainz(catalogue: Catalogue) -> AsyncIterator[SimulatedMusicBrainz]:
    async with SimulatedMusicBrainz(catalogue, limit=None, chance_of_link=1.0, chance_of_isrc=1.0) as server:
        yield server


def release_of(catalogue: Catalogue, release_id: int) -> Release:
    found = catalogue.release(release_id)
    assert found
    return parse_discogs(release_body(found, 0, None, "https://api.discogs.com"))


def ids(catalogue: Catalogue, count: int) -> list[int]:
    return [heading.id for heading in catalogue.headings()][:count]


async def test_links_of_a_release_fit_their_tracks(catalogue: Catalogue, musicbrainz: SimulatedMusicBrainz) -> None:
    (release_id,) = ids(catalogue, 1)
    musicbrainz.releases[release_id] = 1
    release = release_of(catalogue, release_id)
    async with client_of(musicbrainz.url) as client:
        provider = make(client)
        found = await provider.candidates(release, {}, release.tracks)
        isrcs = await provider.isrcs_of(release)
    source = catalogue.release(release_id)
    assert source
    songs = songs_of(source)
    assert {each.title for each in found} <= {song.title for song in songs}
    assert found
    assert all(each.attached and each.duration_s for each in found)
    assert all(best(release, each) > 85 for each in found)
    assert sorted(isrc for each in isrcs.values() for isrc in each) == sorted(song.isrc for song in songs)
    assert len(musicbrainz.calls_to("/url")) == len(musicbrainz.calls_to("/release")) == 1


def best(release: Release, candidate: Candidate) -> float:
    return max(score(track, candidate, release).confidence for track in release.tracks)


async def test_jobs_share_one_look_up(catalogue: Catalogue, musicbrainz: SimulatedMusicBrainz) -> None:
    several = ids(catalogue, 12)
    musicbrainz.releases |= {release_id: number % 3 for number, release_id in enumerate(several)}
    async with client_of(musicbrainz.url) as client:
        provider = make(client)
        found = await asyncio.gather(*(provider.candidates(release_of(catalogue, each), {}, ()) for each in several))
    (call,) = musicbrainz.calls_to("/url")
    assert len(call.values("resource")) == 12
    assert [bool(each) for each in found] == [number % 3 > 0 for number in range(12)]
    assert len(musicbrainz.calls_to("/release")) == 4 * 1 + 4 * 2


async def test_a_release_that_is_not_linked_has_none(catalogue: Catalogue, musicbrainz: SimulatedMusicBrainz) -> None:
    (release_id,) = ids(catalogue, 1)
    musicbrainz.releases[release_id] = 0
    async with client_of(musicbrainz.url) as client:
        assert await make(client).candidates(release_of(catalogue, release_id), {}, ()) == ()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503),
        Fault("status", status=500),
        Fault("html", status=200),
        Fault("huge", size=10_000_000),
        Fault("silent"),
        Fault("empty"),
        Fault("broken_json"),
        Fault("reset_before_headers"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_failing_musicbrainz_is_no_miss(
    catalogue: Catalogue, musicbrainz: SimulatedMusicBrainz, fault: Fault
) -> None:
    (release_id,) = ids(catalogue, 1)
    musicbrainz.add_fault(fault)
    timeout_s = 0.2 if fault.kind == "silent" else 20.0
    async with client_of(musicbrainz.url, timeout_s=timeout_s) as client:
        with pytest.raises(Unavailable):
            await make(client).candidates(release_of(catalogue, release_id), {}, ())


async def test_more_than_one_call_a_second_is_refused(catalogue: Catalogue) -> None:
    (release_id,) = ids(catalogue, 1)
    async with (
        SimulatedMusicBrainz(catalogue, releases={release_id: 1}, clock=lambda: 0.0) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(Unavailable):
            await make(client).candidates(release_of(catalogue, release_id), {}, ())
        assert [call.refused for call in server.calls] == [False, True]
