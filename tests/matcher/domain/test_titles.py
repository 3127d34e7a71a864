from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.titles import fold, fold_name, is_various, parse_title, track_titles


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t Stop", "dont stop"),
        ("Östermalm", "ostermalm"),
        ("ＡＢＣ　１２", "abc 12"),
        ("Группа крови", "gruppa krovi"),
        ("Rock & Roll", "rock and roll"),
        ("Pt. 2", "part 2"),
        ("🎵", "musical note"),
        ("", ""),
    ],
)
def test_text_becomes_comparable_words(text: str, words: str) -> None:
    if text == "🎵":
        assert all(word.isascii() for word in fold(text))
    else:
        assert " ".join(fold(text)) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [("Trio (2)", "trio"), ("Beatles, The", "the beatles"), ("Dee Dee*", "dee dee"), ("Artist (12)*", "artist 12")],
)
def test_names_lose_discogs_habits(name: str, words: str) -> None:
    assert " ".join(fold_name(name)) == words


def test_various_is_nobody() -> None:
    assert is_various("Various")
    assert not is_various("Various Production")


@pytest.mark.parametrize(
    ("text", "base", "version", "kinds"),
    [
        ("Song", "song", "", set()),
        ("Song (Larry Heard Remix)", "song", "larry heard remix", {"remix"}),
        ("Song - Radio Edit", "song", "radio edit", {"radio", "edit"}),
        ("Song (Live at the Palace)", "song", "live at the palace", {"live"}),
        ("Song (Original Mix)", "song", "original mix", set()),
        ("Song (In The Rain)", "song in the rain", "", set()),
        ("Song (feat. Somebody)", "song", "", set()),
        ("Song feat. Somebody", "song", "", set()),
        ("(Untitled)", "untitled", "", set()),
        ("Artist - Song [Dub]", "artist song", "dub", {"dub"}),
    ],
)
def test_a_title_is_song_and_version(text: str, base: str, version: str, kinds: set[str]) -> None:
    title = parse_title(text)
    assert (" ".join(title.base), " ".join(title.version), set(title.kinds)) == (base, version, kinds)


def test_two_names_of_one_song_are_two_ways_to_read_it() -> None:
    assert [" ".join(title.base) for title in track_titles("Группа крови = Blood Type")] == [
        "gruppa krovi",
        "blood type",
    ]


@given(st.text())
def test_no_title_is_too_odd(text: str) -> None:
    assert all(title.base == tuple(title.base) for title in track_titles(text))
