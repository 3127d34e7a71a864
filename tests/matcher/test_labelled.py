"""Labelled lines, whatever is in them."""

from __future__ import annotations

import json

import pytest

from matcher.labelled import Gold, MalformedLabels, parse_labelled_release, parse_lines, parse_pair

TRACK = {"artist": "Jay (2)", "title": "Song", "duration_s": 200.5, "release_title": "R", "release_artist": "Jay (2)"}
CANDIDATE = {"platform": "youtube", "title": "Jay - Song", "duration_s": None, "from_release_videos": True}
PAIR = {"id": "p1", "track": TRACK, "candidate": CANDIDATE, "label": 1, "source": "s", "kind": "k"}


def test_a_pair_is_read() -> None:
    found = parse_pair(json.dumps(PAIR).encode())
    assert (found.pair_id, found.is_match, found.artist) == ("p1", True, "jay")
    assert (found.track.title, found.track.duration_s, found.release.artists) == ("Song", 200.5, ("Jay (2)",))
    assert (found.candidate.attached, found.candidate.duration_s) == (True, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": 2}, "label is neither 0 nor 1"),
        ({"track": None}, "track is no object"),
        ({"candidate": []}, "candidate is no object"),
        ({"track": TRACK | {"title": 5}}, "title is no text"),
        ({"track": TRACK | {"duration_s": "long"}}, "duration_s is no number"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(change: dict[str, object], told: str) -> None:
    lines = [json.dumps(PAIR).encode(), b"\n", json.dumps(PAIR | change).encode()]
    with pytest.raises(MalformedLabels, match=f"line 3: {told}"):
        list(parse_lines(lines, parse_pair))


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff"])
def test_what_is_no_object_is_told(line: bytes) -> None:
    with pytest.raises(MalformedLabels, match="line 1: no JSON"):
        list(parse_lines([line], parse_pair))


def test_a_release_is_read_with_what_is_known_of_its_videos() -> None:
    found = parse_labelled_release(
        json.dumps(
            {
                "release_id": 7,
                "artist": "Jay",
                "title": "R",
                "tracklist": [
                    {"index": 0, "type": "heading", "title": "Side A"},
                    {"index": 1, "type": "track", "title": "Song", "duration_s": 200},
                ],
                "videos": [{"title": "Song", "uri": "https://x"}, {"title": "All"}, {"title": "Never labelled"}],
                "gold": [
                    {"video": 0, "verdict": "match", "tracks": [1], "unsure": []},
                    {"video": 1, "verdict": "ambiguous", "tracks": [], "unsure": [1]},
                ],
            }
        ).encode()
    )
    assert [each.track_index for each in found.release.tracks] == [1]
    assert found.gold == (Gold(frozenset({1}), frozenset()), Gold(frozenset(), None), Gold(frozenset(), None))
