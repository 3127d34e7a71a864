"""YouTube: what its bodies say, what follows from them, and the provider against a simulated API."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher import queue_store
from matcher.database import Database
from matcher.domain.quota import LIMITS, PACIFIC, Daily
from matcher.domain.scoring import score
from matcher.domain.verdict import Thresholds
from matcher.errors import Broken, KeyRefused, Unavailable
from matcher.gathering import Told
from matcher.models import Release, Track
from matcher.pool import FetchedRelease, Matcher, Outcome
from matcher.providers.client import Reply
from matcher.providers.http_client import HttpClient
from matcher.providers.youtube import (
    COUNTRIES,
    COUNTRIES_LEAST,
    KEY_AGAIN_S,
    SEARCHES_MAX,
    USED_UP_AGAIN_S,
    Video,
    YouTube,
    answered,
    is_preview,
    make,
    parse_duration,
    parse_search,
    parse_videos,
)
from matcher.queue_store import Priority
from matcher.quota_store import Quota
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_discogs.shapes import release_body
from tests.simulated_providers import SimulatedYouTube, songs_of
from tests.simulated_providers.youtube import failing, iso, key_invalid, quota_exceeded, suspended

from .recorded import recorded
from .test_deezer import release_of

ID, OTHER = "dQw4w9WgXcQ", "jNQXAC9IVRw"
NOWHERE: frozenset[str] = frozenset()


def item(**changes: Any) -> dict[str, Any]:
    """One of `videos.list`, with all parts that are asked for."""
    return {
        "kind": "youtube#video",
        "id": ID,
        "snippet": {"title": "Band - Song", "channelTitle": "Band - Topic", "liveBroadcastContent": "none"},
        "contentDetails": {"duration": "PT4M13S", "dimension": "2d", "definition": "sd", "caption": "false"},
        "status": {"uploadStatus": "processed", "privacyStatus": "public", "embeddable": True},
    } | changes


def only(**changes: Any) -> Video:
    (video,) = parse_videos({"items": [item(**changes)]}).values()
    return video


def result(video_id: object = ID, live: object = "none") -> dict[str, Any]:
    """One of `search.list`."""
    return {
        "kind": "youtube#searchResult",
        "id": {"kind": "youtube#video", "videoId": video_id},
        "snippet": {"title": "Band &amp; Co", "liveBroadcastContent": live},
    }


def test_a_video_is_read_with_all_that_decides_whether_it_plays() -> None:
    assert parse_videos({"items": [item()]}) == {
        ID: Video(ID, "Band - Song", "Band - Topic", 253, True, True, None, frozenset())
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT4M13S", 253),
        ("PT45S", 45),
        ("PT1H", 3600),
        ("PT1H0M5S", 3605),
        ("P1DT2H", 93_600),
        ("P1W", 604_800),
        ("PT61M", 3660),
        ("PT3M7.5S", 187),
        ("P0D", None),
        ("PT0S", None),
        ("P", None),
        ("PT", None),
        ("", None),
        ("4:13", None),
        ("PT-4M", None),
        ("PT٤M", None),
        ("PT4M13S ", None),
        ("PT" + "9" * 5000 + "S", None),
        (253, None),
        (None, None),
    ],
)
def test_durations_are_those_of_iso_8601(text: object, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("restriction", "allowed", "blocked", "countries"),
    [
        (None, None, NOWHERE, COUNTRIES),
        ({}, None, NOWHERE, COUNTRIES),
        ({"blocked": ["DE", "AT"]}, None, frozenset({"DE", "AT"}), COUNTRIES - 2),
        ({"blocked": []}, None, NOWHERE, COUNTRIES),
        ({"allowed": ["US", "CA"]}, frozenset({"US", "CA"}), NOWHERE, 2),
        ({"allowed": []}, NOWHERE, NOWHERE, 0),
        ({"allowed": ["US", "CA"], "blocked": ["CA"]}, frozenset({"US", "CA"}), frozenset({"CA"}), 1),
        ({"allowed": ["US", 1, None, "usa", {}]}, frozenset({"US"}), NOWHERE, 1),
        ({"allowed": [1, None]}, None, NOWHERE, COUNTRIES),
        ({"allowed": "US", "blocked": {"DE": 1}}, None, NOWHERE, COUNTRIES),
        ([], None, NOWHERE, COUNTRIES),
    ],
)
def test_regions_are_those_where_alone_it_plays_or_where_it_does_not(
    restriction: object, allowed: frozenset[str] | None, blocked: frozenset[str], countries: int
) -> None:
    video = only(contentDetails={"duration": "PT1S", "regionRestriction": restriction})
    assert (video.allowed, video.blocked, video.countries) == (allowed, blocked, countries)


@pytest.mark.parametrize(
    ("status", "is_embeddable", "is_public"),
    [
        ({"uploadStatus": "processed", "privacyStatus": "public", "embeddable": True}, True, True),
        ({"uploadStatus": "uploaded", "privacyStatus": "unlisted", "embeddable": False}, False, True),
        ({"uploadStatus": "processed", "privacyStatus": "private", "embeddable": True}, True, False),
        ({"uploadStatus": "rejected", "rejectionReason": "copyright", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": "deleted", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": "failed", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": ["failed"], "privacyStatus": 1, "embeddable": "false"}, True, True),
        (None, True, True),
    ],
)
def test_only_what_is_said_is_held_against_a_video(status: object, *, is_embeddable: bool, is_public: bool) -> None:
    video = only(status=status)
    assert (video.is_embeddable, video.is_public) == (is_embeddable, is_public)


@pytest.mark.parametrize("live", ["live", "upcoming"])
def test_a_broadcast_is_told_and_never_found(live: str) -> None:
    video = only(snippet={"title": "24/7 lofi", "liveBroadcastContent": live}, contentDetails={"duration": "P0D"})
    assert video.is_live
    assert video.duration_s is None
    assert parse_search({"items": [result(live=live), result(OTHER)]}) == (OTHER,)


def test_escaped_titles_are_read() -> None:
    video = only(snippet={"title": " Simon &amp; Garfunkel - It&#39;s &quot;live&quot; ", "channelTitle": "A &lt; B"})
    assert (video.title, video.channel) == ('Simon & Garfunkel - It\'s "live"', "A < B")


def test_a_search_gives_each_video_once_and_no_channel() -> None:
    channel = {"id": {"kind": "youtube#channel", "channelId": "UC1"}, "snippet": {"title": "Band"}}
    items = [result(), channel, result(OTHER), result(), result("too short"), result(None), None, "x", {"id": ID}]
    assert parse_search({"items": items}) == (ID, OTHER)
    assert parse_search({"items": []}) == ()


@pytest.mark.parametrize("body", [None, [], "", {}, {"items": {}}, {"items": None}, {"error": {"code": 403}}])
def test_what_holds_no_list_is_no_answer_rather_than_an_empty_one(body: object) -> None:
    for parse in (parse_search, parse_videos):
        with pytest.raises(Broken, match="without a list"):
            parse(body)


def test_counts_and_lengths_are_bounded() -> None:
    items = [
        item(id=f"{number:011}", snippet={"title": "x" * 10**6, "channelTitle": "&amp;" * 10**5})
        for number in range(500)
    ]
    videos = parse_videos({"items": items})
    assert len(videos) == 50
    assert max(len(f"{video.title}{video.channel}") for video in videos.values()) <= 1000
    assert len(parse_search({"items": [result(f"{number:011}") for number in range(500)]})) == 50


FIELDS = (
    "id videoId snippet title channelTitle liveBroadcastContent contentDetails duration regionRestriction allowed"
    " blocked status embeddable privacyStatus uploadStatus"
).split()
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ID, "PT4M", "live", "DE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@given(st.lists(Json, max_size=4), Json)
def test_no_body_makes_a_parser_stumble(items: list[Any], odd: Any) -> None:
    for body in ({"items": items}, {"items": [item(snippet=odd, status=odd, contentDetails=odd)]}):
        assert all(len(each) == 11 for each in parse_search(body))
        assert all(key == video.video_id for key, video in parse_videos(body).items())


def test_recorded_answers_are_read() -> None:
    for body in recorded("youtube", "*search_by_*.json"):
        assert parse_search(body) == tuple(
            dict.fromkeys(
                each["id"]["videoId"] for each in body["items"] if each["snippet"]["liveBroadcastContent"] == "none"
            )
        )
    for body in recorded("youtube", "*videos_[cim]*.json"):
        found = parse_videos(body)
        assert list(found) == [each["id"] for each in body["items"]]
        assert all(video.title and video.channel and video.is_public for video in found.values())


def test_recorded_refusals_are_told_apart() -> None:
    (body,) = recorded("youtube", "*error_response.json")
    with pytest.raises(KeyRefused):
        answered(Reply(400, {}, body))
    for body in (*recorded("youtube", "*error_response_simple.json"), *recorded("youtube", "*error_permission*.json")):
        with pytest.raises(Broken) as told:
            answered(Reply(403, {}, body))
        assert not isinstance(told.value, KeyRefused)


# --- what follows ----------------------------------------------------------------------------------------------------


def refused(*reasons: str) -> dict[str, Any]:
    return {"error": {"code": 403, "message": "no", "errors": [{"domain": "x", "reason": each} for each in reasons]}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "again_s"),
    [
        (403, refused("quotaExceeded"), Unavailable, USED_UP_AGAIN_S),
        (403, refused("dailyLimitExceeded"), Unavailable, USED_UP_AGAIN_S),
        (403, refused("rateLimitExceeded"), Unavailable, 60),
        (403, refused("userRateLimitExceeded"), Unavailable, 60),
        (200, refused("quotaExceeded"), Unavailable, USED_UP_AGAIN_S),
        (400, refused("keyInvalid"), KeyRefused, KEY_AGAIN_S),
        (403, refused("accessNotConfigured"), KeyRefused, KEY_AGAIN_S),
        (403, refused("forbidden", "ipRefererBlocked"), KeyRefused, KEY_AGAIN_S),
        (400, orjson.loads(key_invalid().body), KeyRefused, KEY_AGAIN_S),
        (403, orjson.loads(suspended("hunter2").body), KeyRefused, KEY_AGAIN_S),
        (403, orjson.loads(quota_exceeded().body), Unavailable, USED_UP_AGAIN_S),
        (403, refused("somethingNew"), Broken, 60),
        (403, {"error": {"errors": {"reason": "quotaExceeded"}, "details": [None, 7]}}, Broken, 60),
        (403, {"error": "no"}, Broken, 60),
        (403, None, Broken, 60),
        (404, {}, Broken, 60),
        (200, None, Broken, 60),
        (200, [], Broken, 60),
    ],
)
def test_throttled_refused_and_broken_are_told_apart(
    status: int, body: object, kind: type[Unavailable], again_s: float
) -> None:
    with pytest.raises(Unavailable) as told:
        answered(Reply(status, {}, body))
    assert (type(told.value), told.value.retry_after_s) == (kind, again_s)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"is_embeddable": False}, False),
        ({"is_public": False}, False),
        ({"is_live": True}, False),
        ({"title": ""}, False),
        ({"duration_s": None}, True),
        ({"allowed": NOWHERE}, False),
        ({"allowed": frozenset({"US", "CA"})}, False),
        ({"allowed": frozenset(f"{each:02}" for each in range(COUNTRIES_LEAST))}, True),
        ({"blocked": frozenset({"DE"})}, True),
        ({"blocked": frozenset(f"{each:02}" for each in range(COUNTRIES_LEAST))}, False),
    ],
)
def test_a_preview_plays_for_most_shoppers_within_a_page(changes: dict[str, Any], *, expected: bool) -> None:
    video = Video(ID, "Band - Song", "Band", 200, True, True, None, frozenset())
    assert is_preview(replace(video, **changes)) is expected


@given(st.integers(1, 10**6))
def test_durations_are_read_as_they_are_written(seconds: int) -> None:
    assert parse_duration(iso(seconds)) == seconds


# --- against a simulated YouTube -------------------------------------------------------------------------------------

KEY = "AIzaSyhunter2"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=3, stores={"den": 40}, releases=60)


@pytest.fixture
async def server(catalogue: Catalogue) -> AsyncIterator[SimulatedYouTube]:
    async with SimulatedYouTube(catalogue, key=KEY, chance_of_song=1.0, chance_of_others=1.0) as found:
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.fixture
def client(server: SimulatedYouTube, session: aiohttp.ClientSession, database: Database) -> HttpClient:
    return HttpClient(
        session=session,
        provider="youtube",
        base_url=f"{server.url}/youtube/v3",
        user_agent="test",
        quota=Quota(database, "youtube", LIMITS["youtube"]),
        secrets={"key": KEY},
    )


async def test_wanted_tracks_are_found_with_what_they_last(catalogue: Catalogue, client: HttpClient) -> None:
    release = release_of(catalogue, 1)
    wanted = release.tracks[:SEARCHES_MAX]
    youtube = make(client)
    youtube.now = lambda: 1e9
    found = await youtube.candidates(release, {}, wanted)
    assert {(each.provider, each.platform, each.attached, each.told_at) for each in found} == {
        ("youtube", "youtube", False, 1e9)
    }
    for track in wanted:
        best = max(found, key=lambda each: score(track, each, release).confidence)
        assert score(track, best, release).confidence > 50
        assert best.duration_s
        assert best.url.removeprefix("https://www.youtube.com/watch?v=")[0] in "tu"
    assert not any("radio" in each.title for each in found)


async def test_a_release_costs_few_searches_and_one_look_at_all_that_was_found(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube
) -> None:
    tracks = tuple(Track(number, None, "", f"Song {number}", (), None) for number in range(200))
    server.at_least = 10
    await make(client).candidates(Release(1, "Box", ("Nobody",), (), (), None, tracks), {}, tracks)
    assert [each.path.rsplit("/", 1)[1] for each in server.calls] == ["search"] * SEARCHES_MAX + ["videos"]
    assert [each.value("q") for each in server.calls[:3]] == ["Nobody Song 0", "Nobody Song 1", "Nobody Song 2"]
    assert server.calls[0].value("videoEmbeddable") == "true"


async def test_more_ids_than_a_call_may_have_are_asked_for_in_turn(
    client: HttpClient, server: SimulatedYouTube
) -> None:
    ids = [f"x{number:010}" for number in range(120)]
    server.gone = {ids[3]}
    assert list(await make(client).videos(ids)) == [each for each in ids if each != ids[3]]
    assert len(server.calls) == 3


async def test_titles_without_words_are_not_searched(client: HttpClient, server: SimulatedYouTube) -> None:
    tracks = tuple(Track(number, None, "", title, (), None) for number, title in enumerate(("?", "", "🎧", "...")))
    assert await make(client).candidates(Release(1, "X", ("Y",), (), (), None, tracks), {}, tracks) == ()
    assert server.calls == []


async def test_no_title_excludes_words_or_offers_a_choice(client: HttpClient, server: SimulatedYouTube) -> None:
    track = Track(0, None, "", 'Left | Right -Wrong "Said" (12" - Mix) Non-Stop', (), None)
    await make(client).candidates(Release(1, "X", ("Y (2)",), (), (), None, (track,)), {}, [track])
    assert server.calls[0].value("q").split() == ["Y", "Left", "Right", "Wrong", "Said", "(12", "Mix)", "Non-Stop"]


async def test_what_cannot_be_embedded_or_is_private_or_blocked_is_left_out(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube
) -> None:
    release = release_of(catalogue, 1)
    source = catalogue.release(release.release_id)
    assert source
    number = songs_of(source)[0].id
    every = {f"{kind}{number:010}" for kind in "tulc"}
    assert await urls_of_first(client, release) & every
    for bad in ("gone", "closed", "sealed"):
        setattr(server, bad, every)
        assert not await urls_of_first(client, release) & every
        setattr(server, bad, set())
    nowhere: list[str] = []
    for allowed in (nowhere, ["US"]):
        server.regions = {each: {"allowed": allowed} for each in every}
        assert not await urls_of_first(client, release) & every
    server.regions = {each: {"blocked": ["DE"]} for each in every}
    assert await urls_of_first(client, release) & every


async def urls_of_first(client: HttpClient, release: Release) -> set[str]:
    """Ids of what is found for the first track."""
    found = await make(client).candidates(release, {}, release.tracks[:1])
    return {each.url[-11:] for each in found}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=403, body=quota_exceeded().body),
        Fault("status", status=403, body=failing(403, "usageLimits", "rateLimitExceeded", "").body),
        Fault("status", status=200, body=b"{}"),
        Fault("status", status=200, body=quota_exceeded().body),
        Fault("rate_limited"),
        Fault("status", status=500),
        Fault("html", status=200),
        Fault("huge", size=10_000_000),
        Fault("empty"),
        Fault("broken_json"),
        Fault("truncated"),
        Fault("reset_before_headers"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_failing_youtube_is_no_miss(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube, fault: Fault
) -> None:
    server.add_fault(fault)
    release = release_of(catalogue, 1)
    with pytest.raises(Unavailable):
        await make(client).candidates(release, {}, release.tracks)


async def test_a_search_is_not_paid_for_twice_when_what_follows_it_fails(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube
) -> None:
    release, youtube = release_of(catalogue, 1), make(client)
    server.units = 0
    with pytest.raises(Unavailable, match="used up"):
        await youtube.candidates(release, {}, release.tracks[:2])
    server.new_day()
    server.units = 10
    assert await youtube.candidates(release, {}, release.tracks[:2])
    assert server.searched == 0


async def test_what_was_found_before_the_quota_ended_is_worth_having(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube
) -> None:
    release = release_of(catalogue, 1)
    server.searches = 1
    assert await make(client).candidates(release, {}, release.tracks[:3])
    with pytest.raises(Unavailable, match="used up"):
        await make(client).candidates(release, {}, release.tracks[:3])


async def test_our_own_count_of_the_day_outlives_a_restart(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube, database: Database
) -> None:
    release = release_of(catalogue, 1)
    one_a_day = (Daily("searches", 1, PACIFIC, path="/search"),)
    first, restarted = (replace(client, quota=Quota(database, "youtube", one_a_day)) for _ in range(2))
    assert await make(first).candidates(release, {}, release.tracks[:1])
    with pytest.raises(Unavailable, match="quota of searches is used up"):
        await make(restarted).candidates(release, {}, release.tracks[:1])
    assert server.searched == 1


async def test_a_refused_key_is_told_once_and_leaks_nowhere(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    now = 0.0
    release, youtube = release_of(catalogue, 1), YouTube(client, clock=lambda: now)
    for reply, words in ((key_invalid(), "no valid key"), (suspended(KEY), "is suspended")):
        server.clear_faults()
        server.calls.clear()
        server.add_fault(Fault("status", status=reply.status, body=reply.body))
        for _ in range(3):
            with pytest.raises(KeyRefused, match=words) as told:
                await youtube.candidates(release, {}, release.tracks)
            assert KEY not in f"{told.value!r} {told.value} {told.value.__cause__!r}"
        assert len(server.calls) == 1
        now += KEY_AGAIN_S + 1
    assert KEY not in repr(client) + caplog.text
    server.clear_faults()
    assert await youtube.candidates(release, {}, release.tracks)


async def test_five_hundred_results_are_survived(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube
) -> None:
    server.at_least = 500
    release = release_of(catalogue, 1)
    assert len(await make(client).candidates(release, {}, release.tracks)) <= SEARCHES_MAX * 50


# --- with the queue --------------------------------------------------------------------------------------------------


def pool(database: Database, catalogue: Catalogue, client: HttpClient, outcomes: list[Outcome]) -> Matcher:
    """One process's; its releases have no videos of their own."""

    async def fetch(release_id: int) -> FetchedRelease:
        found = catalogue.release(release_id)
        assert found
        body = release_body(found, 0, None, "https://api.discogs.com") | {"videos": []}
        return FetchedRelease(orjson.dumps(body), datetime(2026, 1, 2, tzinfo=UTC))

    return Matcher(database, fetch, [make(client)], Thresholds(50, 85), 1, outcomes.append)


