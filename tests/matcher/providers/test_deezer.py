from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.scoring import score
from matcher.domain.tracklist import parse_release as parse_discogs
from matcher.errors import Unavailable
from matcher.models import Candidate, Release, Track
from matcher.providers import musicbrainz
from matcher.providers.client import Reply
from matcher.providers.deezer import (
    CALLS_MAX,
    CANDIDATES_MAX,
    Answered,
    Nothing,
    NotNow,
    make,
    parse_search,
    parse_track,
    query,
    verdict,
)
from tests.matcher.providers.asking import client_of
from tests.matcher.providers.recorded import recorded
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_discogs.shapes import release_body
from tests.simulated_providers import SimulatedDeezer, SimulatedMusicBrainz, songs_of
from tests.simulated_providers.deezer import failing

FOUND: dict[str, Any] = {
    "id": 109213576,
    "readable": True,
    "title": "Where To Start",
    "title_version": "",
    "duration": 166,
    "preview": "https://cdns-preview-7.dzcdn.net/stream/c-7.mp3",
    "artist": {"name": "Lou Doillon"},
    "album": {"title": "Lay Low"},
}
CANDIDATE = Candidate(
    "deezer",
    "deezer",
    "https://www.deezer.com/track/109213576",
    "Where To Start",
    166,
    artist="Lou Doillon",
    album="Lay Low",
)


def error(code: object) -> dict[str, Any]:
    return {"error": {"type": "Exception", "message": "no", "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"data": []}, Answered),
        (200, {"data": [], "error": []}, Answered),
        (200, error(4), NotNow),
        (200, error(700), NotNow),
        (200, error(800), Nothing),
        (404, error(800), Nothing),
        (404, {"error": "Not Found"}, Nothing),
        (200, error(500), Nothing),
        (200, error(501), Nothing),
        (200, error(600), Nothing),
        (200, error(300), NotNow),
        (200, error("4"), NotNow),
        (200, error(None), NotNow),
        (200, {"error": "An error has occured"}, NotNow),
        (200, {"error": ["odd"]}, NotNow),
        (200, {"error": {"type": "Exception"}}, NotNow),
        (200, None, NotNow),
        (200, [], NotNow),
        (403, {}, NotNow),
        (500, {}, NotNow),
    ],
)
def test_what_deezer_means_is_told_by_more_than_its_status(status: int, body: object, kind: type) -> None:
    assert isinstance(verdict(Reply(status, {}, body)), kind)


def test_beyond_the_quota_deezer_is_asked_again_when_its_window_has_passed() -> None:
    found = verdict(Reply(200, {}, error(4)))
    assert isinstance(found, NotNow)
    assert found.again_s == 5.0


def test_a_result_becomes_a_candidate_without_its_preview() -> None:
    assert parse_search({"data": [FOUND, FOUND]}) == (CANDIDATE,)


def test_a_version_that_the_title_lacks_is_added() -> None:
    (found,) = parse_track(FOUND | {"title": "Song", "title_version": "(Live)"})
    assert found.title == "Song (Live)"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 0},
        {"id": "7"},
        {"id": True},
        {"id": 10**20},
        {"title": ""},
        {"title": None},
        {"title": ["x"]},
        {"readable": False},
        {"preview": ""},
        {"preview": None},
    ],
)
def test_what_cannot_be_named_or_played_is_left_out(changes: dict[str, object]) -> None:
    assert parse_track(FOUND | changes) == ()


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}, {"data": [None, 1, [], {}, {"id": {}}]}])
def test_a_page_without_results_has_none(body: dict[str, object]) -> None:
    assert parse_search(body) == ()


@given(
    st.dictionaries(
        st.sampled_from([*FOUND, "title_short"]), st.none() | st.integers() | st.text() | st.lists(st.text())
    )
)
def test_any_result_can_be_read(changes: dict[str, object]) -> None:
    for found in parse_search({"data": [FOUND | changes, changes]}):
        assert found.url.startswith("https://www.deezer.com/track/")
        assert len(found.title) <= 500


def test_no_more_candidates_than_can_be_looked_at() -> None:
    assert len(parse_search({"data": [FOUND | {"id": number + 1} for number in range(5_000)]})) == CANDIDATES_MAX


def test_long_titles_are_cut() -> None:
    (found,) = parse_track(FOUND | {"title": "x" * 10_000})
    assert len(found.title) == 500


