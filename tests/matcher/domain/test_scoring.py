from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.evidence import EITHER, FAVOURABLE, evidence
from matcher.domain.hand_set import HAND_SET
from matcher.domain.scoring import score
from matcher.domain.tracklist import parse_duration
from matcher.domain.verdict import DOUBTS
from matcher.domain.weights import WEIGHTS
from matcher.models import Candidate, Release, Track

RELEASE = Release(1, "Harbour Lights EP", ("The Tidal Club", "Tidal Club (2)"), ("Quay Records",), ("Vinyl",), 1994, ())


def confidence(
    track: str, video: str, *, track_time: str = "6:00", video_time: str = "6:02", **changes: str | bool | None
) -> float:
    return score(
        Track(0, None, "A1", track, (), parse_duration(track_time)),
        Candidate("p", "youtube", "https://x", video, parse_duration(video_time), **({"attached": True} | changes)),  # type: ignore[arg-type]
        RELEASE,
    ).confidence


@pytest.mark.parametrize(
    ("track", "video"),
    [
        ("Morning Signal", "The Tidal Club - Morning Signal"),
        ("Morning Signal", "THE TIDAL CLUB — MORNING SIGNAL (Quay Records, 1994)"),
        ("Morning Signal", "Tidal Club - Morning Signal (Official Video) HD"),
        ("Morning Signal (Larry Deep Remix)", "The Tidal Club - Morning Signal (Larry Deep Rmx)"),
        ("Группа крови = Blood Type", "The Tidal Club - Blood Type"),
        ("Öde", "The Tidal Club - Ode"),
    ],
)
def test_the_same_recording_is_confident(track: str, video: str) -> None:
    assert confidence(track, video) > 85


@pytest.mark.parametrize(
    ("track", "video"),
    [
        ("Morning Signal", "The Tidal Club - Harbour Lights"),
        ("Morning Signal", "The Tidal Club - Evening Noise"),
    ],
)
def test_another_song_is_none(track: str, video: str) -> None:
    assert confidence(track, video) < 50


@pytest.mark.parametrize(
    "video",
    [
        "The Tidal Club - Morning Signal (Live in Oslo)",
        "The Tidal Club - Morning Signal (Karaoke Version)",
        "The Tidal Club - Morning Signal (Other Guy Remix)",
        "The Tidal Club - Morning Signal (Instrumental)",
        "Morning Signal - The Tidal Club cover",
    ],
)
def test_another_version_of_the_same_length_is_far_less_likely(video: str) -> None:
    assert odds(confidence("Morning Signal", video)) < odds(confidence("Morning Signal", SAME)) / 5


def test_another_part_is_less_likely() -> None:
    same = odds(confidence("Morning Signal Part 2", f"{SAME} Part 2"))
    assert odds(confidence("Morning Signal Part 2", f"{SAME} Part 1")) < same / 3


SAME = "The Tidal Club - Morning Signal"


def odds(percent: float) -> float:
    return percent / (100 - percent)


def test_a_full_album_is_no_track() -> None:
    assert confidence("Harbour Lights EP", "The Tidal Club - Harbour Lights EP (Full Album)", video_time="41:00") < 50


def test_duration_decides_between_like_titles() -> None:
    near, far = (confidence("Signal", "The Tidal Club - Signal", video_time=time) for time in ("6:01", "9:30"))
    missing = confidence("Signal", "The Tidal Club - Signal", video_time="")
    assert far < 50 < missing < near


def test_a_foreign_channel_speaks_against_a_search_result() -> None:
    own = confidence("Signal", "Signal", channel="The Tidal Club - Topic", attached=False)
    foreign = confidence("Signal", "Signal", channel="Some Other Band", attached=False)
    assert foreign < own


def test_what_the_release_says_of_itself_goes_without_saying() -> None:
    live = Release(1, "Live at the Palace", ("The Tidal Club",), (), (), None, ())
    video = Candidate("p", "youtube", "https://x", "The Tidal Club - Signal (Live)", 300, attached=True)
    track = Track(0, None, "A", "Signal", (), 300)
    assert score(track, video, live).confidence > score(track, video, RELEASE).confidence


