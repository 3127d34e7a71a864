"""`./run compare PATH…`: fetches directly and through the proxy, and prints what differs, meant to or not."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from proxy import __version__
from proxy.adapters.budget_log import BudgetLog
from proxy.adapters.database import DatabaseUnusable, connected
from proxy.adapters.embedded_postgres import running_server_dsn
from proxy.adapters.lanes import Lanes
from proxy.adapters.upstream import Answer, Call, Trace, Upstream
from proxy.app import DEFAULT_BUDGET_GROUP, operator_credential
from proxy.commands.database import copied_first
from proxy.domain.budget import Budget, Lane
from proxy.domain.compare import Difference, Kind, bodies, headers
from proxy.domain.credentials import masked, without_credentials
from proxy.domain.visibility import Using
from proxy.domain.wire import BrokenBody, decode_json
from proxy.errors import ProxyError
from proxy.settings import OFFICIAL_API_URL, Settings

AUTHORIZATION = "COMPARE_AUTHORIZATION"
"""The environment variable of a caller's own credential, sent both ways: `Discogs token=...`."""

PATIENCE_S = 90.0
"""How long a direct call waits for a place in the budget: a minute of it, and some."""

PROXY_TIMEOUT_S = 60.0
SHOWN = 60
"""Characters of a value that are printed."""

FAILED = 2


async def compare(settings: Settings, paths: Sequence[str], proxy: str | None) -> int:
    """The exit code: 1 when something differs that should not, 2 when something could not be compared."""
    proxy_url = proxy or own_url(settings)
    # On this machine a certificate proves nothing, and it is for the name that shops use.
    connector = aiohttp.TCPConnector(ssl=proxy is not None)
    authorization = os.environ.get(AUTHORIZATION, "").strip()
    worst = 0
    async with direct_upstream(settings) as upstream, aiohttp.ClientSession(connector=connector) as session:
        for path in paths:
            target = target_of(path, settings)
            print(f"GET {shown_target(target)}")
            try:
                direct = await fetch_directly(upstream, target, authorization)
                proxied = await fetch_through(session, proxy_url + target, authorization)
            except (ProxyError, aiohttp.ClientError, TimeoutError) as error:
                print(f"  cannot be compared: {masked(str(error) or type(error).__name__)}")
                worst = FAILED
                continue
            worst = max(worst, told(direct, proxied, settings, proxy_url))
    return worst


