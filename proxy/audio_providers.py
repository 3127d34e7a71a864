"""The audio providers that are built, and how each is put together from the settings. A new one is a line here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
from yarl import URL

from matcher.database import Database
from matcher.domain.quota import LIMITS
from matcher.gathering import Provider
from matcher.link_checks import LinkChecker
from matcher.providers import deezer, itunes, musicbrainz, youtube
from matcher.providers.client import Client
from matcher.providers.deezer_links import DeezerLinks
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.providers.http_client import HttpClient
from matcher.providers.pressings import Pressings
from matcher.providers.youtube_links import OEMBED_URL, YouTubeOembed, YouTubeVideos
from matcher.quota_store import Quota
from proxy.adapters.upstream import sent_once
from proxy.settings import OFFICIAL_YOUTUBE_API_URL, Settings

Make = Callable[[Client, Sequence[Provider]], Provider]
"""Of its client, and the providers that are asked earlier."""

Secrets = dict[str, dict[str, str]]
"""Of each provider that wants some: the parameters of a call that nobody may see."""

PROVIDERS: dict[str, Make] = {
    "discogs_videos": lambda _client, _before: DiscogsVideos(),  # in the release's body: nobody is asked
    "musicbrainz": musicbrainz.make,
    "deezer": deezer.make,
    "youtube": youtube.make,
    "itunes": itunes.make,
}
"""By their name in MATCH_PROVIDERS."""


@asynccontextmanager
async def opened_providers(
    settings: Settings, database: Database, secrets: Secrets | None = None
) -> AsyncIterator[list[Provider]]:
    """Those of the settings in the order in which they are asked.

    `secrets` are those of the settings, for who wants to change them later.
    """
    secrets = provider_secrets(settings) if secrets is None else secrets
    made: list[Provider] = [Pressings(database)]
    async with provider_session() as session:
        for name in settings.audio_providers:
            made.append(PROVIDERS[name](provider_client(name, settings, session, database, secrets), tuple(made)))
        yield made


@asynccontextmanager
async def opened_link_checkers(
    settings: Settings, database: Database, secrets: Secrets
) -> AsyncIterator[list[LinkChecker]]:
    """For each platform that tells whether its links still play."""
    async with provider_session() as session:
        deezer = DeezerLinks(provider_client("deezer", settings, session, database))
        if settings.youtube_api_key:
            api = youtube.make(provider_client("youtube", settings, session, database, secrets))
            yield [YouTubeVideos(api.videos), deezer]
        else:
            oembed = provider_client("oembed", settings, session, database)
            yield [YouTubeOembed(replace(oembed, base_url=oembed_url(settings))), deezer]


def oembed_url(settings: Settings) -> str:
    """Beside the API: where that is simulated, so is oEmbed."""
    simulated = settings.youtube_api_url != OFFICIAL_YOUTUBE_API_URL
    return str(URL(settings.youtube_api_url).origin()) if simulated else OEMBED_URL


def provider_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), middlewares=(sent_once,))


def provider_secrets(settings: Settings) -> Secrets:
    """By provider; each call reads them."""
    return {"youtube": {"key": settings.youtube_api_key}} if settings.youtube_api_key else {}


def provider_client(
    name: str,
    settings: Settings,
    session: aiohttp.ClientSession,
    database: Database,
    secrets: Secrets | None = None,
) -> HttpClient:
    return HttpClient(
        session=session,
        provider=name,
        base_url=getattr(settings, f"{name}_api_url", ""),
        user_agent=settings.discogs_user_agent,
        quota=Quota(database, name, LIMITS.get(name, ())),
        secrets=(provider_secrets(settings) if secrets is None else secrets).get(name, {}),
    )
