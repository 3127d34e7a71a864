from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from matcher import decisions, links_store, review_view, store
from matcher.database import Database
from matcher.domain.links import LinkState, Seen
from matcher.domain.quota import Pace
from matcher.domain.verdict import Thresholds
from matcher.errors import Unavailable
from matcher.link_checks import Checked, LinkChecks
from matcher.models import MatchStatus
from matcher.pool import Matcher
from matcher.providers.deezer_links import DeezerLinks
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.providers.youtube_links import YouTubeOembed, video_id
from matcher.queue_store import Priority
from proxy.adapters.database import SCHEMA_FILE
from tests.matcher.providers.asking import client_of
from tests.matcher.test_decisions import A_AGAIN, A, B, C, decide, id_of, live_urls, rows, set_url
from tests.matcher.test_pool import Discogs
from tests.matcher.test_store import audio_of, execute, judged, persist, row, somebody_waits
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_providers import SimulatedDeezer, SimulatedOembed
from tests.simulated_providers.deezer import failing

CONFIRMED = timedelta(hours=7)
DEEZER = "https://www.deezer.com/track/7000"
SONG = "https://soundcloud.com/tidal-club/signal"
AT_ONCE = Pace("looks", 1_000, period_s=1.0, burst=1_000)


@dataclass(slots=True)
class Clock:
    """It goes on when told to."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(seconds=5))

    def __call__(self) -> datetime:
        return self.at

    def wait(self, time: timedelta) -> None:
        self.at += time


@dataclass(slots=True)
class Videos:
    """What tells titles and durations of many videos with one call, as YouTube's API does; real HTTP is elsewhere."""

    told: dict[str, Seen]
    name: str = "videos"
    platform: str = "youtube"
    at_once: int = 50
    pace: Pace = AT_ONCE
    known_alive: str = "jNQXAC9IVRw"

    def id_of(self, url: str) -> str | None:
        return video_id(url)

    async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        return self.told


@dataclass(slots=True)
class Looking:
    """Looks at links through a simulated oEmbed, by a clock of its own."""

    checks: LinkChecks
    oembed: SimulatedOembed
    checker: YouTubeOembed
    clock: Clock

    async def once(self) -> Checked | None:
        return await self.checks.check(self.checker)

    async def dies(self, *ids: str) -> None:
        """These are seen dead, and again some hours later."""
        self.oembed.gone.update(ids)
        for _ in range(2):
            assert await self.once()
            self.clock.wait(CONFIRMED)


@pytest.fixture
async def looking(database: Database) -> AsyncIterator[Looking]:
    catalogue = Catalogue.generate(seed=3, stores={"den": 10}, releases=10)
    clock = Clock()
    async with SimulatedOembed(catalogue) as oembed, client_of(oembed.url) as client:
        checker = YouTubeOembed(client)
        checker.pace = AT_ONCE  # the tests wait for nobody
        yield Looking(LinkChecks(database, [checker], now=clock, chance=lambda: 0.5), oembed, checker, clock)


async def link(database: Database, url: str = A) -> dict[str, object]:
    async with database.connection() as connection:
        found = await connection.fetchrow("SELECT * FROM match_links WHERE url = $1", url)
    assert found
    return dict(found)


async def state_of(database: Database, url: str = A) -> tuple[str, bool]:
    found = await link(database, url)
    return str(found["state"]), found["hidden_since"] is not None


async def listed(database: Database, status: MatchStatus) -> list[tuple[str | None, str]]:
    async with database.connection() as connection:
        found, _ = await review_view.matches(connection, status, 50, None)
    return [(each.match_url, each.link_state) for each in found]


async def decided(database: Database) -> None:
    """No job waits."""
    await execute(database, "UPDATE match_queue SET status = 'matched', decided_at = now()")


# --- which links there are ----------------------------------------------------------------------------------------


