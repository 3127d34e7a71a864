from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from matcher.database import Database
from matcher.errors import Unavailable
from matcher.gathering import Provider
from matcher.models import Candidate, Release, Track
from matcher.providers.client import Client
from proxy.audio_providers import PROVIDERS, opened_link_checkers, opened_providers, provider_secrets
from proxy.settings import Settings
from tests.origin import running_origin


class Echo:
    """A provider that asks once."""

    name = "youtube"

    def __init__(self, client: Client, before: Sequence[Provider]) -> None:
        self.client = client
        self.before = [each.name for each in before]

    async def candidates(
        self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
    ) -> Sequence[Candidate]:
        await self.client.get("/search", {"q": release.title})
        return []


RELEASE = Release(1, "A title", (), (), (), None, ())


async def test_a_provider_asks_at_its_own_url_with_its_key_and_our_name(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "youtube", Echo)
    async with running_origin() as origin:
        origin.body = b"{}"
        settings = Settings.from_environment({"YOUTUBE_API_KEY": "hunter2", "YOUTUBE_API_URL": f"{origin.url}/v3"})
        async with opened_providers(settings, database) as providers:
            assert [each.name for each in providers[1:]] == [*settings.audio_providers]
            assert isinstance(providers[-1], Echo)
            assert providers[-1].before == [each.name for each in providers[:-1]]
            await providers[-1].candidates(RELEASE, {}, ())
        (request,) = origin.requests
    assert (request.path, dict(request.query)) == ("/v3/search", {"q": "A title", "key": "hunter2"})
    assert request.headers["User-Agent"] == settings.discogs_user_agent
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT provider, limit_name, used FROM provider_quotas ORDER BY limit_name")
    assert [tuple(row) for row in rows] == [("youtube", "searches", 1), ("youtube", "units", 1)]


async def test_with_a_key_links_are_looked_at_by_the_api_and_without_by_oembed_beside_it(database: Database) -> None:
    async with running_origin() as origin:
        url = {"YOUTUBE_API_URL": f"{origin.url}/v3"}
        for key in ({"YOUTUBE_API_KEY": "hunter2"}, {}):
            settings = Settings.from_environment(url | key)
            async with opened_link_checkers(settings, database, provider_secrets(settings)) as (checker, _):
                origin.body = b'{"items": []}' if key else b'{"title": "A title"}'
                await checker.look(["aaaaaaaaaaa"])
        by_api, by_oembed = origin.requests
        origin.status, origin.body = 403, b'{"error": {"code": 403}}'
        settings = Settings.from_environment(url | {"YOUTUBE_API_KEY": "k"})
        async with opened_link_checkers(settings, database, provider_secrets(settings)) as (
            api,
            _,
        ):
            with pytest.raises(Unavailable):  # and no video is dead
                await api.look(["aaaaaaaaaaa"])
    assert (by_api.path, by_api.query["id"], by_api.query["key"]) == ("/v3/videos", "aaaaaaaaaaa", "hunter2")
    assert (by_oembed.path, "key" in by_oembed.query) == ("/oembed", False)


@pytest.mark.parametrize(
    ("environment", "order"),
    [
        ({}, ("discogs_videos", "musicbrainz", "deezer")),
        ({"YOUTUBE_API_KEY": "k"}, ("discogs_videos", "musicbrainz", "deezer", "youtube")),
        ({"YOUTUBE_API_KEY": "k", "MATCH_PROVIDERS": "youtube,deezer"}, ("youtube", "deezer")),
    ],
)
def test_youtube_joins_when_it_has_a_key(environment: dict[str, str], order: tuple[str, ...]) -> None:
    assert Settings.from_environment(environment).audio_providers == order