def test_reasons_add_up_to_the_confidence_and_come_by_weight() -> None:
    found = score(
        Track(0, None, "A", "Signal", (), 300), Candidate("p", "youtube", "https://x", "Noise (Live)", 200), RELEASE
    )
    total = sum(reason.weight for reason in found.reasons)
    assert found.confidence == pytest.approx(100 / (1 + math.exp(-total)))
    weights = [abs(reason.weight) for reason in found.reasons]
    assert weights == sorted(weights, reverse=True)


@given(
    st.text(max_size=60),
    st.text(max_size=80),
    st.none() | st.integers(1, 9000),
    st.none() | st.integers(1, 9000),
    st.booleans(),
)
def test_any_two_texts_have_a_score(
    track: str, video: str, track_s: int | None, video_s: int | None, attached: bool
) -> None:
    candidate = Candidate("p", "youtube", "https://x", video, video_s, attached=attached, channel=video[:5] or None)
    found = score(Track(0, None, "A", track, (), track_s), candidate, RELEASE)
    assert 0 <= found.confidence <= 100
    assert {reason.name for reason in found.reasons} <= WEIGHTS.keys()


@pytest.mark.parametrize("title", ["", "?", "A1", "Untitled", "🎧" * 50, "x" * 2000, "((((", " - ", "= = ="])
def test_odd_titles_are_survived(title: str) -> None:
    track = Track(0, None, "A", title, (), None)
    assert evidence(track, Candidate("p", "youtube", "https://x", title), RELEASE)
    assert (
        0 <= score(track, Candidate("p", "youtube", "https://x", "The Tidal Club - Signal"), RELEASE).confidence <= 100
    )


@given(st.text(alphabet="abcdefg hij", min_size=3, max_size=30))
def test_case_and_width_make_no_difference(title: str) -> None:
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter != " " else letter for letter in title)
    assert confidence(title, f"The Tidal Club - {wide.upper()}") == pytest.approx(
        confidence(title, f"The Tidal Club - {title}")
    )


def test_every_doubt_is_a_reason_that_can_be_given() -> None:
    assert WEIGHTS.keys() | HAND_SET.keys() >= DOUBTS


def test_every_weight_has_the_sign_of_its_evidence() -> None:
    for name, weight in (WEIGHTS | HAND_SET).items():
        assert name in EITHER or (weight > 0) == (name in FAVOURABLE), name


def test_a_track_that_is_named_by_its_number_carries_the_name_of_the_whole() -> None:
    video = Candidate("p", "youtube", "https://x", "The Tidal Club - The Warnings (Part II)", attached=True)
    right, other = (
        score(Track(0, None, "A", "Part II", (), None, whole), video, RELEASE)
        for whole in ("The Warnings", "The Signs")
    )
    assert other.confidence < right.confidence


SEARCHED = Candidate("deezer", "deezer", "https://x", "Morning Signal", 300, artist="Tidal Club", isrc_of="0")


@pytest.mark.parametrize(
    ("track", "candidate", "least", "most"),
    [
        (Track(0, None, "A", "Morning Signal", (), 300), SEARCHED, 95, 100),
        (Track(0, None, "A", "Morning Signal", (), None), SEARCHED, 85, 100),
        (Track(0, None, "A", "Morning Signal", (), 420), SEARCHED, 0, 50),
        (Track(0, None, "A", "Evening Noise", (), 420), SEARCHED, 0, 20),
        (Track(0, None, "A", "Evening Noise", (), None), SEARCHED, 0, 50),
    ],
)
def test_an_isrc_is_strong_evidence_and_not_absolute(
    track: Track, candidate: Candidate, least: float, most: float
) -> None:
    assert least <= score(track, candidate, RELEASE).confidence <= most


def test_an_isrc_speaks_for_its_own_track_alone() -> None:
    found = score(Track(1, None, "B", "Morning Signal", (), 300), SEARCHED, RELEASE)
    assert found == score(Track(1, None, "B", "Morning Signal", (), 300), replace(SEARCHED, isrc_of=None), RELEASE)
    named = score(Track(0, None, "A", "Morning Signal", (), 300), SEARCHED, RELEASE).reasons
    assert "same ISRC" in [reason.name for reason in named]


def test_no_weight_is_both_fitted_and_set_by_hand() -> None:
    assert not HAND_SET.keys() & WEIGHTS.keys()