async def test_a_link_is_known_once_and_due_at_once_however_many_tracks_have_it(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    await persist(database, 2, judged("a", 0, url=A))
    checked = await looking.once()
    assert checked
    assert checked.outcomes == {"alive": 2}
    assert await looking.once() is None
    assert await state_of(database) == ("alive", False)


async def test_it_is_looked_at_again_and_again(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    for _ in range(3):
        assert await looking.once()
        looking.clock.wait(timedelta(days=6))
        assert await looking.once() is None
        looking.clock.wait(timedelta(days=8))


async def test_nobody_looks_at_what_was_rejected_or_what_no_match_leads_to(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    await decide(database, decisions.reject, await id_of(database, A))
    await execute(database, "DELETE FROM track_matches WHERE match_url = $1", B)
    await looking.once()
    assert looking.oembed.calls == []
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT array_agg(url) FROM match_links") == [A]


async def test_what_no_platform_tells_of_is_never_due(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await set_url(database, ("soundcloud", SONG), track=1)
    looking.clock.wait(timedelta(days=3650))
    await looking.once()
    assert await state_of(database, SONG) == ("unknown", False)
    assert len(looking.oembed.calls) == 1


async def test_matches_from_before_are_looked_at_within_two_weeks(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=SONG))
    await execute(database, "DELETE FROM match_links")
    await execute(database, SCHEMA_FILE.read_text())
    next_at = (await link(database))["next_at"]
    assert isinstance(next_at, datetime)
    assert datetime.now(UTC) - timedelta(minutes=1) < next_at < datetime.now(UTC) + timedelta(days=14)


# --- dying --------------------------------------------------------------------------------------------------------


async def test_a_dead_link_is_hidden_once_it_was_seen_dead_twice_and_its_releases_are_matched_again(
    database: Database, looking: Looking
) -> None:
    for release_id in (1, 2):
        await persist(database, release_id, judged("a", 0, url=A), judged("b", 1, url=B))
    looking.oembed.gone.add("a" * 11)
    await looking.once()
    assert await live_urls(database) == [A, B]
    looking.clock.wait(CONFIRMED)
    checked = await looking.once()
    assert checked
    assert (checked.hidden, checked.outcomes) == (2, {"dead": 1})
    for release_id in (1, 2):
        assert [match["match_url"] for match in (await audio_of(database, release_id)).matches] == [B]
        job = await row(database, release_id)
        assert (job["status"], job["priority"]) == ("queued", int(Priority.HISTORY))


async def test_a_release_whose_only_match_died_has_no_audio(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    audio = await audio_of(database, 1)
    assert (audio.matches, audio.persisted) == ((), True)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT has_audio_matches FROM releases") is False


async def test_what_cannot_be_embedded_is_hidden_as_well_but_told_apart(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A, approved=True), judged("b", 1, url=B, approved=True))
    looking.oembed.closed.add("b" * 11)
    await looking.dies("a" * 11)
    assert await live_urls(database) == []
    states = dict(await listed(database, MatchStatus.APPROVED))
    assert states == {A: LinkState.DEAD, B: LinkState.REFUSED}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429),
        Fault("status", status=503),
        Fault("status", status=500),
        Fault("html", status=200),
        Fault("huge", size=10_000_000),
        Fault("empty"),
        Fault("broken_json"),
        Fault("reset_before_headers"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_no_fault_is_a_death_however_long_it_lasts(database: Database, looking: Looking, fault: Fault) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.once()
    looking.oembed.add_fault(fault)
    for _ in range(5):
        looking.clock.wait(timedelta(days=15))
        checked = await looking.once()
        assert checked
        assert checked.rest_s >= 5
        assert set(checked.outcomes) <= {"throttled", "broken"}
    assert await state_of(database) == ("alive", False)
    assert await live_urls(database) == [A]


async def test_a_throttled_platform_is_left_alone_and_the_rest_stays_due(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    looking.oembed.limit, looking.oembed.window_s = 1, 1e9
    checked = await looking.once()
    assert checked
    assert checked.outcomes == {"alive": 1, "throttled": 1}
    looking.oembed.limit = None
    assert (await looking.once() or checked).outcomes == {"alive": 1}


async def test_a_link_that_breaks_its_checker_does_not_keep_the_others_waiting(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    looking.oembed.add_fault(Fault("status", status=500, times=1))
    await looking.once()
    await looking.once()
    assert (await state_of(database, A), await state_of(database, B)) == (("unknown", False), ("alive", False))


async def test_deezer_throttles_with_200_and_that_kills_nothing(database: Database) -> None:
    catalogue = Catalogue.generate(seed=3, stores={"den": 10}, releases=10)
    clock = Clock()
    await persist(database, 1, judged("a", 0, url=DEEZER))
    async with SimulatedDeezer(catalogue, chance_of_song=0.0) as deezer, client_of(deezer.url) as client:
        checker = DeezerLinks(client)
        checks = LinkChecks(database, [checker], now=clock)
        deezer.add_fault(Fault("status", status=200, body=failing("Exception", "Quota limit exceeded", 4).body))
        for _ in range(3):
            checked = await checks.check(checker)
            assert checked
            assert checked.outcomes == {"throttled": 1}
            clock.wait(CONFIRMED)
        assert await live_urls(database) == [DEEZER]
        deezer.clear_faults()
        for _ in range(2):
            await checks.check(checker)
            clock.wait(CONFIRMED)
    assert await state_of(database, DEEZER) == ("dead", True)
    assert await live_urls(database) == []


@pytest.mark.parametrize("letters", ["abcdefgh", "a"])
async def test_who_calls_most_dead_at_once_is_not_believed_where_even_the_first_video_is(
    database: Database, looking: Looking, letters: str
) -> None:
    urls = [f"https://www.youtube.com/watch?v={letter * 11}" for letter in letters]
    await persist(database, 1, *(judged("a", index, url=url) for index, url in enumerate(urls)))
    looking.oembed.closed.update(letter * 11 for letter in letters)
    looking.oembed.closed.add(looking.checker.known_alive)
    for _ in range(3):
        checked = await looking.once()
        assert checked
        assert checked.outcomes == {"unbelievable": len(letters)}
        assert checked.rest_s == 3600
        looking.clock.wait(timedelta(days=1))
    assert await live_urls(database) == urls
    looking.oembed.closed.discard(looking.checker.known_alive)
    await looking.dies()
    assert await live_urls(database) == []


# --- what was dead ------------------------------------------------------------------------------------------------


async def test_a_dead_link_is_not_suggested_again_for_whichever_track_or_release(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=A_AGAIN))
    await persist(database, 2, judged("a", 0, url=A_AGAIN))
    for release_id in (1, 2):
        assert (await audio_of(database, release_id)).matches == ()


@pytest.mark.parametrize(("known", "written"), [(A, A), (A_AGAIN, A)])
async def test_whoever_writes_a_match_its_dead_link_is_never_shown(
    database: Database, looking: Looking, known: str, written: str
) -> None:
    await persist(database, 1, judged("a", 0, url=known))
    await looking.dies("a" * 11)
    await persist(database, 2, judged("b", 1, url=B))
    await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (2, 0, $1)", written)
    assert [match["match_url"] for match in (await audio_of(database, 2)).matches] == [B]
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    await looking.once()
    assert [match["match_url"] for match in (await audio_of(database, 2)).matches] == [written, B]


async def test_the_next_best_takes_its_place(database: Database, looking: Looking) -> None:
    """A job leaves dead candidates out before it matches: they are in nobody's way."""
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    worker = Matcher(database, Discogs().fetch, [DiscogsVideos()], Thresholds(50, 85), 1)
    await worker.drain(1, 10)
    assert await live_urls(database) == [B]
    assert (await row(database, 1))["status"] == "matched"


async def test_a_job_that_is_under_way_meanwhile_is_done_again(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    looking.oembed.gone.add("a" * 11)
    await looking.once()
    looking.clock.wait(CONFIRMED)
    discogs = Discogs(gate=asyncio.Event())
    worker = Matcher(database, discogs.fetch, [DiscogsVideos()], Thresholds(50, 85), 1)
    await execute(database, "UPDATE match_queue SET status = 'queued'")
    job = asyncio.create_task(worker.drain(1, 20))
    while not discogs.asked:
        await asyncio.sleep(0.01)
    await looking.once()
    assert (await row(database, 1))["status"] == "queued"
    assert discogs.gate
    discogs.gate.set()
    await job
    assert await live_urls(database) == []
    await worker.drain(1, 20)
    assert await live_urls(database) == [B]


async def test_a_release_that_has_no_audio_ever_is_not_matched_again_when_a_link_dies(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1)
    async with database.transaction() as connection:
        await decisions.no_audio(connection, 1, "anna")
    await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, $1)", A)
    await looking.dies("a" * 11)
    assert (await row(database, 1))["status"] == "unmatched"


async def test_of_two_that_come_alive_at_once_one_is_shown(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    await persist(database, 1, judged("a", 0, url=B))
    await looking.dies("b" * 11)
    assert await live_urls(database) == []
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=29))
    await looking.once()
    assert len(await live_urls(database)) == 1


@pytest.mark.parametrize("undone", [A, B])
async def test_undo_shows_one_match_of_a_track_whatever_came_alive_since(
    database: Database, looking: Looking, undone: str
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    await persist(database, 1, judged("a", 0, url=B))
    if undone == A:
        await set_url(database, ("youtube", A))
    else:
        await decide(database, decisions.approve, await id_of(database, B))
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=29))
    await looking.once()
    await decide(database, decisions.undo, await id_of(database, undone))
    await looking.once()
    assert await live_urls(database) == [undone]


async def test_it_is_shown_again_when_it_comes_alive(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    before = await rows(database)
    await looking.dies("a" * 11)
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    checked = await looking.once()
    assert checked
    assert (checked.shown, await rows(database)) == (1, before)
    assert (await audio_of(database, 1)).status.value in ("matched", "queued")


async def test_what_was_found_meanwhile_stays_and_the_release_is_looked_at_anew(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    await persist(database, 1, judged("a", 0, url=B))
    await decided(database)
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    await looking.once()
    assert await live_urls(database) == [B]
    assert (await row(database, 1))["status"] == "queued"


# --- people -------------------------------------------------------------------------------------------------------


async def test_a_persons_approval_outlives_the_links_death(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    match_id = await id_of(database, A)
    await decide(database, decisions.approve, match_id)
    await looking.dies("a" * 11)
    assert await live_urls(database) == []
    assert await listed(database, MatchStatus.APPROVED) == [(A, "dead")]
    await persist(database, 1, judged("a", 0, url=B, approved=True))
    assert await live_urls(database) == [B]
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    await looking.once()
    (match,) = (await audio_of(database, 1)).matches
    assert (match["match_url"], match["approved"], match["verified_by"]) == (A, True, "anna")
    assert await id_of(database, A) == match_id


async def test_a_later_decision_holds_also_when_the_earlier_ones_link_comes_alive(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.approve, await id_of(database, A))
    await looking.dies("a" * 11)
    await persist(database, 1, judged("a", 0, url=B))
    second = await id_of(database, B)
    await decide(database, decisions.approve, second, by="boris")
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    await looking.once()
    assert await live_urls(database) == [B]
    await decide(database, decisions.undo, second)
    assert await live_urls(database) == [A]


async def test_undo_shows_nothing_whose_link_died_meanwhile(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await persist(database, 2, judged("a", 0, url=A))
    own = await set_url(database)
    await looking.dies("a" * 11)
    await decide(database, decisions.undo, own.match_id)
    assert await live_urls(database) == []
    looking.oembed.gone.clear()
    looking.clock.wait(timedelta(days=2))
    await looking.once()
    assert await live_urls(database) == [A]


async def test_who_sets_a_url_that_was_dead_is_believed_until_it_is_looked_at(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await looking.dies("a" * 11)
    await set_url(database, ("youtube", A))
    assert await live_urls(database) == [A]
    for _ in range(2):
        await looking.once()
        looking.clock.wait(CONFIRMED)
    assert await live_urls(database) == []
    assert await listed(database, MatchStatus.APPROVED) == [(A, "dead")]


# --- what YouTube's API told --------------------------------------------------------------------------------------


async def by_youtube(database: Database, *, title: str = "The Tidal Club - a", release_id: int = 1) -> None:
    """As a search of YouTube's finds it."""
    await persist(database, release_id, judged("a", 0, url=A))
    await execute(database, "DELETE FROM match_links")
    await found_by_youtube(database, release_id, title)
    await decided(database)


async def found_by_youtube(database: Database, release_id: int, title: str) -> None:
    await execute(
        database,
        """
        INSERT INTO track_matches (release_id, track_index, platform, match_url, confidence, approved, provider,
                                   candidate_title, candidate_duration_s, reasons)
        VALUES ($1, 1, 'youtube', $2, 90, false, 'youtube', $3, 361,
                jsonb_build_array(jsonb_build_object('name', 'title', 'weight', 2.5, 'detail', $3::text)))
        """,
        release_id,
        B,
        title,
    )


async def told(database: Database, release_id: int = 1) -> list[object]:
    (found,) = [each for each in await rows(database, release_id) if each["provider"] == "youtube"]
    return [found["candidate_title"], found["candidate_duration_s"], found["reasons"]]


async def test_what_youtube_told_is_hidden_and_blanked_within_thirty_days(database: Database, looking: Looking) -> None:
    await by_youtube(database)
    match_id = await id_of(database, B)
    await decide(database, decisions.approve, match_id)
    looking.clock.wait(timedelta(days=29))
    assert await looking.checks.expire() == 0
    looking.clock.wait(timedelta(days=1))
    assert await looking.checks.expire() == 1
    assert await told(database) == [None, None, '[{"name": "title", "detail": "", "weight": 2.5}]']
    assert await live_urls(database) == [A]
    assert await listed(database, MatchStatus.APPROVED) == [(B, "expired")]
    assert await id_of(database, B) == match_id
    assert await looking.checks.expire() == 0
    assert (await row(database, 1))["status"] == "queued"


async def test_what_was_told_long_ago_goes_also_where_another_job_finds_the_same_video_meanwhile(
    database: Database, looking: Looking
) -> None:
    await by_youtube(database)
    await persist(database, 2)
    looking.clock.wait(timedelta(days=30))
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM match_queue WHERE release_id = 1 FOR UPDATE")
        expiring = asyncio.create_task(looking.checks.expire())
        while not await somebody_waits(database):
            await asyncio.sleep(0.01)
        await found_by_youtube(database, 2, "Told just now")
    await expiring
    assert (await told(database, 1))[:2] == [None, None]
    assert await live_urls(database) == [A]
    assert (await told(database, 2))[:2] == ["Told just now", 361]
    assert [match["match_url"] for match in (await audio_of(database, 2)).matches] == [B]


async def test_two_who_blank_at_once_blank_each_match_once(database: Database, looking: Looking) -> None:
    for release_id in range(1, 9):
        await by_youtube(database, release_id=release_id)
    looking.clock.wait(timedelta(days=30))
    await asyncio.gather(*(looking.checks.expire() for _ in range(4)))
    for release_id in range(1, 9):
        assert (await told(database, release_id))[:2] == [None, None]
        assert (await row(database, release_id))["status"] == "queued"
    assert await looking.checks.expire() == 0


async def test_who_dies_while_it_is_told_anew_leaves_nothing_that_does_not_expire(
    database: Database, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await by_youtube(database)
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="Something else", duration_s=90)})
    looking.clock.wait(timedelta(days=30))
    monkeypatch.setattr(links_store, "that_disagree", killed)
    with pytest.raises(_KilledError):
        await looking.checks.check(videos)
    await looking.checks.expire()
    assert (await told(database))[:2] == [None, None]


async def test_what_the_version_before_noted_of_links_becomes_the_matches_own(
    database: Database, looking: Looking
) -> None:
    await by_youtube(database)
    await persist(database, 2, judged("b", 1, url=C))
    await execute(
        database, "UPDATE track_matches SET provider = 'youtube', candidate_title = NULL WHERE release_id = 2"
    )
    await execute(database, "UPDATE track_matches SET told_at = NULL")
    await execute(database, "UPDATE match_links SET told_at = now() - interval '20 days' WHERE url = $1", B)
    await execute(database, "UPDATE match_links SET expired_at = now() WHERE url = $1", C)
    for _ in range(2):
        await execute(database, SCHEMA_FILE.read_text())
    looking.clock.wait(timedelta(days=9))
    assert await looking.checks.expire() == 0
    looking.clock.wait(timedelta(days=1))
    assert await looking.checks.expire() == 1
    assert (await rows(database, 2))[0]["expired_at"]


async def test_what_the_community_attached_does_not_expire(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    looking.clock.wait(timedelta(days=365))
    assert await looking.checks.expire() == 0
    assert await live_urls(database) == [A]


async def test_told_anew_it_is_good_for_another_thirty_days(database: Database, looking: Looking) -> None:
    await by_youtube(database)
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="The Tidal Club - a", duration_s=361)})
    before = await rows(database)
    for _ in range(6):
        asked_at = looking.clock()
        assert await looking.checks.check(videos)
        looking.clock.wait(timedelta(days=15))
        assert await looking.checks.expire() == 0
        assert await rows(database) == [before[0], before[1] | {"told_at": asked_at}]
    assert (await row(database, 1))["status"] == "matched"


async def test_told_otherwise_it_is_judged_again(database: Database, looking: Looking) -> None:
    await by_youtube(database)
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="Something else", duration_s=90)})
    await looking.checks.check(videos)
    title, duration, reasons = await told(database)
    assert (title, duration) == ("Something else", 90)
    assert "Tidal" not in str(reasons)
    assert (await row(database, 1))["status"] == "queued"


