from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.titles import phrases, readings


@pytest.mark.parametrize(
    ("text", "song", "subtitle", "version"),
    [
        ("Song", "song", "", ""),
        ("Song (Larry Heard Remix)", "song", "", "larry heard remix"),
        ("Song - Radio Edit", "song", "", "radio edit"),
        ("Song (Live at the Palace)", "song", "", "live at the palace"),
        ("Song (In The Rain)", "song", "in the rain", ""),
        ("Song (feat. Somebody)", "song", "", ""),
        ("Song feat. Somebody", "song", "", ""),
        ("(Untitled)", "untitled", "", ""),
        ("(Radio Edit)", "radio edit", "", ""),
        ("Artist - Song [Dub]", "artist song", "", "dub"),
        ("Song : Larry's Remix", "song", "", "larrys remix"),
    ],
)
def test_a_title_is_song_subtitle_and_version(text: str, song: str, subtitle: str, version: str) -> None:
    (title,) = readings(text)
    assert [" ".join(part) for part in (title.song, title.subtitle, title.version)] == [song, subtitle, version]


def test_two_names_of_one_song_are_two_ways_to_read_it() -> None:
    songs = [" ".join(title.song) for title in readings("Группа крови = Blood Type")]
    assert songs == ["gruppa krovi", "blood type"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Artist - Song (Live) [HD]", ["artist", "song", "(live)", "(hd)"]),
        ("Artist-Song", ["artist song"]),
        ("Artist -Song | Label", ["artist", "song", "label"]),
        ("Song【Official】", ["song", "(official)"]),
        ("Song (never closed", ["song", "(never closed)"]),
        ("", []),
    ],
)
def test_phrases_stand_between_dashes_and_brackets(text: str, found: list[str]) -> None:
    told = [f"({' '.join(each.words)})" if each.bracketed else " ".join(each.words) for each in phrases(text)]
    assert told == found


@given(st.text())
def test_no_title_is_too_odd(text: str) -> None:
    assert readings(text)
    assert all(each.words for each in phrases(text))