@pytest.mark.parametrize(
    ("title", "artists", "expected"),
    [
        ("Signal", ("The Tidal Club (2)",), 'artist:"The Tidal Club" track:"Signal"'),
        ("Signal (Larry Deep Remix)", ("Tidal*",), 'artist:"Tidal" track:"Signal"'),
        ('Say "Yes" \\ No', ('The "X"',), 'artist:"The X" track:"Say Yes No"'),
        ("Группа крови = Blood Type", ("Кино",), 'artist:"Кино" track:"Группа крови"'),
        ("(Intro)", ("A",), 'artist:"A" track:"(Intro)"'),
        ("Signal", ("Various",), 'album:"Harbour Lights" track:"Signal"'),
        ("Signal", (), 'album:"Harbour Lights" track:"Signal"'),
        ("?", ("A",), None),
        ("", ("A",), None),
        ("🎧", ("A",), None),
        ("x" * 2_000, ("A",), f'artist:"A" track:"{"x" * 100}"'),
    ],
)
def test_a_search_names_artist_and_title_in_their_fields(
    title: str, artists: tuple[str, ...], expected: str | None
) -> None:
    release = Release(1, "Harbour Lights", artists, (), (), None, ())
    assert query(Track(0, None, "A", title, (), None), release) == expected


@given(st.text(), st.text())
def test_no_title_breaks_out_of_its_field(title: str, artist: str) -> None:
    asked = query(Track(0, None, "A", title, (artist,), None), Release(1, "", (), (), (), None, ()))
    assert asked is None or asked.count('"') in (2, 4)


# --- against what was recorded ---------------------------------------------------------------------------------------


def test_recorded_errors_are_told_apart() -> None:
    for each in recorded("deezer", "TestClient.test_no_*_raise.json"):
        expected = Nothing if "code" in each["body"]["error"] else NotNow
        assert isinstance(verdict(Reply(each["status"]["code"], {}, each["body"])), expected)
    (missing,) = recorded("deezer", "TestClient.test_request_404.json")
    assert verdict(Reply(404, {}, missing["body"])) == Nothing()


def test_recorded_searches_are_read() -> None:
    (page,) = recorded("deezer", "TestClient.test_search_advanced_multiple.json")
    assert parse_search(page["body"])[0] == CANDIDATE
    (track,) = recorded("deezer", "harmony__track_*.json")
    (found,) = parse_track(track, "3")
    assert (found.title, found.artist, found.duration_s, found.isrc_of) == ("Die With A Smile", "Lady Gaga", 250, "3")


# --- against a simulated Deezer --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=3, stores={"den": 40}, releases=60)


@pytest.fixture
async def deezer(catalogue: Catalogue) -> AsyncIterator[SimulatedDeezer]:
    async with SimulatedDeezer(catalogue, chance_of_song=1.0, chance_of_others=1.0, chance_of_silence=0.0) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Known:
    """Whoever knows the ISRCs."""

    isrcs: Mapping[str, tuple[str, ...]]
    name: str = "known"

    async def isrcs_of(self, _: Release) -> Mapping[str, tuple[str, ...]]:
        return self.isrcs


class Silent:
    name = "silent"

    async def isrcs_of(self, _: Release) -> Mapping[str, tuple[str, ...]]:
        raise Unavailable("throttled", 60)


def release_of(catalogue: Catalogue, number: int) -> Release:
    found = catalogue.release([heading.id for heading in catalogue.headings()][number])
    assert found
    return parse_discogs(release_body(found, 0, None, "https://api.discogs.com"))


def isrcs_of(catalogue: Catalogue, release: Release) -> dict[str, tuple[str, ...]]:
    source = catalogue.release(release.release_id)
    assert source
    pairs = zip(release.tracks, songs_of(source), strict=True)
    return {track.place: (song.isrc,) for track, song in pairs}


