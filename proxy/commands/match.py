"""`./run match RELEASE_ID`: matches one release and prints tracks, candidates, scores and reasons. Stores no match."""

from __future__ import annotations

import sys
import time

import aiohttp

from matcher.domain.tracklist import parse_release
from matcher.domain.verdict import Persist, Thresholds, judge
from matcher.errors import MatcherError
from matcher.explain import as_table
from matcher.gathering import Providers
from matcher.pool import JOB_DEADLINE_S, describe, hidden_in, parse_body
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
        async with command_database(settings) as database, opened_providers(settings, database) as providers:
            gathered = await Providers(providers, thresholds, hidden=hidden_in(database)).gather(
                release,
                content,
                in_demand=True,
                known={},
                until=time.monotonic() + JOB_DEADLINE_S,
                tell=lambda provider, told: print(f"{provider}: {told}"),
            )
    except (ProxyError, MatcherError, DatabaseUnusable, EmbeddedPostgresError) as error:
        print(f"release {release_id} cannot be matched: {error}", file=sys.stderr)
        return 1
    for each in gathered.missing:
        print(f"without {each.provider}: {describe(each.error)}")
    print(as_table(release, gathered.matches, gathered.candidates))
    verdict = judge(gathered.matches, thresholds)
    if isinstance(verdict, Persist):
        approved = sum(each.approved for each in verdict.matches)
        print(f"persisted: {len(verdict.matches)} matches, {approved} approved without a person")
    else:
        print(f"API-only: no track reaches {thresholds.persistence:g} (best {verdict.best:.1f})")
    return 0


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
