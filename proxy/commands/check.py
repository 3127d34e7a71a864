"""`./run check`: is everything there that the proxy needs? One line each, and a remedy where it is not."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import aiohttp
import orjson

from matcher.database import Database
from matcher.errors import Broken, DatabaseUnavailable, KeyRefused, Unavailable
from matcher.providers import itunes, youtube
from matcher.providers.client import Reply
from matcher.providers.http_client import HttpClient
from matcher.queue_store import counts
from proxy.adapters.database import DatabaseUnusable
from proxy.adapters.embedded_postgres import EmbeddedPostgresError
from proxy.adapters.lanes import Lanes
from proxy.adapters.upstream import Answer, Call, Trace, Upstream
from proxy.app import operator_credential
from proxy.audio_providers import provider_client, provider_session
from proxy.commands.database import command_database
from proxy.domain.budget import Budget, Lane
from proxy.domain.visibility import Using
from proxy.domain.webhook import SECRET_LEAST_BYTES, signing_key
from proxy.domain.wire import is_html
from proxy.errors import ProxyError
from proxy.settings import OFFICIAL_API_URL, Settings


class Verdict(StrEnum):
    """How a line begins."""

    GOOD = "ok     "
    WARNING = "warning"
    BAD = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line, and what to do about it."""

    verdict: Verdict
    subject: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict}  {self.subject:<12} {self.found}"
        return f"{line}\n{'':<22}-> {self.remedy}" if self.remedy else line


async def check(settings: Settings) -> int:
    """The exit code: 1 when there is a problem."""
    worst = 0
    async for finding in findings(settings):
        print(finding)
        worst = max(worst, finding.verdict is Verdict.BAD)
    return worst


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    yield speed()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:
        upstream = Upstream(
            session,
            settings.discogs_api_url,
            settings.discogs_user_agent,
            Lanes(Budget.starting(settings.discogs_rate_limit)),
            settings.upstream_deadline_ms / 1000,
            operator_credential(settings),
        )
        async for finding in discogs(settings, upstream):
            yield finding
    async for finding in database(settings):
        yield finding
    yield public_url(settings)
    yield tls(settings)
    yield webhooks(settings)
    for each in settings.warnings():
        yield Finding(Verdict.WARNING, "settings", each, "change it")


def speed() -> Finding:
    """Without its C extensions aiohttp serves a third as fast."""
    from aiohttp import http_parser

    compiled = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    if compiled:
        return Finding(Verdict.GOOD, "aiohttp", f"{aiohttp.__version__} with C extensions")
    return Finding(Verdict.WARNING, "aiohttp", "runs without its C extensions", "install a wheel for this Python")


async def discogs(settings: Settings, upstream: Upstream) -> AsyncIterator[Finding]:
    """Egress, user agent, credential and budget, told by one or two cheap calls."""
    try:
        answer = await upstream.fetch(Call("GET", "/", Lane.SHOPPER), Trace("check"))
    except ProxyError as error:
        yield Finding(
            Verdict.BAD,
            "egress",
            f"{settings.discogs_api_url}: {error.message}",
            "open outgoing https to it, or correct DISCOGS_API_URL",
        )
        return
    yield Finding(Verdict.GOOD, "egress", f"{settings.discogs_api_url} answers {answer.status}")
    yield user_agent(settings, answer)
    yield await credential(upstream)
    yield budget(upstream, answer)


def user_agent(settings: Settings, answer: Answer) -> Finding:
    if answer.status == 403 and is_html(answer.content_type):
        return Finding(
            Verdict.BAD,
            "user agent",
            f"Discogs refuses {settings.discogs_user_agent!r}",
            "set DISCOGS_USER_AGENT to product/version +url, a name of your own",
        )
    return Finding(Verdict.GOOD, "user agent", settings.discogs_user_agent)


async def credential(upstream: Upstream) -> Finding:
    """A search result tells the tier: without a credential it has no thumbnails."""
    operator = upstream.operator
    if operator is None:
        return Finding(
            Verdict.WARNING,
            "credential",
            "none: 25 calls a minute and no thumbnails",
            "set DISCOGS_CONSUMER_KEY and DISCOGS_CONSUMER_SECRET (https://www.discogs.com/settings/developers)",
        )
    kind = "token" if operator.identifies else "key and secret"
    try:
        call = Call("GET", "/database/search?type=release&per_page=5&title=love", Lane.SHOPPER, Using.OPERATOR)
        answer = await upstream.fetch(call, Trace("check"))
    except ProxyError as error:
        return Finding(Verdict.BAD, "credential", error.message, "try again later")
    if answer.status == 401:
        return Finding(Verdict.BAD, "credential", f"Discogs refuses the {kind}", "correct it, or make a new one")
    if not has_thumbnails(answer.body):
        return Finding(Verdict.WARNING, "credential", f"{kind}: no thumbnails", "check that the application is active")
    return Finding(Verdict.GOOD, "credential", f"{kind}: with thumbnails")


def has_thumbnails(body: bytes) -> bool:
    try:
        results = orjson.loads(body).get("results", [])
    except (orjson.JSONDecodeError, AttributeError):
        return False
    return any(isinstance(row, dict) and row.get("thumb") for row in results)


