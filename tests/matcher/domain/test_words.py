from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.words import fold, fold_name, is_said, is_various, likeness, names_in, share_of, without


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t Stop", "dont stop"),
        ("Östermalm", "ostermalm"),
        ("ＡＢＣ　１２", "abc 12"),
        ("Группа крови", "gruppa krovi"),
        ("Rock & Roll", "rock and roll"),
        ("Pt. 2", "part 2"),
        ("Part II", "part 2"),
        ("D.J. Clash", "dj clash"),
        ("The 5 A.M. Event", "the 5 am event"),
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


def test_a_name_holds_names() -> None:
    assert names_in("Jay Feat. Bee & Cee (2)") == (
        ("jay", "featuring", "bee", "and", "cee"),
        ("jay",),
        ("bee",),
        ("cee",),
    )


@pytest.mark.parametrize(
    ("word", "other"), [("rugged", "rugget"), ("kompyuter", "computer"), ("brooke", "brook"), ("fantasy", "phantasy")]
)
def test_words_that_are_spelt_or_sound_alike(word: str, other: str) -> None:
    assert likeness(word, other) >= 0.74


@pytest.mark.parametrize(("word", "other"), [("cat", "car"), ("love", "hate"), ("signal", "signalling")])
def test_words_that_are_others(word: str, other: str) -> None:
    assert likeness(word, other) == 0


@pytest.mark.parametrize(
    ("part", "said", "least", "most"),
    [
        ("morning signal", "the tidal club morning signal", 1, 1),
        ("death con", "hi5 ghost deathcon 5", 1, 1),
        ("the banana boat song", "banana boat song", 0.9, 0.99),
        ("morning signal", "the tidal club evening signal", 0.3, 0.8),
        ("morning", "evening", 0, 0),
        ("", "anything", 0, 0),
    ],
)
def test_how_much_is_said(part: str, said: str, least: float, most: float) -> None:
    assert least <= share_of(fold(part), fold(said)) <= most


def test_a_name_is_taken_out_once_and_never_leaves_nothing() -> None:
    assert without(("a", "b", "a"), ("a",)) == ("b", "a")
    assert without(("a",), ("a",)) == ("a",)


def test_a_name_is_said_without_its_blanks_too() -> None:
    assert is_said(("body", "and", "soul"), ("bodyandsoul", "dub")) == 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_shares_are_shares(part: str, said: str) -> None:
    assert 0 <= share_of(fold(part), fold(said)) <= 1
    assert 0 <= is_said(fold(part), fold(said)) <= 1
    assert share_of(fold(part), fold(part)) in (0, 1)
