"""The generated catalogue: the same for a seed, and as odd as the real one."""

import unicodedata
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_discogs import Release, Track
from tests.simulated_discogs.numbering import ARTISTS, LABELS, MASTERS, RELEASES, Numbering
from tests.simulated_discogs.releases import heading, master_id_of, name_variation, release, versions_of
from tests.simulated_discogs.stores import artist_text

SEED = 1


@pytest.fixture(scope="module")
def many() -> list[Release]:
    return [release(SEED, number) for number in range(1_000)]


def playable(releases: list[Release]) -> list[Track]:
    tracks = chain.from_iterable(found.tracks for found in releases)
    return [part for track in tracks for part in (track.sub_tracks or (track,)) if part.type == "track"]


def test_a_seed_gives_the_same_release_in_whatever_order_it_is_asked() -> None:
    forwards = [release(SEED, number) for number in (3, 4, 5)]
    backwards = [release(SEED, number) for number in (5, 4, 3)]

    assert forwards == backwards[::-1]
    assert release(SEED + 1, 3) != forwards[0]


def test_the_heading_is_that_of_the_whole_release() -> None:
    assert [heading(SEED, number) for number in range(50)] == [release(SEED, number).heading for number in range(50)]


def test_three_releases_in_four_have_videos(many: list[Release]) -> None:
    assert 0.70 < sum(bool(found.videos) for found in many) / len(many) < 0.80


def test_one_track_in_six_has_no_duration(many: list[Release]) -> None:
    tracks = playable(many)
    assert 1 / 8 < sum(track.duration == "" for track in tracks) / len(tracks) < 1 / 5


def test_a_right_video_lasts_about_as_long_as_its_track(many: list[Release]) -> None:
    seen = [
        (video, found.tracks[video.track])
        for found in many
        for video in found.videos
        if video.kind == "exact" and video.track is not None and not found.tracks[video.track].sub_tracks
    ]

    assert all(video.seconds == 0 or abs(video.seconds - track.seconds) <= 4 for video, track in seen)
    assert 0 < sum(video.seconds == 0 for video, _ in seen) < len(seen) / 10


def test_videos_are_of_every_kind(many: list[Release]) -> None:
    kinds = {video.kind for found in many for video in found.videos}
    assert kinds == {"exact", "live", "other mix", "cover", "wrong", "full album"}


def test_tracklists_have_headings_and_index_tracks_without_positions(many: list[Release]) -> None:
    others = [track for found in many for track in found.tracks if track.type != "track"]

    assert {track.type for track in others} == {"heading", "index"}
    assert all(track.position == track.duration == "" for track in others)
    assert all(bool(track.sub_tracks) == (track.type == "index") for track in others)


def test_positions_are_given_once_each(many: list[Release]) -> None:
    for found in many:
        positions = [track.position for track in playable([found])]
        assert all(positions)
        assert len(set(positions)) == len(positions)


def test_singles_have_two_sides_of_one_track(many: list[Release]) -> None:
    singles = [found for found in many if '7"' in found.heading.formats[0].descriptions and len(found.tracks) == 2]

    assert {tuple(track.position for track in found.tracks) for found in singles} == {("A", "B")}
    assert any(" / " in found.heading.title for found in singles)


def test_artists_are_as_odd_as_they_are(many: list[Release]) -> None:
    names = {credit.artist.name for found in many for credit in found.heading.artists}
    shown = {artist_text(found.heading) for found in many}

    assert "Various" in names
    assert any(name.endswith(" (2)") for name in names)
    assert any(text.endswith("*") for text in shown)
    assert any(" & " in text for text in shown)
    various = [found for found in many if found.heading.artists[0].artist.name == "Various"]
    assert all(track.artists for found in various for track in playable([found]) if not found.tracks[0].sub_tracks)


def test_several_languages_are_there(many: list[Release]) -> None:
    letters = {unicodedata.name(letter, "").split()[0] for found in many for letter in found.heading.title}
    accented = {
        letter
        for found in many
        for letter in found.heading.title
        if unicodedata.combining(letter) or "À" <= letter < "ž"
    }

    assert {"LATIN", "CYRILLIC", "CJK", "KATAKANA", "HIRAGANA"} <= letters
    assert len(accented) > 20


def test_some_years_and_countries_are_unknown(many: list[Release]) -> None:
    assert 0.02 < sum(found.heading.year == 0 for found in many) / len(many) < 0.12
    assert any(found.heading.country is None for found in many)
    assert all(found.released == "" for found in many if found.heading.year == 0)


def test_versions_of_a_master_share_tracks_and_videos(many: list[Release]) -> None:
    versions = [many[number] for number in versions_of(6)]

    assert len(versions) == 4
    assert {found.master_id for found in versions} == {master_id_of(SEED, 6)}
    assert len({tuple(track.title for track in found.tracks) for found in versions}) == 1
    assert len({found.videos for found in versions}) == 1
    assert len({found.heading.labels for found in versions}) == 4


def test_some_releases_have_no_master(many: list[Release]) -> None:
    assert 0.6 < sum(found.master_id is not None for found in many) / len(many) < 0.9


@pytest.mark.parametrize(
    ("name", "variation"), [("Dee Dee Jones", "D. Dee Jones"), ("Wool (4)", "WOOL"), ("Кино", "КИНО")]
)
def test_a_name_variation_is_how_a_sleeve_might_spell_it(name: str, variation: str) -> None:
    assert name_variation(name) == variation


@given(number=st.integers(0, 100_000), numbering=st.sampled_from([RELEASES, MASTERS, ARTISTS, LABELS]))
def test_ids_rise_with_gaps_and_lead_back(number: int, numbering: Numbering) -> None:
    identity = numbering.id_of(number)

    assert numbering.number_of(identity) == number
    assert identity < numbering.id_of(number + 1)
    neighbours = [numbering.number_of(identity - 1), numbering.number_of(identity + 1)]
    assert neighbours.count(None) >= 1
