"""`./run match RELEASE_ID`: matches one release and prints tracks, candidates, scores and reasons. Stores no match."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from matcher import decision_store, review_view, store
from matcher.database import Database
from matcher.domain.tracklist import parse_release
from matcher.domain.verdict import Forget, Thresholds, Verdict, judge
from matcher.errors import DatabaseUnavailable, MatcherError
from matcher.explain import as_table
from matcher.gathering import Gathered, Providers
from matcher.models import NOTHING_SAID, Release, Said
from matcher.pool import JOB_DEADLINE_S, describe, hidden_in, parse_body
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.review_view import ReviewedMatch
from proxy.adapters.database import DatabaseUnusable
from proxy.adapters.embedded_postgres import EmbeddedPostgresError
from proxy.adapters.lanes import Lanes
from proxy.adapters.upstream import Call, Trace, Upstream
from proxy.app import operator_credential
from proxy.audio_providers import opened_providers
from proxy.commands.database import command_database
from proxy.domain.budget import Budget, Lane
from proxy.domain.visibility import Using
from proxy.errors import ProxyError
from proxy.settings import Settings


async def match(settings: Settings, release_id: int) -> int:
    """The exit code: 1 when Discogs does not give the release."""
    thresholds = Thresholds(settings.cache_persistence_threshold, settings.approval_threshold)
    try:
        content = parse_body(await _fetch(settings, release_id))
        release = parse_release(content)
    except (ProxyError, MatcherError) as error:
        print(f"release {release_id} cannot be matched: {error}", file=sys.stderr)
        return 1
    try:
        async with command_database(settings) as database, opened_providers(settings, database) as providers:
            known = await _known(database, release_id)
            asked = Providers(providers, thresholds, hidden=hidden_in(database))
            gathered = await _gathered(asked, release, content, known.said)
    except (DatabaseUnusable, DatabaseUnavailable, EmbeddedPostgresError) as error:
        print(f"without a database, which counts calls and has people's decisions: {error}")
        print("only the videos that are attached at Discogs are looked at")
        known = Known()
        gathered = await _gathered(Providers([DiscogsVideos()], thresholds), release, content, known.said)
    for each in gathered.missing:
        print(f"without {each.provider}: {describe(each.error)}")
    print(as_table(release, gathered.matches, gathered.candidates, thresholds, known.decided))
    print(verdict_line(judge(gathered.matches, thresholds, persist_always=known.is_kept), thresholds, known))
    return 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the database has of a release."""

    said: Said = NOTHING_SAID
    decided: tuple[ReviewedMatch, ...] = ()
    is_kept: bool = False
    is_without_audio: bool = False


async def _known(database: Database, release_id: int) -> Known:
    """Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        return Known(
            await store.said(connection, release_id),
            tuple(each for each in await review_view.matches_of(connection, release_id) if each.verified_at),
            await store.is_kept(connection, release_id),
            await decision_store.is_without_audio(connection, release_id),
        )


async def _gathered(asked: Providers, release: Release, content: Mapping[str, object], said: Said) -> Gathered:
    """Raises DatabaseUnavailable."""
    return await asked.gather(
        release,
        content,
        in_demand=True,
        known={},
        until=time.monotonic() + JOB_DEADLINE_S,
        tell=lambda provider, told: print(f"{provider}: {told}"),
        said=said,
    )


def verdict_line(verdict: Verdict, thresholds: Thresholds, known: Known) -> str:
    """What a job would do."""
    if known.is_without_audio:
        return "not matched: a person said that it has no audio, ever"
    if isinstance(verdict, Forget):
        return f"API-only: no track reaches {thresholds.persistence:g} (best {verdict.best:.1f})"
    approved = sum(each.approved for each in verdict.matches)
    best = max((each.match.score.confidence for each in verdict.matches), default=0.0)
    by_rule = best >= thresholds.persistence
    why = "" if by_rule else f", as it is kept already (no track reaches {thresholds.persistence:g}, best {best:.1f})"
    people = f", {len(known.decided)} decided by people" if known.decided else ""
    return f"persisted{why}: {len(verdict.matches)} matches, {approved} approved without a person{people}"


async def _fetch(settings: Settings, release_id: int) -> bytes:
    """Raises ProxyError."""
    operator = operator_credential(settings)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:
        upstream = Upstream(
            session,
            settings.discogs_api_url,
            settings.discogs_user_agent,
            Lanes(Budget.starting(settings.discogs_rate_limit)),
            settings.upstream_deadline_ms / 1000,
            operator,
        )
        using = Using.OPERATOR if operator else Using.NOBODY
        answer = await upstream.fetch(Call("GET", f"/releases/{release_id}", Lane.MATCHING, using), Trace("match"))
    if answer.status != 200:
        raise ProxyError(f"Discogs answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return answer.body