async def test_tracks_with_an_isrc_are_found_by_it(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    release = release_of(catalogue, 1)
    known = isrcs_of(catalogue, release)
    async with client_of(deezer.url) as client:
        found = await make(client, [object(), Known(known)]).candidates(release, {}, release.tracks)
    assert [each.isrc_of for each in found] == [track.place for track in release.tracks]
    assert not deezer.calls_to("/search")


async def test_tracks_without_one_are_searched_in_the_order_they_are_wanted(
    catalogue: Catalogue, deezer: SimulatedDeezer
) -> None:
    release = release_of(catalogue, 1)
    first, *rest = release.tracks
    wanted = list(reversed(rest))
    known = {first.place: ("QZZZZ9999999",), rest[0].place: isrcs_of(catalogue, release)[rest[0].place]}
    async with client_of(deezer.url) as client:
        found = await make(client, [Known(known)]).candidates(release, {}, [first, *wanted])
    asked = [call.value("q") for call in deezer.calls_to("/search")]
    left = [first, *wanted[:-1]]
    assert asked == list(dict.fromkeys(query(track, release) for track in left))
    assert {each.isrc_of for each in found} == {None, rest[0].place}
    for track in left:
        assert max(score(track, each, release).confidence for each in found) > 50


async def test_an_isrc_that_leads_to_another_song_leaves_its_track_to_the_search(
    catalogue: Catalogue, deezer: SimulatedDeezer
) -> None:
    release, other = release_of(catalogue, 1), release_of(catalogue, 2)
    (track, *_), (wrong, *_) = release.tracks, isrcs_of(catalogue, other).values()
    async with client_of(deezer.url) as client:
        found = await make(client, [Known({track.place: wrong})]).candidates(release, {}, [track])
    (misled, *_), best = found, max(found, key=lambda each: score(track, each, release).confidence)
    assert misled.isrc_of == track.place
    assert best.isrc_of is None


async def test_who_cannot_tell_isrcs_now_hinders_no_search(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    release = release_of(catalogue, 1)
    async with client_of(deezer.url) as client:
        assert await make(client, [Silent()]).candidates(release, {}, release.tracks)


async def test_musicbrainz_and_deezer_find_a_release_together(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    release = release_of(catalogue, 1)
    known = SimulatedMusicBrainz(catalogue, limit=None, releases={release.release_id: 1}, chance_of_isrc=1.0)
    async with known, client_of(known.url) as first, client_of(deezer.url) as second:
        before = musicbrainz.make(first)
        await before.candidates(release, {}, release.tracks)
        found = await make(second, [before]).candidates(release, {}, release.tracks)
    assert {each.isrc_of for each in found} == {track.place for track in release.tracks}
    assert len(known.calls) == 2


async def test_calls_for_a_box_set_are_bounded(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    tracks = tuple(Track(number, None, "", f"Song {number}", (), None) for number in range(200))
    release = Release(1, "Box", ("Nobody",), (), (), None, tracks)
    known = Known({track.place: ("QZZZZ9999999",) * 5 for track in tracks[::2]})
    async with client_of(deezer.url) as client:
        await make(client, [known]).candidates(release, {}, tracks)
    assert len(deezer.calls) == CALLS_MAX


async def test_titles_without_words_are_not_searched(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    tracks = tuple(Track(number, None, "", title, (), None) for number, title in enumerate(("?", "", "🎧", "...")))
    async with client_of(deezer.url) as client:
        found = await make(client).candidates(Release(1, "X", ("Y",), (), (), None, tracks), {}, tracks)
    assert (found, deezer.calls) == ((), [])


async def test_concerts_and_copies_never_win(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    for number in range(8):
        release = release_of(catalogue, number)
        async with client_of(deezer.url) as client:
            found = await make(client).candidates(release, {}, release.tracks[:3])
        for track in release.tracks[:3]:
            best = max(found, key=lambda each: score(track, each, release).confidence)
            assert "Karaoke" not in best.title
            assert "Live in Berlin" not in best.title
        deezer.clear_faults()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=200, body=failing("Exception", "Quota limit exceeded", 4).body),
        Fault("status", status=200, body=b'{"error": "An error has occured"}'),
        Fault("status", status=200, body=b"{}"),
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
async def test_a_failing_deezer_is_no_miss(catalogue: Catalogue, deezer: SimulatedDeezer, fault: Fault) -> None:
    release = release_of(catalogue, 1)
    deezer.add_fault(fault)
    async with client_of(deezer.url, timeout_s=0.2 if fault.kind == "silent" else 20.0) as client:
        with pytest.raises(Unavailable):
            await make(client).candidates(release, {}, release.tracks)


async def test_deezer_throttles_with_a_status_of_200(catalogue: Catalogue) -> None:
    release = release_of(catalogue, 1)
    async with SimulatedDeezer(catalogue, limit=1, clock=lambda: 0.0) as server, client_of(server.url) as client:
        with pytest.raises(Unavailable) as told:
            await make(client).candidates(release, {}, release.tracks)
    assert told.value.retry_after_s == 5.0


async def test_five_hundred_results_are_survived(catalogue: Catalogue, deezer: SimulatedDeezer) -> None:
    deezer.at_least = 500
    release = release_of(catalogue, 1)
    async with client_of(deezer.url) as client:
        found = await make(client).candidates(release, {}, release.tracks)
    assert len(found) <= CANDIDATES_MAX
