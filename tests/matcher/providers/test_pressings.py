from __future__ import annotations

import json
from dataclasses import replace

import pytest

from matcher import decision_store, decisions
from matcher.database import Database
from matcher.domain.scoring import score
from matcher.domain.verdict import Thresholds
from matcher.gathering import Provider
from matcher.matching import match_release, one_per_url
from matcher.models import Candidate, Release, SaidElsewhere, Track
from matcher.pool import FetchedRelease, Matcher
from matcher.pressings_store import PressingMatch
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.providers.pressings import Pressings, parse
from tests.matcher.bodies import VIDEO_IDS, encoded, release_body
from tests.matcher.test_decisions import id_of, rows
from tests.matcher.test_store import NOW, enqueue, execute, row

FIRST = f"https://www.youtube.com/watch?v={VIDEO_IDS[0]}"
SECOND = f"https://www.youtube.com/watch?v={VIDEO_IDS[1]}"
MASTER = 77

Bodies = dict[int, dict[str, object]]


def body(release_id: int, *, videos: int = 0, **changes: object) -> dict[str, object]:
    return release_body(release_id, videos=videos, **({"master_id": MASTER} | changes))


async def matched(database: Database, bodies: Bodies) -> None:
    """As the pool does it, one after the other."""

    async def fetch(release_id: int) -> FetchedRelease:
        return FetchedRelease(encoded(bodies[release_id]), NOW)

    await enqueue(database, *bodies)
    providers: list[Provider] = [Pressings(database), DiscogsVideos()]
    await Matcher(database, fetch, providers, Thresholds(50, 85), batch_size=1).drain(100, 60)


async def decide(database: Database, release_id: int, url: str, how: str) -> None:
    match_id = await id_of(database, url, release_id)
    async with database.transaction() as connection:
        await getattr(decisions, how)(connection, match_id, "anna")


async def match_of(database: Database, release_id: int, url: str) -> tuple[float, bool, dict[str, float]]:
    """Confidence, whether approved, reasons."""
    (found,) = [each for each in await rows(database, release_id) if each["match_url"] == url]
    reasons = {each["name"]: each["weight"] for each in json.loads(str(found["reasons"]))}
    confidence = found["confidence"]
    assert isinstance(confidence, float)
    return confidence, bool(found["approved"]), reasons


async def test_a_pressing_without_videos_gets_those_of_another(database: Database) -> None:
    await matched(database, {1: body(1, videos=2), 2: body(2), 3: body(3, master_id=0), 4: body(4, master_id=78)})
    assert [each["match_url"] for each in await rows(database, 2)] == [FIRST, SECOND]
    assert await rows(database, 3) == await rows(database, 4) == []


async def test_an_approval_helps_the_same_recording_on_other_pressings_and_is_named(database: Database) -> None:
    odd = [{"uri": FIRST, "title": "tmsignal rip 3", "duration": 362}]
    bodies = {1: body(1, videos=2), 2: body(2, videos=2)}
    bodies[1]["videos"] = bodies[2]["videos"] = [*odd, *bodies[1]["videos"][1:]]  # type: ignore[index]
    await matched(database, bodies)
    async with database.transaction() as connection:
        await decisions.set_url(connection, 1, 0, None, ("youtube", FIRST), "anna")
    found = await row(database, 2)
    assert (found["status"], found["priority"]) == ("queued", 20)
    await matched(database, bodies)
    confidence, _, reasons = await match_of(database, 2, FIRST)
    assert confidence > 90
    assert reasons["approved for another pressing"] > 0
    (kept,) = [each for each in await rows(database, 2) if each["match_url"] == FIRST]
    assert (kept["verified_by"], kept["track_index"]) == (None, 0)


async def test_a_rejection_speaks_against_it_on_other_pressings(database: Database) -> None:
    bodies = {1: body(1, videos=2), 2: body(2, videos=2)}
    await matched(database, bodies)
    before, approved, _ = await match_of(database, 2, FIRST)
    assert approved
    await decide(database, 1, FIRST, "reject")
    await matched(database, bodies)
    found = [each for each in await rows(database, 2) if each["match_url"] == FIRST]
    assert not found or (not found[0]["approved"] and float(str(found[0]["confidence"])) < before / 2)
    _, approved, _ = await match_of(database, 2, SECOND)
    assert approved


async def test_what_a_person_undid_no_longer_counts(database: Database) -> None:
    bodies = {1: body(1, videos=2), 2: body(2, videos=2)}
    await matched(database, bodies)
    before = await match_of(database, 2, FIRST)
    for how in ("reject", "undo"):
        await decide(database, 1, FIRST, how)
        await matched(database, bodies)
    assert await match_of(database, 2, FIRST) == before


async def test_where_a_person_has_said_it_already_nothing_is_matched_again(database: Database) -> None:
    bodies = {1: body(1, videos=2), 2: body(2, videos=2), 3: body(3, videos=2)}
    await matched(database, bodies)
    await decide(database, 2, FIRST, "approve")
    await matched(database, bodies)
    await decide(database, 1, FIRST, "reject")
    assert (await row(database, 2))["status"] == "matched"
    assert (await row(database, 3))["status"] == "queued"


async def test_only_so_many_pressings_are_matched_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_store, "PRESSINGS_MAX", 2)
    bodies = {each: body(each, videos=2) for each in range(1, 7)}
    await matched(database, bodies)
    await decide(database, 1, FIRST, "approve")
    assert [(await row(database, each))["status"] for each in bodies].count("queued") == 2


