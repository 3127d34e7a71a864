"""The whole pool between a hostile provider, or an odd release, and a real database: nothing is lost, nothing stuck."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from matcher.database import Database
from matcher.domain.quota import Pace
from matcher.domain.verdict import Thresholds
from matcher.gathering import Provider, Told
from matcher.pool import FetchedRelease, Matcher, Outcome
from matcher.providers import deezer, musicbrainz
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.providers.http_client import HttpClient
from matcher.queue_store import Priority, enqueue
from matcher.quota_store import Quota
from tests.matcher.bodies import release_body
from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_discogs.shapes import release_body as body_of
from tests.simulated_providers import SimulatedDeezer, SimulatedMusicBrainz
from tests.simulated_providers.deezer import failing
from tests.simulated_providers.server import SimulatedProvider

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RELEASES = 3
LIMITS = (Pace("calls", 1000, period_s=1.0),)


@dataclass
class Stage:
    """A queue of releases and the providers that are asked for them, over HTTP."""

    database: Database
    bodies: dict[int, bytes]
    musicbrainz: SimulatedMusicBrainz
    deezer: SimulatedDeezer
    outcomes: list[Outcome] = field(default_factory=list)

    async def enqueue(self) -> None:
        async with self.database.transaction() as connection:
            await enqueue(connection, list(self.bodies), priority=Priority.SEEN)

    @asynccontextmanager
    async def process(self, timeout_s: float = 20.0) -> AsyncIterator[Process]:
        """One of ours that has heard its providers once, with a pool of its own."""
        async with aiohttp.ClientSession() as session:

            def client(name: str, url: str) -> HttpClient:
                return HttpClient(session, name, url, "t/1 +u", Quota(self.database, name, LIMITS), {}, timeout_s)

            asked = [client("musicbrainz", self.musicbrainz.url), client("deezer", self.deezer.url)]
            await asked[0].get("/release/none", {"fmt": "json"})
            await asked[1].get("/track/0", {})
            before = musicbrainz.make(asked[0])
            providers: list[Provider] = [DiscogsVideos(), before, deezer.make(asked[1], [before])]
            yield Process(
                self, Matcher(self.database, self._fetch, providers, Thresholds(50, 85), 3, self.outcomes.append)
            )

    async def _fetch(self, release_id: int) -> FetchedRelease:
        return FetchedRelease(self.bodies[release_id], NOW)

    async def sql(self, statement: str) -> list[tuple[object, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(statement)]

    async def matches(self, *providers: str) -> set[tuple[object, ...]]:
        """All that are stored, or those of some providers alone."""
        rows = await self.sql(
            "SELECT provider, release_id, track_index, sub_index, match_url, approved FROM track_matches"
        )
        return {row for row in rows if not providers or row[0] in providers}

    async def statuses(self) -> set[object]:
        return {row[0] for row in await self.sql("SELECT status FROM match_queue")}

    async def later(self) -> None:
        """So much that whoever said when to ask again may be asked, and nobody is given up yet."""
        await self.sql("UPDATE match_queue SET not_before = now(), parked_since = now() - interval '1 hour'")

    async def anew(self) -> None:
        await self.sql("TRUNCATE track_matches, releases, match_queue, provider_quotas CASCADE")
        await self.enqueue()


@dataclass
class Process:
    stage: Stage
    matcher: Matcher

    async def drain(self) -> list[Outcome]:
        """Until nothing is due. What came of each job."""
        before = len(self.stage.outcomes)
        await self.matcher.drain(100, 60)
        return self.stage.outcomes[before:]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=3, stores={"den": 40}, releases=60)


@pytest.fixture
async def stage(database: Database, catalogue: Catalogue) -> AsyncIterator[Stage]:
    """Releases whose first track has a video at Discogs; the others are for Deezer to find."""
    found = [catalogue.release(heading.id) for heading in catalogue.headings()]
    bodies = {each.heading.id: _with_one_video(body_of(each, 0, None, "https://x.test")) for each in found if each}
    several = {number: body for number, body in bodies.items() if len(body["tracklist"]) in range(2, 9)}
    chosen = {number: orjson.dumps(several[number]) for number in list(several)[:RELEASES]}
    async with (
        SimulatedMusicBrainz(catalogue, limit=None) as first,
        SimulatedDeezer(catalogue, chance_of_song=1.0, chance_of_silence=0.0) as second,
    ):
        staged = Stage(database, chosen, first, second)
        await staged.enqueue()
        yield staged


def _with_one_video(body: dict[str, Any]) -> dict[str, Any]:
    (track, *_), (artist, *_) = body["tracklist"], body["artists"]
    title = f"{artist['name']} - {track['title']}"
    uri = f"https://www.youtube.com/watch?v={body['id']:011}"
    return body | {"videos": [{"uri": uri, "title": title, "duration": 0, "description": "", "embed": True}]}


QUOTA_EXCEEDED = failing("Exception", "Quota limit exceeded", 4).body
UNREADABLE = orjson.dumps({"data": [{"id": 1, "title": None}, 7, None, {"id": {}, "title": []}], "total": "many"})

FAULTS = {
    "throttles with 200": (Fault("status", status=200, body=QUOTA_EXCEEDED), Told.THROTTLED),
    "throttles with 429": (Fault("status", status=429), Told.THROTTLED),
    "lies": (Fault("status", status=200, body=b'{"error": {"type": "Exception", "code": 299}}'), Told.BROKEN),
    "answers what was not asked": (Fault("status", status=200, body=b'["results"]'), Told.BROKEN),
    "times out": (Fault("silent"), Told.BROKEN),
    "sends 10 MB": (Fault("huge", size=10_000_000), Told.BROKEN),
    "sends a bomb": (Fault("gzip_bomb", size=100_000_000), Told.BROKEN),
    "sends HTML": (Fault("html", status=200), Told.BROKEN),
    "breaks off": (Fault("truncated"), Told.BROKEN),
}


BEFORE = {"musicbrainz": ("discogs_videos",), "deezer": ("discogs_videos", "musicbrainz")}
"""Who is asked before whom."""


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("failing_one", BEFORE)
async def test_a_provider_that_fails_costs_nothing_that_others_found_and_what_it_has_comes_later(
    stage: Stage, name: str, failing_one: str
) -> None:
    async with stage.process() as process:
        await process.drain()
    undisturbed, before = await stage.matches(), await stage.matches(*BEFORE[failing_one])
    await stage.anew()
    fault, told = FAULTS[name]
    if failing_one == "musicbrainz" and name == "throttles with 200":
        fault = Fault("status", status=503, body=b'{"error": "Your requests are exceeding the allowable rate limit."}')
    twin: SimulatedProvider = getattr(stage, failing_one)
    async with stage.process(timeout_s=0.5 if fault.kind == "silent" else 20.0) as process:
        twin.add_fault(fault)
        outcomes = await process.drain()
    assert {outcome.result for outcome in outcomes} == {"parked"}
    assert {dict(outcome.providers)[failing_one] for outcome in outcomes} == {told}
    assert all(outcome.error and failing_one in outcome.error.lower() for outcome in outcomes)
    assert await stage.statuses() == {"queued"}
    assert await stage.matches() >= before
    assert await stage.sql("SELECT DISTINCT attempts FROM match_queue") == [(0,)]

    twin.clear_faults()
    await stage.later()
    async with stage.process() as process:
        await process.drain()
    assert await stage.statuses() == {"matched"}
    assert tracks(await stage.matches()) == tracks(undisturbed)


def tracks(matches: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    """And whether they are approved. Where it plays may differ: a song that an ISRC leads to may be on two albums."""
    return {(release_id, track, sub, approved) for _, release_id, track, sub, _, approved in matches}


async def test_isrcs_that_musicbrainz_tells_late_are_asked_for_all_the_same(stage: Stage) -> None:
    stage.musicbrainz.chance_of_isrc, stage.musicbrainz.chance_of_link = 1.0, 0.0
    stage.musicbrainz.releases.update(dict.fromkeys(stage.bodies, 1))
    async with stage.process() as process:
        await process.drain()
    undisturbed = await stage.matches()
    await stage.anew()
    stage.deezer.calls.clear()
    async with stage.process() as process:
        stage.musicbrainz.add_fault(Fault("status", status=429))
        await process.drain()
    assert stage.deezer.calls_to("/search")
    assert not stage.deezer.calls_to("/track/isrc:")
    stage.musicbrainz.clear_faults()
    await stage.later()
    async with stage.process() as process:
        await process.drain()
    assert stage.deezer.calls_to("/track/isrc:")
    assert tracks(await stage.matches()) == tracks(undisturbed)
    assert await stage.statuses() == {"matched"}


@pytest.mark.parametrize("body", [UNREADABLE, b'{"data": [], "total": 0}'])
async def test_an_answer_without_anything_usable_is_a_miss(stage: Stage, body: bytes) -> None:
    async with stage.process() as process:
        stage.deezer.add_fault(Fault("status", status=200, body=body))
        outcomes = await process.drain()
    assert {dict(outcome.providers)["deezer"] for outcome in outcomes} == {Told.NOTHING}
    assert await stage.statuses() == {"matched"}


ODD_TEXTS = {
    "NUL": "Morning \0Signal",
    "lone surrogate": "Morning Signal \ud83d",
    "right to left": "\u202eإشارة الصباح\u202c",
    "emoji": "🎧🎧",
    "a question": "?",
    "a position": "A1",
    "Untitled": "Untitled",
    "2,000 characters": "Morning Signal " * 140,
    "nothing": "",
    "brackets": "((((((((((" * 40,
    "one word": "a" * 2000,
    "dashes": " - " * 500,
}


@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_odd_texts_on_either_side_are_stored(stage: Stage, name: str) -> None:
    """As titles of tracks, release and artist, of a video attached, and of what a provider finds."""
    text = ODD_TEXTS[name]
    track = {"position": "A", "type_": "track", "title": text, "duration": "6:02"}
    video = {"uri": "https://www.youtube.com/watch?v=aaaaaaaaaaa", "title": text, "duration": 362}
    artists = [{"name": "The Tidal Club", "anv": text, "join": text, "id": 5}]
    several = [track, track | {"position": "B"}, track | {"title": f"Harbour Lights ({text} Remix)"}]
    body = release_body(1, tracklist=several, artists=artists, title=text) | {"videos": [video, {**video, "uri": 5}]}
    found = {"id": 9, "title": f"{text} (Live)", "duration": 362, "preview": "https://x/p.mp3", "artist": artists[0]}
    answer = json.dumps({"data": [found], "total": 1}).encode()
    stage.bodies = {1: json.dumps(body).encode()}
    await stage.anew()
    async with stage.process() as process:
        stage.deezer.add_fault(Fault("status", status=200, body=answer))
        (outcome,) = await process.drain()
    assert outcome.result in ("cached", "unmatched")
    assert outcome.error is None
    assert await stage.statuses() <= {"matched", "unmatched"}


@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_odd_texts_of_musicbrainz_are_survived_and_what_was_found_beside_them_waits_for_others(
    stage: Stage, name: str
) -> None:
    """In every field that is a text, while Deezer throttles: what is known so far is kept with the job."""
    text = ODD_TEXTS[name]
    credit = [{"name": text, "artist": {"name": text}}]
    several = [
        {"resource": url, "type": "streaming", "url": {"resource": url}, "target-type": text}
        for url in (f"https://www.youtube.com/watch?v={text}", "https://www.youtube.com/watch?v=bbbbbbbbbbb", text)
    ]
    recording = {"title": text, "length": 362_000, "isrcs": [text], "relations": several, "artist-credit": credit}
    medium = {"tracks": [{"title": text, "length": text, "recording": recording, "artist-credit": credit}]}
    (first, *_) = stage.bodies
    stage.bodies = {first: stage.bodies[first]}
    await stage.anew()
    async with stage.process() as process:
        answer = json.dumps({"id": text, "title": text, "media": [medium]}).encode()
        stage.musicbrainz.releases[first] = 1
        stage.musicbrainz.add_fault(Fault("status", re.compile("/release/"), status=200, body=answer))
        stage.deezer.add_fault(Fault("status", status=200, body=QUOTA_EXCEEDED))
        (outcome,) = await process.drain()
        assert dict(outcome.providers)["musicbrainz"] in (Told.FOUND, Told.NOTHING)
        assert outcome.result == "parked"
    stage.deezer.clear_faults()
    await stage.later()
    async with stage.process() as process:
        (outcome,) = await process.drain()
    assert (outcome.result, outcome.error) == ("cached", None)
    assert "musicbrainz" not in dict(outcome.providers), "it had answered"


@pytest.mark.slow
async def test_monstrous_titles_are_decided_in_the_time_of_a_job(stage: Stage) -> None:
    titles = [" ".join(f"word{(n * 7 + place) % 300}" for place in range(280)) for n in range(500)]
    tracks = [{"position": "", "type_": "track", "title": title, "duration": "3:30"} for title in titles[:200]]
    videos = [
        {"uri": f"https://www.youtube.com/watch?v={n:011}", "title": title, "duration": 210, "description": title}
        for n, title in enumerate(titles)
    ]
    stage.bodies = {1: orjson.dumps(release_body(1, tracklist=tracks) | {"videos": videos})}
    await stage.anew()
    async with stage.process() as process:
        (outcome,) = await process.drain()
    assert (outcome.result, outcome.error) == ("cached", None)


@pytest.mark.slow
async def test_two_hundred_tracks_and_providers_of_five_hundred_candidates_are_decided(stage: Stage) -> None:
    tracks = [
        {"position": str(n), "type_": "track", "title": "Untitled" if n % 2 else f"Song {n}", "duration": "3:30"}
        for n in range(200)
    ]
    videos = [
        {"uri": f"https://www.youtube.com/watch?v={n:011}", "title": f"The Tidal Club - Song {n}", "duration": 210}
        for n in range(500)
    ]
    stage.bodies = {1: orjson.dumps(release_body(1, tracklist=tracks) | {"videos": videos})}
    stage.deezer.at_least = 500
    await stage.anew()
    async with stage.process() as process:
        (outcome,) = await process.drain()
    assert (outcome.result, outcome.error) == ("cached", None)
    assert len(stage.deezer.calls) - 1 <= deezer.CALLS_MAX
    assert await stage.statuses() == {"matched"}
    assert len(await stage.matches()) >= 100