def own_url(settings: Settings) -> str:
    """Of the proxy that these settings start on this machine."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104 (compared, not bound)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"


def target_of(path: str, settings: Settings) -> str:
    """Path and query; a whole URL of the API will do."""
    for origin in (settings.discogs_api_url, OFFICIAL_API_URL):
        path = path.removeprefix(origin)
    return path if path.startswith("/") else f"/{path}"


def shown_target(target: str) -> str:
    path, _, query = target.partition("?")
    kept = masked(without_credentials(query))
    return f"{masked(path)}?{kept}" if kept else masked(path)


# --- fetching -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def direct_upstream(settings: Settings) -> AsyncIterator[Upstream]:
    """Its calls are counted with those of the proxy, where its database is there: both come from one address."""
    async with AsyncExitStack() as stack:
        budget_log = None
        if dsn := settings.database_url or running_server_dsn(settings.data_dir):
            try:
                before = copied_first(settings, dsn)
                database = await stack.enter_async_context(connected(dsn, connections=1, before_migration=before))
                budget_log = BudgetLog(database, settings.budget_group or DEFAULT_BUDGET_GROUP)
            except DatabaseUnusable as error:
                print(
                    f"compare: without the proxy's database, whose budget is not known then: {error}", file=sys.stderr
                )
        lanes = Lanes(Budget.starting(settings.discogs_rate_limit), budget_log)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        yield Upstream(
            session,
            settings.discogs_api_url,
            settings.discogs_user_agent,
            lanes,
            settings.upstream_deadline_ms / 1000,
            operator_credential(settings),
        )
        await lanes.stop()


async def fetch_directly(upstream: Upstream, target: str, authorization: str) -> Answer:
    """As the proxy would ask: with the operator's credential, unless a caller's own is given. Raises ProxyError."""
    query = target.partition("?")[2]
    is_callers = authorization or without_credentials(query) != query
    using = Using.CALLER if is_callers else Using.OPERATOR if upstream.operator else Using.NOBODY
    given = (authorization,) if authorization else ()
    call = Call("GET", target, Lane.SHOPPER, using, authorization=given, patience_s=PATIENCE_S, wants_json=False)
    return await upstream.fetch(call, Trace("compare"))


async def fetch_through(session: aiohttp.ClientSession, url: str, authorization: str) -> Answer:
    """Raises aiohttp.ClientError, TimeoutError."""
    fields = {"User-Agent": f"discogs-proxy/{__version__} compare"}
    if authorization:
        fields["Authorization"] = authorization
    timeout = aiohttp.ClientTimeout(total=PROXY_TIMEOUT_S)
    async with session.get(url, headers=fields, allow_redirects=False, timeout=timeout) as response:
        return Answer(response.status, CIMultiDict(response.headers), await response.read())


# --- telling ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """Differences of one kind at one place of each member of a list."""

    of: str
    kind: Kind
    pattern: str
    why: str | None


def told(direct: Answer, proxied: Answer, settings: Settings, proxy_url: str) -> int:
    """Prints how two answers differ; the exit code."""
    print(f"  direct  {direct.status}, {len(direct.body)} bytes, {asked_with(direct.using)}")
    status = proxied.headers.get("Cache-Status", "no Cache-Status: this is no proxy of ours")
    print(f"  proxy   {proxied.status}, {len(proxied.body)} bytes, {status}")
    if 429 in (direct.status, proxied.status):
        print("  cannot be compared: the budget of calls is used up, try again in a minute")
        return FAILED
    own = tuple(dict.fromkeys(filter(None, (settings.public_url, origin_of(proxy_url)))))
    origins = tuple(dict.fromkeys((settings.discogs_api_url, OFFICIAL_API_URL)))
    found = list(differences(direct, proxied, origins, own))
    meant = [each for each in found if each[1].why]
    rest = [each for each in found if not each[1].why]
    print_lines("as it is meant", meant)
    print_lines("NOT EXPECTED", rest)
    if not rest:
        print("  nothing else differs")
    elif age := proxied.headers.get("Age"):
        print(f"  the proxy's answer is a copy of {age} s ago: what Discogs changed since then differs too")
    return 1 if rest else 0


def asked_with(using: Using | None) -> str:
    match using:
        case Using.OPERATOR:
            return "asked with the operator's credential"
        case Using.CALLER:
            return "asked with the caller's credential"
        case _:
            return "asked without a credential"


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


Found = tuple[str, Difference]
"""Of a `header` or a `field`."""


def differences(direct: Answer, proxied: Answer, origins: Sequence[str], own: Sequence[str]) -> Iterable[Found]:
    if direct.status != proxied.status:
        yield "status", Difference(Kind.CHANGED, "", direct.status, proxied.status)
    yield from (("header", each) for each in headers(direct.headers, proxied.headers, origins, own))
    try:
        theirs, ours = decode_json(direct.body), decode_json(proxied.body)
    except BrokenBody:
        if direct.body != proxied.body:
            yield "body", Difference(Kind.CHANGED, "", "not the same bytes", "and not JSON both")
        return
    yield from (("field", each) for each in bodies(theirs, ours, origins, own))


def print_lines(title: str, found: Sequence[Found]) -> None:
    """One line for what is alike in each member of a list, with the first of them as its example."""
    counted: Counter[Line] = Counter()
    examples: dict[Line, Difference] = {}
    for of, each in found:
        line = Line(of, each.kind, each.pattern, each.why)
        counted[line] += 1
        examples.setdefault(line, each)
    if counted:
        print(f"  {title}:")
    for line, count in counted.items():
        times = f" ×{count}" if count > 1 else ""
        what = f"{line.of} {line.kind} {line.pattern}{times}".replace("  ", " ").rstrip()
        print(f"    {what}: {line.why}" if line.why else f"    {what}: {example(examples[line], count)}")


def example(each: Difference, count: int) -> str:
    at = f"at {each.where} " if count > 1 else ""
    match each.kind:
        case Kind.ADDED:
            return f"{at}{shown(each.proxied)}"
        case Kind.MISSING:
            return f"{at}{shown(each.direct)}"
        case _:
            return f"{at}{shown(each.direct)} -> {shown(each.proxied)}"


def shown(value: object) -> str:
    text = masked(repr(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