async def test_what_expired_is_shown_again_once_it_is_told_anew(database: Database, looking: Looking) -> None:
    await by_youtube(database)
    looking.clock.wait(timedelta(days=30))
    await looking.checks.expire()
    await looking.once()  # that it lives is not enough
    assert B not in await live_urls(database)
    looking.clock.wait(timedelta(days=15))
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="The Tidal Club - a", duration_s=361)})
    await looking.checks.check(videos)
    assert B in await live_urls(database)
    assert (await told(database))[:2] == ["The Tidal Club - a", 361]


async def test_answers_of_parked_jobs_are_not_kept_longer(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await execute(database, "UPDATE match_queue SET answers = 'x', parked_since = now()")
    looking.clock.wait(timedelta(days=29))
    await looking.checks.expire()
    assert (await row(database, 1))["answers"]
    looking.clock.wait(timedelta(days=1))
    await looking.checks.expire()
    assert (await row(database, 1))["answers"] is None


# --- a clock that was wrong -----------------------------------------------------------------------------------------

AHEAD = timedelta(days=365)


async def test_what_was_looked_at_by_a_clock_that_was_ahead_is_looked_at_once_that_is_right(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    looking.clock.wait(AHEAD)
    assert await looking.once()
    looking.clock.wait(-AHEAD)
    checked = await looking.once()
    assert checked
    assert checked.outcomes == {"alive": 1}
    assert await looking.once() is None


async def test_a_lease_by_a_clock_that_was_ahead_ends_once_that_is_right(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    async with database.transaction() as connection:
        assert await links_store.claim(connection, "youtube", 50, looking.clock() + AHEAD)
    assert await looking.once()


async def test_what_youtube_told_by_a_clock_that_was_ahead_is_blanked_once_that_is_right(
    database: Database, looking: Looking
) -> None:
    await by_youtube(database)
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="The Tidal Club - a", duration_s=361)})
    looking.clock.wait(AHEAD)
    await looking.checks.check(videos)
    looking.clock.wait(-AHEAD)
    assert await looking.checks.expire() == 1
    assert (await told(database))[:2] == [None, None]