def budget(upstream: Upstream, answer: Answer) -> Finding:
    if upstream.limit == 0:
        return Finding(Verdict.GOOD, "budget", "no limit (DISCOGS_RATE_LIMIT=0)")
    if answer.status == 429 or upstream.remaining == 0:
        return Finding(Verdict.WARNING, "budget", "used up", "something else on this address calls Discogs too")
    return Finding(Verdict.GOOD, "budget", f"{upstream.remaining} of {upstream.limit} calls left in this minute")


async def database(settings: Settings) -> AsyncIterator[Finding]:
    """And the providers, whose quotas it holds."""
    kind = "DATABASE_URL" if settings.database_url else f"embedded in {settings.data_dir}"
    try:
        async with command_database(settings) as found:
            async with found.connection() as connection:
                version = connection.get_server_version()
                known = sum((await counts(connection)).values())
            told = f"{kind}: PostgreSQL {version.major}.{version.minor}, {known} releases known"
            yield Finding(Verdict.GOOD, "database", told)
            async for finding in providers(settings, found):
                yield finding
    except (DatabaseUnusable, EmbeddedPostgresError, DatabaseUnavailable) as error:
        yield Finding(Verdict.BAD, "database", f"{kind} cannot be used", str(error))


async def providers(settings: Settings, found: Database) -> AsyncIterator[Finding]:
    """A line each. No shopper is turned away for want of one, so that few things are a problem."""
    async with provider_session() as session:
        for name in settings.audio_providers:
            if name not in PROBES:
                yield Finding(Verdict.GOOD, name, "needs no call of its own")
            else:
                yield await provider(name, provider_client(name, settings, session, found))
    if "youtube" not in settings.audio_providers:
        yield Finding(Verdict.GOOD, "youtube", "off (YOUTUBE_API_KEY is unset)")


PROBES: dict[str, tuple[str, dict[str, str]]] = {
    "musicbrainz": ("/genre/all", {"limit": "1", "fmt": "json"}),
    "deezer": ("/infos", {}),
    "youtube": ("/videos", {"part": "id", "id": "aaaaaaaaaaa"}),
    "itunes": ("/search", {"term": "love", "limit": "1"}),
}
"""A cheap call of each provider that is asked over the network."""

JUDGES: Mapping[str, Callable[[Reply], object]] = {"youtube": youtube.answered, "itunes": itunes.answered}
"""Of those that say with a 403 what others say with their status: they raise Unavailable."""


async def provider(name: str, client: HttpClient) -> Finding:
    """One call, within its quota."""
    path, params = PROBES[name]
    try:
        reply = await client.get(path, params)
        if judge := JUDGES.get(name):
            judge(reply)
    except KeyRefused as error:
        return Finding(Verdict.BAD, name, str(error), f"correct {name.upper()}_API_KEY, and allow its API")
    except Broken as error:
        remedy = f"open outgoing https to {client.base_url}, correct {name.upper()}_API_URL, or leave it out"
        return Finding(Verdict.WARNING, name, str(error), remedy)
    except Unavailable as error:
        return Finding(Verdict.WARNING, name, f"{error}: again in {error.retry_after_s:.0f} s", "its jobs wait for it")
    return Finding(Verdict.GOOD, name, f"{client.base_url} answers {reply.status}")


def public_url(settings: Settings) -> Finding:
    if settings.public_url == settings.discogs_api_url or settings.public_url == OFFICIAL_API_URL:
        return Finding(
            Verdict.BAD, "PUBLIC_URL", f"{settings.public_url} is Discogs itself", "set it to the proxy's own origin"
        )
    if settings.public_url is None:
        return Finding(Verdict.GOOD, "PUBLIC_URL", "unset: as the client calls it, by Host")
    if settings.tls_cert and urlsplit(settings.public_url).scheme == "http":
        return Finding(Verdict.WARNING, "PUBLIC_URL", f"{settings.public_url}, but TLS is on", "make it https://")
    return Finding(Verdict.GOOD, "PUBLIC_URL", settings.public_url)


def tls(settings: Settings) -> Finding:
    if settings.tls_cert is None or settings.tls_key is None:
        return Finding(Verdict.GOOD, "TLS", "off: plain http (a front server may add https)")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (ssl.SSLError, OSError) as error:
        return Finding(Verdict.BAD, "TLS", f"TLS_CERT and TLS_KEY cannot be used: {error}", "give PEM files that match")
    return Finding(Verdict.GOOD, "TLS", str(settings.tls_cert))


def webhooks(settings: Settings) -> Finding:
    """By the look of the settings: nothing is sent. The URL may hold a password, so that only its host is told."""
    if not (settings.webhook_url and settings.webhook_secret):
        return Finding(Verdict.GOOD, "webhooks", "off (WEBHOOK_URL is unset)")
    parts = urlsplit(settings.webhook_url)
    if len(signing_key(settings.webhook_secret)) < SECRET_LEAST_BYTES:
        remedy = 'echo "whsec_$(openssl rand -base64 32)" makes a better one'
        return Finding(
            Verdict.WARNING, "webhooks", f"WEBHOOK_SECRET is shorter than {SECRET_LEAST_BYTES} bytes", remedy
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return Finding(Verdict.WARNING, "webhooks", f"sent to {parts.hostname} in the clear", "make WEBHOOK_URL https")
    return Finding(Verdict.GOOD, "webhooks", f"signed, to {parts.scheme}://{parts.hostname}")
