"""schema.sql tells by a link's host who looks at it, as the URLs' own rules do."""

from __future__ import annotations

import itertools

from matcher.database import Database
from matcher.domain.urls import DEEZER_HOSTS, VIMEO_HOSTS, YOUTUBE_HOSTS
from proxy.adapters.database import SCHEMA_FILE
from tests.matcher.test_store import execute

LOOK_ALIKES = ("notyoutube.com", "youtube.com.evil.org", "youtube.org", "www.youtu.be", "m.deezer.com", "x.org")
HOSTS = (*sorted(YOUTUBE_HOSTS | DEEZER_HOSTS | VIMEO_HOSTS), *LOOK_ALIKES)
SPELT = ("http://{}/watch?v=aaaaaaaaaaa", "https://{}/track/7", "HTTPS://{}/", "https://{}:443/x", "ftp://{}/x", "{}/x")


def platform_of(pattern: str, host: str) -> str:
    if not pattern.lower().startswith("http"):
        return "other"
    return "youtube" if host in YOUTUBE_HOSTS else "deezer" if host in DEEZER_HOSTS else "other"


async def test_a_links_platform_is_that_of_its_host(database: Database) -> None:
    expected = {
        pattern.format(name): platform_of(pattern, host)
        for pattern, host in itertools.product(SPELT, HOSTS)
        for name in (host, host.upper())
    } | {f"https://x.org/https://{host}/x": "other" for host in HOSTS}
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT url, link_platform(url) FROM unnest($1::text[]) AS url", list(expected))
    assert dict(rows) == expected  # type: ignore[arg-type]


async def test_a_link_that_an_earlier_schema_took_for_nobodys_is_looked_at(database: Database) -> None:
    insert = "INSERT INTO match_links (url, platform, next_at) VALUES ($1, 'other', 'infinity')"
    await execute(database, insert, "https://www.youtube-nocookie.com/embed/aaaaaaaaaaa")
    await execute(database, SCHEMA_FILE.read_text())
    async with database.connection() as connection:
        found = await connection.fetchrow("SELECT platform, next_at <= now() AS is_due FROM match_links")
    assert found
    assert tuple(found) == ("youtube", True)