async def test_what_another_machine_whose_clock_differs_a_little_has_told_stays(
    database: Database, looking: Looking
) -> None:
    await by_youtube(database)
    videos = Videos({"b" * 11: Seen(LinkState.ALIVE, title="The Tidal Club - a", duration_s=361)})
    looking.clock.wait(timedelta(minutes=5))
    await looking.checks.check(videos)
    looking.clock.wait(-timedelta(minutes=5))
    assert await looking.checks.expire() == 0
    assert await looking.once() is None


# --- several processes, killed at any point -------------------------------------------------------------------------


async def test_two_who_look_at_once_look_at_each_link_once(database: Database, looking: Looking) -> None:
    for release_id in range(1, 41):
        url = f"https://www.youtube.com/watch?v={release_id:011}"
        await persist(database, release_id, judged("a", 0, url=url))
    await asyncio.gather(*(looking.once() for _ in range(4)))
    assert len(looking.oembed.calls) == 40


async def test_a_link_that_nobody_used_is_not_forgotten_while_somebody_takes_it(
    database: Database, looking: Looking
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await execute(database, "DELETE FROM track_matches")
    async with database.transaction() as connection:
        await decisions.set_url(connection, 1, 0, None, ("youtube", A), "anna")
        look = asyncio.create_task(looking.once())
        while not look.done() and not await somebody_waits(database):
            await asyncio.sleep(0.01)
    await look
    assert await looking.once()
    assert await state_of(database) == ("alive", False)


async def test_a_batch_ends_before_its_lease_however_long_the_looks_take(database: Database) -> None:
    clock = Clock()
    asked: list[str] = []

    @dataclass(slots=True)
    class Slow(Videos):
        at_once: int = 1

        async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
            asked.extend(ids)
            clock.wait(timedelta(minutes=1))
            return dict.fromkeys(ids, Seen(LinkState.ALIVE))

    urls = [f"https://www.youtube.com/watch?v={number:011}" for number in range(20)]
    await persist(database, 1, *(judged("a", place, url=url) for place, url in enumerate(urls)))
    checks = LinkChecks(database, [], now=clock)
    while len(asked) < len(urls):
        began = clock()
        assert await checks.check(Slow({}))
        assert clock() - began < links_store.LEASE
    assert len(set(asked)) == len(urls)
    assert await checks.check(Slow({})) is None


STEPS = ("note", "that_disagree", "follow", "settle", "put_back")


class _KilledError(Exception):
    pass


async def killed(*_: object) -> None:
    raise _KilledError


@pytest.mark.parametrize("step", STEPS)
async def test_who_dies_in_the_middle_loses_nothing(
    database: Database, looking: Looking, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    looking.oembed.gone.add("a" * 11)
    await looking.once()
    looking.clock.wait(CONFIRMED)
    with monkeypatch.context() as patch:
        patch.setattr(links_store, step, killed)
        with pytest.raises(_KilledError):
            await looking.once()
    if step != "put_back":  # by then all was done
        assert await looking.once() is None  # it is leased
        looking.clock.wait(links_store.LEASE + timedelta(seconds=1))
        assert await looking.once()
    assert await live_urls(database) == []
    assert (await row(database, 1))["status"] == "queued"
    assert await state_of(database) == ("dead", True)


async def test_jobs_and_looks_at_once_never_show_a_dead_link(database: Database, looking: Looking) -> None:
    """Releases that share dead links are stored while these are found dead."""
    urls = [A, B, C]
    for release_id in range(1, 9):
        await persist(database, release_id, *(judged("a", place, url=url) for place, url in enumerate(urls)))
    looking.oembed.gone.update(letter * 11 for letter in "abc")
    await looking.once()
    looking.clock.wait(CONFIRMED)

    async def store_again(release_id: int) -> None:
        for turn in range(4):
            order = urls[turn % 3 :] + urls[: turn % 3]
            async with database.transaction() as connection:
                await connection.execute("SELECT FROM match_queue WHERE release_id = $1 FOR UPDATE", release_id)
                await store._insert_matches(
                    connection, release_id, [judged("a", place, url=url) for place, url in enumerate(order)], {}
                )

    await asyncio.gather(looking.once(), *(store_again(release_id) for release_id in range(1, 9)))
    for release_id in range(1, 9):
        assert (await audio_of(database, release_id)).matches == ()


# --- the loop -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(checks: LinkChecks) -> AsyncIterator[None]:
    task = asyncio.create_task(checks.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_loop_looks_at_what_is_due_and_at_what_comes_later(database: Database, looking: Looking) -> None:
    checked: list[Checked] = []
    looking.checks.idle_s = 0.02
    looking.checks.on_checked = checked.append
    await persist(database, 1, judged("a", 0, url=A))
    async with running(looking.checks), asyncio.timeout(20):
        await until_asked(looking, {"a"})
        await persist(database, 1, judged("a", 0, url=B))
        await until_asked(looking, {"a", "b"})
    assert checked[0].outcomes == {"alive": 1}


async def until_asked(looking: Looking, letters: Collection[str]) -> None:
    while {call.value("url")[-1] for call in looking.oembed.calls} != set(letters):
        await asyncio.sleep(0.01)


async def test_the_numbers_tell_what_is_hidden_and_overdue(database: Database, looking: Looking) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    await looking.dies("a" * 11)
    async with database.connection() as connection:
        found = await links_store.counts(connection, looking.clock())
        later = await links_store.counts(connection, looking.clock() + timedelta(days=20))
    assert found["youtube"] == (1, 0)
    assert later["youtube"] == (1, 2)


async def test_a_silent_platform_is_never_asked_in_a_tight_loop(database: Database) -> None:
    @dataclass(slots=True)
    class Silent(Videos):
        async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
            raise Unavailable("throttled", 0)

    await persist(database, 1, judged("a", 0, url=A))
    checked = await LinkChecks(database, [], now=Clock()).check(Silent({}))
    assert checked
    assert checked.rest_s == 5
