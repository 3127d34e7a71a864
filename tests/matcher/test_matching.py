from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.tracklist import parse_release
from matcher.domain.urls import spelling
from matcher.domain.verdict import Persist, Thresholds, judge
from matcher.explain import as_table
from matcher.matching import CANDIDATES_LEAST, FLOOR, Matching, affordable, match_release
from matcher.models import Candidate, Release, Said, Track
from matcher.providers.discogs_videos import parse
from tests.conftest import samples
from tests.matcher.bodies import release_body


def test_each_track_gets_its_own_video() -> None:
    body = release_body(1)
    matches = match_release(parse_release(body), parse(body))
    assert [(match.track.title, match.candidate.title) for match in matches] == [
        ("Morning Signal", "The Tidal Club - Morning Signal"),
        ("Harbour Lights", "The Tidal Club - Harbour Lights"),
    ]
    assert all(match.score.confidence > 90 for match in matches)


def test_one_video_is_never_two_tracks() -> None:
    track = {"position": "A", "type_": "track", "title": "Morning Signal", "duration": "6:02"}
    body = release_body(1, videos=1, tracklist=[track, track | {"position": "B"}])
    assert len(match_release(parse_release(body), parse(body))) == 1


@pytest.mark.parametrize(("isrc_of", "approved"), [(None, False), ("0", True)])
@pytest.mark.parametrize("attached", [True, False])
def test_what_fits_two_tracks_alike_is_for_a_person_to_approve_unless_its_isrc_tells(
    isrc_of: str | None, approved: bool, attached: bool
) -> None:
    track = {"type_": "track", "title": "Untitled", "duration": "3:00"}
    release = parse_release({"id": 1, "artists": [{"name": "X"}], "tracklist": [track, track]})
    found = Candidate("p", "deezer", "https://x", "Untitled", 180, artist="X", attached=attached, isrc_of=isrc_of)
    verdict = judge(match_release(release, [found]), Thresholds(50, 85))
    assert isinstance(verdict, Persist)
    assert [each.approved for each in verdict.matches] == [approved]


@pytest.mark.parametrize(("more", "approved"), [("", True), ("(1972)", True), ("(KEXP)", False), ("teaser", False)])
def test_words_that_nothing_explains_are_for_a_person_where_no_length_can_be_compared(
    more: str, approved: bool
) -> None:
    track = {"type_": "track", "title": "Water Taxi", "duration": ""}
    release = parse_release({"id": 1, "title": "Riddim", "artists": [{"name": "X Y"}], "tracklist": [track]})
    found = Candidate("p", "youtube", "https://x", f"X Y - Water Taxi {more}", 301, attached=True)
    verdict = judge(match_release(release, [found]), Thresholds(50, 85))
    assert isinstance(verdict, Persist)
    assert [each.approved for each in verdict.matches] == [approved]


def test_what_is_hardly_likely_is_no_match() -> None:
    body = release_body(1, videos=0)
    noise = [Candidate("p", "youtube", f"https://x/{n}", "How to bake bread", 2000, attached=True) for n in range(3)]
    assert match_release(parse_release(body), noise) == ()
    assert FLOOR > 0


def test_a_release_without_tracks_or_candidates_has_no_matches() -> None:
    assert match_release(parse_release({"id": 1}), parse(release_body(1))) == ()
    assert match_release(parse_release(release_body(1)), ()) == ()


def test_two_hundred_tracks_and_five_hundred_candidates_come_to_an_end() -> None:
    tracks = tuple(Track(n, None, str(n), f"Song Number {n}", (), 100 + n) for n in range(200))
    candidates = [
        Candidate("p", "youtube", f"https://x/{n}", f"Artist - Song Number {n}", 100 + n, attached=True)
        for n in range(500)
    ]
    matches = match_release(Release(1, "Box", ("Artist",), (), (), None, tracks), candidates)
    assert [match.candidate.url for match in matches] == [f"https://x/{n}" for n in range(200)]


TITLES = st.sampled_from(["Signal", "Signal (Live)", "Untitled", "?", "Harbour Lights", "Signal 2", "Artist - Signal"])
LENGTHS = st.sampled_from([None, 100, 104, 300])
CANDIDATES = st.builds(
    Candidate,
    provider=st.sampled_from(["one", "two"]),
    platform=st.just("youtube"),
    url=st.integers(0, 9).map("https://www.youtube.com/watch?v=bbbbbbbbbb{}".format),
    title=TITLES,
    duration_s=LENGTHS,
    artist=st.sampled_from([None, "Artist", "Somebody"]),
    attached=st.booleans(),
    isrc_of=st.sampled_from([None, "0", "1"]),
)