async def test_what_a_search_found_for_another_pressing_and_nobody_approved_is_no_evidence(database: Database) -> None:
    await matched(database, {1: body(1, videos=2)})
    await execute(database, "UPDATE track_matches SET provider = 'deezer', approved = track_index = 0")
    await execute(database, "UPDATE track_matches SET provider = 'pressings' WHERE track_index = 1")
    await matched(database, {2: body(2)})
    assert [each["match_url"] for each in await rows(database, 2)] == [FIRST]


async def test_dead_links_are_not_passed_on(database: Database) -> None:
    await matched(database, {1: body(1, videos=2)})
    await execute(database, "UPDATE track_matches SET dead_since = now() WHERE track_index = 0")
    await matched(database, {2: body(2)})
    assert [each["match_url"] for each in await rows(database, 2)] == [SECOND]


async def test_two_pressings_do_not_keep_each_others_matches_alive(database: Database) -> None:
    bodies = {1: body(1, videos=2), 2: body(2)}
    await matched(database, bodies)
    bodies[1] = body(1)  # its videos are taken away
    for _ in range(3):
        await execute(database, "UPDATE match_queue SET status = 'queued'")
        await matched(database, bodies)
    assert await rows(database, 1) == await rows(database, 2) == []


# --- what is the same recording -----------------------------------------------------------------------------------

RELEASE = Release(1, "Signals", ("The Tidal Club",), (), (), None, ())


def confidence(track: Track, said: SaidElsewhere | None, *others: Track) -> float:
    video = Candidate("pressings", "youtube", FIRST, "rip 3", 362, attached=True, said=(said,) if said else ())
    return score(track, video, replace(RELEASE, tracks=(track, *others))).confidence


def track(title: str, duration_s: float | None = 362, sub_index: int | None = None, whole: str = "") -> Track:
    return Track(0, sub_index, "A", title, (), duration_s, whole)


@pytest.mark.parametrize(
    ("ours", "theirs", "profits"),
    [
        (track("Morning Signal"), SaidElsewhere(True, "MORNING SIGNAL", 360), True),
        (track("Morning Signal"), SaidElsewhere(True, "Morning Signal", None), True),
        (track("Morning Signal"), SaidElsewhere(True, "Morning Signal (Dub)", 362), False),
        (track("Morning Signal (Dub)"), SaidElsewhere(True, "Morning Signal", 362), False),
        (track("Morning Signal"), SaidElsewhere(True, "Morning Signal", 200), False),
        (track("Part II", None, 1, "The Signs"), SaidElsewhere(True, "The Signs Part II", None), True),
        (track("Part II", None, 1, "The Signs"), SaidElsewhere(True, "The Warnings Part II", None), False),
        (track(""), SaidElsewhere(True, "", None), False),
    ],
)
def test_only_the_same_recording_profits(ours: Track, theirs: SaidElsewhere, profits: bool) -> None:
    plain = confidence(ours, None)
    assert (confidence(ours, theirs) > plain) is profits
    assert (confidence(ours, theirs._replace(approved=False)) < plain) is profits


def test_of_namesakes_it_takes_the_length_to_tell_them_apart() -> None:
    said, other = SaidElsewhere(True, "Untitled", None), replace(track("Untitled"), track_index=1)
    assert confidence(track("Untitled"), said, other) == confidence(track("Untitled"), None, other)
    assert confidence(track("Untitled"), said._replace(duration_s=361), other) > 50


def test_a_video_is_one_candidate_with_all_that_was_said_of_it() -> None:
    said = SaidElsewhere(True, "Morning Signal", None), SaidElsewhere(False, "Harbour Lights", None)
    known = [Candidate("pressings", "youtube", FIRST, "old", attached=True, said=(each,)) for each in said]
    own = Candidate("discogs_videos", "youtube", "https://youtu.be/" + VIDEO_IDS[0], "new", 362, attached=True)
    searched = Candidate("youtube", "youtube", FIRST, "found")
    assert one_per_url([*known, own, searched]) == [replace(own, said=said)]
    nameless = [replace(own, url="", title=title) for title in ("a", "b")]
    assert one_per_url(nameless) == nameless


def test_people_who_disagree_leave_it_to_a_person() -> None:
    said = (SaidElsewhere(True, "Morning Signal", None), SaidElsewhere(False, "Morning Signal", None))
    video = Candidate("pressings", "youtube", FIRST, "The Tidal Club - Morning Signal", 362, attached=True, said=said)
    release = replace(RELEASE, tracks=(track("Morning Signal"),))
    (match,) = match_release(release, [video])
    assert {"approved for another pressing", "rejected for another pressing"} <= {
        each.name for each in match.score.reasons
    }


def test_what_youtube_told_stays_under_its_terms() -> None:
    found = PressingMatch(FIRST, "youtube", "t", 300, 1e9, False, False, "Morning Signal", "5:00")
    assert [(each.provider, each.told_at) for each in parse([found])] == [("youtube", 1e9)]
    assert [each.provider for each in parse([found._replace(told_at=None)])] == ["pressings"]


async def test_what_youtube_told_is_as_old_on_another_pressing(database: Database) -> None:
    bodies = {1: body(1, videos=1), 2: body(2)}
    await matched(database, {1: bodies[1]})
    await execute(database, "UPDATE track_matches SET provider = 'youtube', told_at = now() - interval '29 days'")
    await decide(database, 1, FIRST, "approve")
    await matched(database, {2: bodies[2]})
    (first,), (second,) = await rows(database, 1), await rows(database, 2)
    assert second["told_at"] == first["told_at"]


def test_a_url_that_a_person_set_is_named_as_its_track() -> None:
    found = PressingMatch("https://x.org/a", "x.org", None, None, None, False, True, "Morning Signal", "6:02")
    (candidate,) = parse([found])
    assert candidate.title == "Morning Signal"
    assert candidate.said == (SaidElsewhere(True, "Morning Signal", 362),)