async def queued(database: Database, release_ids: Sequence[int], priority: Priority) -> None:
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, release_ids, priority=priority)


async def jobs(database: Database) -> list[tuple[str, int, bool]]:
    """Status, attempts, and whether it rests until tomorrow."""
    sql = """
        SELECT status, attempts, not_before > now()
               AND abs(extract(epoch FROM not_before - (date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles')
                   + interval '1 day') AT TIME ZONE 'America/Los_Angeles')) < 5
        FROM match_queue ORDER BY release_id
    """
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def test_when_the_day_is_used_up_jobs_wait_for_the_next_across_a_restart(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube, database: Database
) -> None:
    ids = sorted(heading.id for heading in catalogue.headings())[:3]
    outcomes: list[Outcome] = []
    limits = (Daily("searches", SEARCHES_MAX, PACIFIC, path="/search"),)
    first, restarted = (replace(client, quota=Quota(database, "youtube", limits)) for _ in range(2))
    await queued(database, ids[:1], Priority.SEEN)
    await pool(database, catalogue, first, outcomes).drain(1, 20)
    assert outcomes[-1].providers == (("youtube", Told.FOUND),)
    async with database.connection() as connection:
        kept = await connection.fetch("SELECT DISTINCT provider, platform FROM track_matches")
        await connection.execute("UPDATE provider_quotas SET used = $1", SEARCHES_MAX)
    assert [tuple(row) for row in kept] == [("youtube", "youtube")]
    searched = server.searched
    for which, process in ((1, first), (2, restarted)):
        await queued(database, ids[which : which + 1], Priority.SEEN)
        await pool(database, catalogue, process, outcomes).drain(1, 20)
        assert (outcomes[-1].result, outcomes[-1].providers) == ("parked", (("youtube", Told.THROTTLED),))
    assert (await jobs(database))[1:] == [("queued", 0, True)] * 2
    assert server.searched == searched


async def test_what_nobody_looks_at_costs_no_search(
    catalogue: Catalogue, client: HttpClient, server: SimulatedYouTube, database: Database
) -> None:
    outcomes: list[Outcome] = []
    release_id = min(heading.id for heading in catalogue.headings())
    await queued(database, [release_id], Priority.NEW)
    await pool(database, catalogue, client, outcomes).drain(1, 20)
    assert (outcomes[0].result, outcomes[0].providers) == ("unmatched", (("youtube", Told.SKIPPED),))
    assert server.calls == []
