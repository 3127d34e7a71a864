"""The Discogs-shaped paths: reads the request, lets the service of its resource answer, writes the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web
from multidict import CIMultiDict

from matcher.errors import DatabaseUnavailable
from proxy import keys
from proxy.domain.credentials import Caller, Tier, caller_of
from proxy.domain.merge import Audience
from proxy.domain.origins import public_origin
from proxy.domain.policy import Decision
from proxy.domain.request import Served, ShopRequest, Streamed, split_target
from proxy.domain.resources import UNKNOWN, Kind, Resource, resource_of
from proxy.domain.store_query import decimal
from proxy.domain.validators import headers_of_304, is_known
from proxy.domain.visibility import SAFE_METHODS, Plan, Refuse, depends_on_username, plan
from proxy.domain.wire import accepts_gzip
from proxy.errors import BadRequest, MethodNotAllowed, ProxyError, Unauthorized
from proxy.handlers.hits import shortcut_of
from proxy.handlers.middleware import set_cors
from proxy.services.copies import TooPoor
from proxy.services.finished import Finished, finish

REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
ALLOWED_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


async def discogs(request: web.Request) -> web.StreamResponse:
    shop_request = read_request(request)
    request[keys.KIND] = shop_request.resource.kind.value
    request[keys.STORES_ASKED] = shop_request.resource.client_calls
    try:
        return await answer(request, shop_request)
    except TooPoor:
        return await answer(request, shop_request.forwarded())


async def answer(request: web.Request, shop_request: ShopRequest) -> web.StreamResponse:
    """From memory, else by the service of the resource. Raises ProxyError; TooPoor before anything has been written."""
    finished = request.app[keys.FINISHED]
    if hit := finished.find(shop_request):
        if shortcut := shortcut_of(request, request.app[keys.SETTINGS]):
            finished.add_shortcut(shortcut, shop_request)
        return write(request, hit.answer, hit.decision)
    begun = finished.begin()
    async with answered(request, shop_request) as found:
        if isinstance(found, Streamed):
            return await stream(request, shop_request, found)
        pack = shop_request.accepts_gzip or found.reuse is not None
        made = await finish(with_own_headers(found, shop_request), pack=pack)
        finished.keep(shop_request, made, found.reuse, begun)
        return write(request, made, found.decision)


@asynccontextmanager
async def answered(request: web.Request, shop_request: ShopRequest) -> AsyncIterator[Served | Streamed]:
    """By the service of the resource. Raises ProxyError."""
    app, trace = request.app, request[keys.TRACE]
    resource = shop_request.resource if shop_request.method in SAFE_METHODS else UNKNOWN
    match resource:
        case Resource(kind=Kind.RELEASE, release_id=int(release_id)):
            yield await app[keys.RELEASES].serve(shop_request, release_id, audience_of(request), trace)
        case Resource(kind=Kind.INVENTORY, username=str(username)):
            yield await app[keys.INVENTORY].serve(shop_request, username, audience_of(request), trace)
        case _:
            async with app[keys.PASSTHROUGH].serve(shop_request, trace) as answer:
                yield answer


def read_request(request: web.Request) -> ShopRequest:
    """Raises BadRequest, Unauthorized."""
    if request.method in REFUSED_METHODS:
        raise MethodNotAllowed(f"Method {request.method} is not allowed for this resource.", ALLOWED_METHODS)
    raw_path, raw_query = split_target(request.raw_path)
    resource = resource_of(raw_path)
    caller, decided = decided_for(request, resource, raw_query)
    if isinstance(decided, Refuse):
        raise Unauthorized(decided.advice)
    return ShopRequest(
        method=request.method,
        raw_path=raw_path,
        raw_query=raw_query,
        resource=resource,
        caller=caller,
        ask=decided,
        headers=tuple(request.headers.items()),
        public_origin=origin_of(request),
        body=_pieces(request) if request.can_read_body else None,
    )


def decided_for(request: web.Request, resource: Resource, raw_query: str) -> tuple[Caller, Plan]:
    """Who asks, and what may be asked for him. Until we know whose his credential is he is forwarded."""
    operator = request.app[keys.UPSTREAM].operator_now
    access = request.app[keys.ACCESS]
    # A token for our own paths is nobody's credential at Discogs, and nothing that Discogs should learn.
    theirs = [each for each in request.headers.getall("Authorization", []) if not access.is_own(each)]
    caller = caller_of(theirs, raw_query, operator.token if operator is not None else None)
    if caller.credential and depends_on_username(request.method, resource, caller, operator, raw_query):
        request_id = request[keys.TRACE].request_id
        caller = replace(caller, username=request.app[keys.IDENTITIES].username_of(caller.credential, request_id))
    return caller, plan(request.method, resource, caller, operator, raw_query)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_any():
        yield piece


def origin_of(request: web.Request) -> str:
    settings = request.app[keys.SETTINGS]
    return public_origin(
        settings.public_url,
        "https" if request.secure else "http",
        request.headers,
        request.remote,
        settings.trusted_proxies,
        f"{settings.host}:{settings.port}",
    )


def audience_of(request: web.Request) -> Audience:
    """What the shop may see, narrowed by `min_confidence`. Raises BadRequest."""
    settings = request.app[keys.SETTINGS]
    min_confidence = decimal(request.query.get("min_confidence", "0"))
    if min_confidence is None or min_confidence > 100:
        raise BadRequest("min_confidence must be a number from 0 to 100.")
    pending_from = settings.cache_persistence_threshold if settings.audio_visible == "all" else None
    return Audience(pending_from, min_confidence)


def with_own_headers(answer: Served, request: ShopRequest) -> Served:
    theirs = [(name, value) for name, value in answer.headers if name.lower() not in ("cache-control", "vary")]
    vary = [value for name, value in answer.headers if name.lower() == "vary"]
    own = [("Cache-Control", cache_control(request)), ("Vary", joined_vary(*vary, "Accept-Encoding, Authorization"))]
    return replace(answer, headers=(*theirs, *own))


def write(request: web.Request, answer: Finished, decision: Decision) -> web.Response:
    """304 for a client that has these very bytes (RFC 9110 section 13.1.2), else packed for one that takes gzip."""
    request[keys.DECISION] = decision
    if (
        answer.tag
        and request.method in SAFE_METHODS
        and is_known(answer.tag, request.headers.getall("If-None-Match", []))
    ):
        return web.Response(status=304, headers=headers_of_304(CIMultiDict(answer.headers)))
    packed = answer.packed if accepts_gzip(request.headers.getall("Accept-Encoding", [])) else None
    response = web.Response(status=answer.status, body=packed or answer.body, headers=answer.headers)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def cache_control(request: ShopRequest) -> str:
    """Other caches ask us each time: what changes, we know best; what is one caller's stays his."""
    return "private, no-cache" if request.caller.tier is Tier.IDENTIFIED else "public, no-cache"


