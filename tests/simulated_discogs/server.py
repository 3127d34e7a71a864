"""The simulated Discogs on a real port."""

import asyncio
import gzip
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, Unpack
from urllib.parse import parse_qsl

from aiohttp import web

from .accounts import Accounts, Consumer, OAuthToken, Signed, form_pairs
from .catalogue import Catalogue, ListingChanges
from .churn import Churn, Event, EventKind
from .exchange import Answer, Ask, Caller, Refusal
from .faults import BADLY, FORBIDDEN_PAGE, INSTEAD, NEVER_ACTS, Fault, Faults, Reply, send
from .rate_limit import RateLimit, Standing, most_within
from .routes import Match, NoMatch, match
from .values import Account, Listing
from .wire import (
    CLOUDFLARE_HEADERS,
    OLD_CORS_HEADERS,
    Stack,
    accepts_gzip,
    asked_callback,
    jsonp,
    stack_headers,
    written,
)
from .world import settled

PUBLIC_ORIGIN = "https://api.discogs.com"
ANONYMOUS_SHARE = 25 / 60
NOMINAL_LIMITS = (60, 25)
SMALLEST_GZIPPED = 100
GZIP_LEVEL = 1
LONGEST_BODY = 30_000_000
TOO_QUICK = (b'{"message":"You are making requests too quickly."}', b"\n")
SECONDS_TO_STOP = 0.2


@dataclass(slots=True)
class Call:
    """A request as it came. `at` by the server's clock; `status` None until (or unless) it was answered."""

    method: str
    raw_path: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    source: str
    at: float
    credential: str = "none"
    username: str | None = None
    status: int | None = None
    fault: str | None = None

    @property
    def refused(self) -> bool:
        return self.status == 429


