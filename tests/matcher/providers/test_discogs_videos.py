from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.urls import canonical_url
from matcher.models import Candidate
from matcher.providers.discogs_videos import parse

WATCH = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


def test_a_video_becomes_a_candidate() -> None:
    video = {"uri": WATCH, "title": "Artist - Song", "duration": 212, "description": None, "embed": True}
    assert parse({"videos": [video]}) == (
        Candidate("discogs_videos", "youtube", WATCH, "Artist - Song", 212, attached=True),
    )


@pytest.mark.parametrize(
    ("uri", "playable"),
    [
        (WATCH, ("youtube", WATCH)),
        ("http://youtube.com/watch?feature=x&v=dQw4w9WgXcQ&t=1", ("youtube", WATCH)),
        ("https://m.youtube.com/watch?v=dQw4w9WgXcQ", ("youtube", WATCH)),
        ("https://youtu.be/dQw4w9WgXcQ?si=abc", ("youtube", WATCH)),
        ("https://www.youtube.com/embed/dQw4w9WgXcQ", ("youtube", WATCH)),
        ("https://vimeo.com/76979871", ("vimeo", "https://vimeo.com/76979871")),
        ("https://www.youtube.com/watch?v=short", None),
        ("https://www.youtube.com/watch?v=dQw4w9WgX%22%3E", None),
        ("https://www.youtube.com/user/somebody", None),
        ("https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ", None),
        ("https://evil.example/?u=youtube.com/watch?v=dQw4w9WgXcQ", None),
        ("javascript:alert(1)//www.youtube.com/watch?v=dQw4w9WgXcQ", None),
        ("ftp://youtu.be/dQw4w9WgXcQ", None),
        ("https://[::1", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_only_videos_of_known_platforms_are_playable(uri: object, playable: tuple[str, str] | None) -> None:
    assert canonical_url(uri) == playable


def test_the_same_video_twice_is_one() -> None:
    assert (
        len(parse({"videos": [{"uri": WATCH, "title": "a"}, {"uri": "https://youtu.be/dQw4w9WgXcQ", "title": "b"}]}))
        == 1
    )


@pytest.mark.parametrize("body", [{}, {"videos": None}, {"videos": {}}, {"videos": [None, 1, [], {}, {"uri": {}}]}])
def test_a_release_without_videos_has_no_candidates(body: dict[str, object]) -> None:
    assert parse(body) == ()


def test_an_unknown_duration_is_none() -> None:
    for duration in (0, -1, "3:00", None, True, 10**9):
        (found,) = parse({"videos": [{"uri": WATCH, "duration": duration}]})
        assert found.duration_s is None


@given(st.text())
def test_what_is_playable_is_https(uri: str) -> None:
    playable = canonical_url(uri)
    assert playable is None or playable[1].startswith("https://")