async def stream(request: web.Request, shop_request: ShopRequest, answer: Streamed) -> web.StreamResponse:
    request[keys.DECISION] = answer.decision
    response = web.StreamResponse(status=answer.status)
    _set_headers(response, answer.headers)
    private = shop_request.caller.tier is Tier.IDENTIFIED and not answer.shared
    if private and "no-store" not in response.headers.get("Cache-Control", ""):
        response.headers["Cache-Control"] = cache_control(shop_request)  # Discogs calls everything public
    return await send(request, response, answer.pieces)


async def send(request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Pieces as they come. When their source breaks off, so do we: a short body must not look whole."""
    set_cors(request, response)
    await response.prepare(request)
    try:
        async for piece in pieces:
            await response.write(piece)
    except (ProxyError, DatabaseUnavailable):
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def joined_vary(*values: str) -> str:
    """One Vary header: upstream's names and ours, each once."""
    names = [name.strip() for value in values for name in value.split(",")]
    return ", ".join({name.lower(): name for name in names if name}.values())


def _set_headers(response: web.StreamResponse, headers: tuple[tuple[str, str], ...]) -> None:
    if any(name.lower() == "content-type" for name, _ in headers):
        response.headers.popall("Content-Type", None)
    for name, value in headers:
        response.headers.add(name, value)