@dataclass
class SimulatedDiscogs:
    """`rate_limit` is that of identified callers, per minute and source; the anonymous have 25/60 of it unless
    told. None switches the limit off, and its headers with it. `public_origin` is written in all bodies.

    May be stopped and started again on the same port; calls, faults and data stay.
    """

    catalogue: Catalogue
    host: str = "127.0.0.1"
    port: int = 0
    latency_ms: float = 0
    rate_limit: int | None = None
    anonymous_rate_limit: int | None = None
    public_origin: str = PUBLIC_ORIGIN
    clock: Callable[[], float] = time.time
    churn_per_hour: float = 0.0
    seed: int = 0
    semicolons: bool = False
    """Query parameters are parted by semicolons too, as Python's own parser did until 3.9.1."""
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._world = settled(self.catalogue)
        self._faults = Faults(self.seed)
        self._churn = Churn(self.catalogue, self.seed)
        self._draw = random.Random(f"{self.seed}/edge")
        self._limit = self._limiter()
        self._runner: web.AppRunner | None = None
        self._churning: asyncio.Task[None] | None = None

    # Life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application(client_max_size=LONGEST_BODY)
        app.router.add_route("*", "/{anything:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SECONDS_TO_STOP)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        if self.churn_per_hour:
            self._churning = asyncio.create_task(self._keep_churning())

    async def stop(self) -> None:
        if self._churning:
            self._churning.cancel()
            await asyncio.gather(self._churning, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()
        self._churning = self._runner = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    # Looking at what came in

    @property
    def refused(self) -> list[Call]:
        return [call for call in self.calls if call.refused]

    def calls_to(self, prefix: str) -> list[Call]:
        return [call for call in self.calls if call.path.startswith(prefix)]

    def most_calls_within(self, seconds: float = 60.0) -> int:
        """The most calls, refused ones too, that ever fell into so many seconds."""
        return most_within([call.at for call in self.calls], seconds)

    # People

    @property
    def accounts(self) -> Accounts:
        return self._world.accounts

    def register_user(
        self,
        username: str,
        token: str | None = None,
        *,
        currency: str | None = None,
        wants: tuple[int, ...] = (),
        collection: tuple[int, ...] = (),
        private_collection: bool = False,
    ) -> Account:
        """A store's name makes the token its owner's."""
        known = self.accounts.find(username)
        known = known or Account(self.accounts.next_id(), username)
        account = replace(
            known,
            currency=currency or known.currency,
            wants=wants,
            collection=collection,
            private_collection=private_collection,
        )
        return self.accounts.register(account, token)

    def register_consumer(self, key: str, secret: str, name: str = "A Shop") -> None:
        self.accounts.register_consumer(Consumer(key, secret, name))

    def register_oauth_token(self, username: str, token: str, secret: str) -> None:
        self.accounts.put_oauth(OAuthToken(token, secret, username))

    def revoke_token(self, token: str) -> None:
        """A personal token is refused from now on, an OAuth one makes an anonymous caller."""
        self.accounts.revoke(token)

    def authorize(self, request_token: str, username: str) -> str:
        """What the user does on the web page: returns the verifier."""
        asked = self.accounts.oauth(request_token)
        if asked is None:
            raise KeyError(request_token)
        verifier = f"verifier{self._draw.randrange(10**9)}"
        self.accounts.put_oauth(OAuthToken(asked.token, asked.secret, username, verifier))
        return verifier

    def put_in_cart(self, username: str, listing_id: int) -> None:
        self.accounts.cart(username).add(listing_id)

    def delete_user(self, username: str) -> None:
        self.catalogue.delete_user(username)
        self.accounts.delete(username)

    def rename(self, username: str, new_username: str) -> None:
        if self.catalogue.find_store(username):
            self.catalogue.rename(username, new_username)
        self.accounts.rename(username, new_username)

    # Stores

    def sell(self, store: str, listing_id: int) -> Listing:
        return self.catalogue.sell(store, listing_id)

    def add_listing(self, store: str, **changes: Unpack[ListingChanges]) -> Listing:
        return self.catalogue.add_listing(store, now=self.clock(), **changes)

    def edit_listing(
        self, store: str, listing_id: int, *, moves_posted: bool = False, **changes: Unpack[ListingChanges]
    ) -> Listing:
        return self.catalogue.edit_listing(store, listing_id, moves_posted=moves_posted, now=self.clock(), **changes)

    def delete_listing(self, store: str, listing_id: int) -> Listing:
        return self.catalogue.delete_listing(store, listing_id)

    def relist(self, store: str, listing_id: int) -> Listing:
        return self.catalogue.relist(store, listing_id, now=self.clock())

    def holiday(self, store: str, *, away: bool = True) -> None:
        self.catalogue.holiday(store, away=away)

    def churn(self, store: str, events: int = 1, kind: EventKind | None = None) -> list[Event]:
        return [self._churn.happen(store, kind, self.clock()) for _ in range(events)]

    async def _keep_churning(self) -> None:
        """`churn_per_hour` is the share of all listings to which something happens within an hour."""
        while True:
            listings = sum(len(store.for_sale()) for store in self.catalogue.stores)
            await asyncio.sleep(self._churn.seconds_to_next(max(1, listings) * self.churn_per_hour))
            store = self._churn.any_store()
            if store:
                self._churn.happen(store, None, self.clock())

    # Faults

    def add_fault(self, fault: Fault) -> None:
        self._faults.add(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    # One request: note it, count it, let a fault strike, else route it, and write the answer

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        now = self.clock()
        ask = self._ask(request, body, now)
        call = self._noted(request, ask)
        standing = self._standing(call, ask.caller)
        fault = self._faults.strike(request.method, call.raw_path) if standing.allowed else None
        call.fault = fault.kind if fault else None
        await asyncio.sleep(self.latency_ms / 1000 if standing.allowed else 0)
        reply = self._reply(ask, standing, fault)
        call.status = None if fault and fault.kind in {"silent", "reset_before_headers"} else reply.status
        bad_sender = BADLY.get(fault.kind) if fault else None
        return await bad_sender(request, reply, fault) if bad_sender and fault else await send(request, reply)

    def _ask(self, request: web.Request, body: bytes, now: float) -> Ask:
        # As RFC 5849 wants them, the pairs in the order and with the repetitions they came in.
        query = tuple(request.rel_url.query.items())
        if self.semicolons:
            query = tuple(parse_qsl(request.rel_url.raw_query_string.replace(";", "&"), keep_blank_values=True))
        path = request.rel_url.raw_path
        form = form_pairs(request.headers.get("Content-Type", ""), body)
        caller = self.accounts.caller(Signed(request.method, path, query, form), request.headers, now)
        return Ask(request.method, path, query, request.headers, body, caller, {}, self.public_origin, now)

    def _noted(self, request: web.Request, ask: Ask) -> Call:
        call = Call(
            method=ask.method,
            raw_path=request.raw_path,
            path=request.path,
            query=ask.query,
            headers=dict(request.headers),
            source=request.remote or "",
            at=ask.now,
            credential=f"{ask.caller.credential}{'-query' if ask.caller.in_query else ''}",
            username=ask.caller.username,
        )
        self.calls.append(call)
        return call

    def _limiter(self) -> RateLimit:
        identified = self.rate_limit or NOMINAL_LIMITS[0]
        anonymous = self.anonymous_rate_limit or max(1, round(identified * ANONYMOUS_SHARE))
        return RateLimit(identified, anonymous, self.seed)

    def _standing(self, call: Call, caller: Caller) -> Standing:
        if self.rate_limit is None:
            return Standing(allowed=True, limit=NOMINAL_LIMITS[0], used=0)
        return self._limit.take(call.source, has_credential=caller.has_credential, now=call.at)

    def _reply(self, ask: Ask, standing: Standing, fault: Fault | None) -> Reply:
        if "User-Agent" not in ask.headers:
            return self._cloudflare(Reply(403, {"Content-Type": "text/html; charset=UTF-8"}, FORBIDDEN_PAGE))
        if not standing.allowed:
            return self._too_quick(standing)
        if fault and fault.kind in INSTEAD:
            return self._cloudflare(self._counted(INSTEAD[fault.kind](fault), standing))
        if fault and fault.kind in NEVER_ACTS:
            return self._cloudflare(Reply(200, {"Content-Type": "application/json"}))
        return self._answered(ask, standing)

    def _too_quick(self, standing: Standing) -> Reply:
        """With one of two bodies, and with neither Retry-After nor CORS headers."""
        body = TOO_QUICK[self._draw.randrange(len(TOO_QUICK))]
        headers = {"Content-Type": "application/json", **self._limit_headers(standing)}
        return self._cloudflare(Reply(429, headers, body))

    def _answered(self, ask: Ask, standing: Standing) -> Reply:
        found = match(ask.method, ask.path)
        stack = found.route.stack if isinstance(found, Match) else found.stack
        if ask.method == "OPTIONS":
            return self._cloudflare(_preflight(ask, found))
        answer = self._routed(ask, found)
        headers = {
            "Content-Type": answer.content_type,
            **stack_headers(stack, answer.status, ask.headers),
            **self._limit_headers(standing),
            **answer.headers,
        }
        return self._cloudflare(_encoded(ask, _written(ask, answer, stack, headers)))

    def _routed(self, ask: Ask, found: Match | NoMatch) -> Answer:
        if ask.caller.refusal:
            return _refused(Refusal(401, ask.caller.refusal))
        if isinstance(found, NoMatch):
            return _refused(_unrouted(ask, found))
        try:
            return found.route.handler(ask.named(**found.names), self._world)
        except Refusal as refusal:
            return _refused(refusal)

    def _counted(self, reply: Reply, standing: Standing) -> Reply:
        return replace(reply, headers={**self._limit_headers(standing), **reply.headers})

    def _limit_headers(self, standing: Standing) -> dict[str, str]:
        if self.rate_limit is None:
            return {}
        return {
            "x-discogs-ratelimit": str(standing.limit),
            "x-discogs-ratelimit-remaining": str(standing.remaining),
            "x-discogs-ratelimit-used": str(standing.limit - standing.remaining),
        }

    def _cloudflare(self, reply: Reply) -> Reply:
        ray = f"{self._draw.getrandbits(64):016x}-FRA"
        cookie = f"__cf_bm={self._draw.getrandbits(128):032x}; path=/; domain=.discogs.com; HttpOnly; Secure"
        headers = {**reply.headers, **CLOUDFLARE_HEADERS, "CF-RAY": ray, "Set-Cookie": cookie}
        return Reply(reply.status, headers, reply.body, reply.chunked)


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, {"message": refusal.message}, headers=refusal.headers)


def _unrouted(ask: Ask, found: NoMatch) -> Refusal:
    if found.allowed:
        allow = {"Allow": ", ".join(sorted({*found.allowed, "HEAD", "OPTIONS"}))}
        return Refusal(405, f"Method {ask.method} is not allowed for this resource.", allow)
    return Refusal(404, "The requested resource was not found.")


def _preflight(ask: Ask, found: Match | NoMatch) -> Reply:
    """OPTIONS is a method that no route has, so `found` tells only which there are."""
    if isinstance(found, NoMatch) and not found.allowed:
        return Reply(404, {"Content-Type": "application/json"}, b'{"message": "The requested resource was not found."}')
    if ask.path == "/oauth/access_token":
        return Reply(500, {"Content-Type": "text/html"})
    return Reply(204, {"Content-Type": "text/plain", **OLD_CORS_HEADERS})


def _written(ask: Ask, answer: Answer, stack: Stack, headers: dict[str, str]) -> Reply:
    if answer.raw is not None or answer.body is None:
        return Reply(answer.status, headers, answer.raw or b"")
    callback = asked_callback(ask.parameter("callback"))
    if callback:
        script = {**headers, "Content-Type": "text/javascript"}
        return Reply(answer.status, script, jsonp(callback, answer.status, answer.body))
    return Reply(answer.status, headers, written(answer.body, stack))


def _encoded(ask: Ask, reply: Reply) -> Reply:
    """Chunked when packed, as Cloudflare sends it."""
    varied = {**reply.headers, "vary": "Accept-Encoding"}
    if len(reply.body) < SMALLEST_GZIPPED or not accepts_gzip(ask.headers.get("Accept-Encoding", "")):
        return Reply(reply.status, varied, reply.body)
    packed = gzip.compress(reply.body, GZIP_LEVEL, mtime=0)
    return Reply(reply.status, {**varied, "Content-Encoding": "gzip"}, packed, chunked=True)