@given(st.lists(st.tuples(TITLES, LENGTHS), max_size=5), st.lists(st.lists(CANDIDATES, max_size=6), max_size=4))
def test_what_becomes_known_in_stages_is_matched_as_what_is_known_at_once(
    titles: list[tuple[str, float | None]], stages: list[list[Candidate]]
) -> None:
    tracks = tuple(Track(n, None, str(n), title, (), length) for n, (title, length) in enumerate(titles))
    release = Release(1, "Harbour Lights", ("Artist",), (), (), None, tracks)
    matching, known = Matching(release), list[Candidate]()
    for found in stages:
        known += found
        assert matching.match(known) == match_release(release, known)


@pytest.mark.parametrize(
    ("tracks", "letters", "looked_at"),
    [(10, 40, 1000), (200, 40, 250), (5000, 40, 20), (10, 500, 160), (200, 500, 20), (0, 0, 1000)],
)
def test_of_a_monstrous_release_the_first_candidates_are_looked_at(tracks: int, letters: int, looked_at: int) -> None:
    several = [Track(n, None, "", "a" * letters, (), None) for n in range(tracks)]
    candidates = [Candidate("p", "youtube", f"https://x/{n}", "a" * letters) for n in range(1000)]
    assert list(affordable(several, candidates)) == candidates[:looked_at]


def test_the_table_tells_tracks_candidates_and_reasons() -> None:
    body = release_body(1)
    release, candidates = parse_release(body), parse(body)
    table = as_table(release, match_release(release, candidates[:1]), candidates, Thresholds(50, 85))
    assert "A     Morning Signal  [6:02]" in table
    assert "duration to the second: +0 s" in table
    assert "approved without a person" in table
    assert "no match" in table
    assert "assigned to no track:" in table
    assert all(len(line) <= 140 for line in table.splitlines())


def test_the_table_tells_what_keeps_a_match_from_being_approved_without_a_person() -> None:
    body = release_body(1)
    release, (found, *_) = parse_release(body), parse(body)
    candidates = [replace(found, duration_s=380)]
    table = as_table(release, match_release(release, candidates), candidates, Thresholds(50, 85))
    assert "for a person to approve: its length is too far off, or not known\n" in table


def test_the_table_survives_control_characters() -> None:
    body = release_body(1)
    release = parse_release(body | {"title": "x\x1b[31m"})
    candidate = Candidate("p", "youtube", "https://x", "evil\x1b[2J\n", None)
    assert "\x1b" not in as_table(release, (), [candidate], Thresholds(50, 85))


def test_real_releases_are_matched() -> None:
    """Most releases with videos have a confident match for at least one track."""
    persisted = with_videos = 0
    for file in sorted(samples("DISCOGS_SAMPLES").glob("*/release/*.json")):
        body = json.loads(file.read_text())
        candidates = parse(body)
        if "tracklist" in body and candidates:
            with_videos += 1
            matches = match_release(parse_release(body), candidates)
            persisted += any(match.score.confidence >= 50 for match in matches)
    assert persisted / with_videos > 0.75


def test_a_monstrous_release_takes_bounded_work() -> None:
    tracks = tuple(Track(place, None, f"A{place}", f"Song {place}", (), 200) for place in range(5000))
    release = Release(1, "All", ("Band",), (), (), None, tracks)
    candidates = [
        Candidate("discogs_videos", "youtube", f"https://x/{place}", f"Band - Song {place}", 200, attached=True)
        for place in range(500)
    ]
    assert len(match_release(release, candidates)) <= CANDIDATES_LEAST


def test_nothing_is_matched_against_what_people_said() -> None:
    body = release_body(1)
    release, videos = parse_release(body), parse(body)
    first, second = (spelling(each.url) for each in videos)

    def found(said: Said) -> list[tuple[int, str]]:
        return [(match.track.track_index, match.candidate.url) for match in match_release(release, videos, said=said)]

    assert found(Said()) == [(0, first), (1, second)]
    assert found(Said(refused=frozenset({(0, None, first)}))) == [(1, second)]
    assert found(Said(approved=frozenset({(0, None, "//x.org/own")}))) == [(1, second)]
    assert (1, second) not in found(Said(approved=frozenset({(0, None, second)})))


def test_after_a_rejection_the_next_best_is_found() -> None:
    body = release_body(1, videos=1)
    videos = [*parse(body), *(replace(each, url="https://vimeo.com/123456") for each in parse(body))]
    (match,) = match_release(parse_release(body), videos)
    refused = Said(refused=frozenset({(0, None, spelling(match.candidate.url))}))
    (other,) = match_release(parse_release(body), videos, said=refused)
    assert (other.track, {other.candidate, match.candidate}) == (match.track, set(videos))


def test_the_next_best_candidate_is_told_if_it_is_likely_at_all() -> None:
    body = release_body(1)
    release, found = parse_release(body), parse(body)
    other = replace(found[0], url="https://www.youtube.com/watch?v=zzzzzzzzzzz", title=f"{found[0].title} (Live)")
    first, second = match_release(release, [*found, other])
    assert first.runner_up
    assert first.runner_up.candidate == other
    assert 5 <= first.runner_up.confidence < first.score.confidence
    assert second.runner_up is None
