from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.tracklist import parse_duration, parse_release
from matcher.errors import MalformedRelease
from matcher.models import Release, Track
from tests.matcher.bodies import release_body

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["title", "type_", "sub_tracks"]), inner)
    ),
)


def tracks(*entries: object) -> tuple[Track, ...]:
    return parse_release({"id": 1, "tracklist": list(entries)}).tracks


def test_a_release_is_read() -> None:
    release = parse_release(release_body(7))
    assert (release.release_id, release.artists, release.labels) == (7, ("The Tidal Club",), ("Quay Records",))
    assert release.tracks[1] == Track(1, None, "B", "Harbour Lights", (), 362)


def test_headings_are_no_tracks_but_count_in_the_index() -> None:
    found = tracks({"type_": "heading", "title": "Side A"}, {"type_": "track", "title": "One", "position": "1"})
    assert [(track.track_index, track.title) for track in found] == [(1, "One")]


def test_old_answers_without_a_type_have_headings_too() -> None:
    found = tracks({"title": "Bonus", "position": "", "duration": ""}, {"title": "One", "position": "A"})
    assert [track.title for track in found] == ["One"]


def test_an_index_track_comes_before_its_sub_tracks() -> None:
    suite = {
        "type_": "index",
        "title": "Suite",
        "artists": [{"name": "Trio (2)", "anv": "The Trio"}],
        "sub_tracks": [
            {"position": "1a", "title": "I", "duration": "1:00"},
            {"title": "II", "artists": [{"name": "Solo"}]},
        ],
    }
    assert tracks({"title": "x", "position": "0"}, suite)[1:] == (
        Track(1, None, "", "Suite", ("The Trio", "Trio (2)"), None),
        Track(1, 0, "1a", "I", ("The Trio", "Trio (2)"), 60, "Suite"),
        Track(1, 1, "", "II", ("Solo",), None, "Suite"),
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4:00", 240),
        ("1:02:03", 3723),
        ("4'30", 270),
        ("4.30", 270),
        ("90:00", 5400),
        ("", None),
        ("0:00", None),
        ("4:75", None),
        ("about 4", None),
        ("４:００", 240),
        ("99:99:99", None),
        (None, None),
        (240, None),
    ],
)
def test_durations_are_read(text: object, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "body", [{}, {"id": "1"}, {"id": 0}, {"id": True}, {"id": 1, "tracklist": "A"}, {"id": 1, "tracklist": {}}]
)
def test_what_is_no_release_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(MalformedRelease):
        parse_release(body)


@given(
    st.dictionaries(st.sampled_from(["title", "artists", "labels", "formats", "year"]), json_values),
    st.lists(json_values),
)
def test_no_release_is_too_odd(body: dict[str, object], tracklist: list[object]) -> None:
    assert isinstance(parse_release(body | {"id": 1, "tracklist": tracklist}), Release)


def test_a_heading_names_the_tracks_below_it() -> None:
    found = tracks({"title": "The Warnings", "type_": "heading"}, {"title": "Part I", "position": "A1"})
    assert [(each.title, each.whole) for each in found] == [("Part I", "The Warnings")]
