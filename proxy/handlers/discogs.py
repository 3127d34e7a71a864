"""The Discogs-shaped paths: reads the request, lets the service of its resource answer, writes the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from proxy import keys
from proxy.domain.merge import Audience
from proxy.domain.origins import public_origin
from proxy.domain.request import Served, ShopRequest, Streamed, split_target
from proxy.domain.resources import Kind, resource_of
from proxy.domain.validators import entity_tag, headers_of_304, is_known
from proxy.domain.visibility import SAFE_METHODS, Refuse, Tier, caller_of, plan
from proxy.errors import BadRequest, ProxyError, Unauthorized
from proxy.handlers.middleware import set_cors

REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
COMPRESS_FROM_BYTES = 1024


class MethodNotAllowed(ProxyError):
    status = 405


async def discogs(request: web.Request) -> web.StreamResponse:
    shop_request = read_request(request)
    request[keys.KIND] = shop_request.resource.kind.value
    trace, audience = request[keys.TRACE], audience_of(request)
    safe = shop_request.method in SAFE_METHODS
    match shop_request.resource:
        case resource if safe and resource.kind is Kind.RELEASE and resource.release_id:
            answer = await request.app[keys.RELEASES].serve(shop_request, resource.release_id, audience, trace)
            return write(request, shop_request, answer)
        case resource if safe and resource.kind is Kind.INVENTORY and resource.username:
            answer = await request.app[keys.INVENTORY].serve(shop_request, resource.username, audience, trace)
            return write(request, shop_request, answer)
        case _:
            return await pass_through(request, shop_request)


async def pass_through(request: web.Request, shop_request: ShopRequest) -> web.StreamResponse:
    async with request.app[keys.PASSTHROUGH].serve(shop_request, request[keys.TRACE]) as answer:
        if isinstance(answer, Streamed):
            return await stream(request, answer)
        return write(request, shop_request, answer)


def read_request(request: web.Request) -> ShopRequest:
    """Raises BadRequest, Unauthorized."""
    if request.method in REFUSED_METHODS:
        raise MethodNotAllowed(f"Method {request.method} is not allowed for this resource.")
    raw_path, raw_query = split_target(request.raw_path)
    resource = resource_of(raw_path)
    operator = request.app[keys.UPSTREAM].operator
    caller = caller_of(
        request.headers.getall("Authorization", []), raw_query, operator.token if operator is not None else None
    )
    decided = plan(request.method, resource, caller, operator, raw_query)
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
    least = request.query.get("min_confidence", "0")
    try:
        min_confidence = float(least)
    except ValueError:
        min_confidence = -1.0
    if not 0 <= min_confidence <= 100:
        raise BadRequest("min_confidence must be a number from 0 to 100.")
    pending_from = settings.cache_persistence_threshold if settings.audio_visible == "all" else None
    return Audience(pending_from, min_confidence)


def write(request: web.Request, shop_request: ShopRequest, answer: Served) -> web.Response:
    request[keys.DECISION] = answer.decision
    response = web.Response(status=answer.status, body=answer.body)
    _set_headers(response, answer.headers)
    response.headers["Cache-Control"] = cache_control(shop_request)
    _vary(response, "Accept-Encoding", "Authorization")
    return revalidated(request, response) if answer.status == 200 else response


def revalidated(request: web.Request, response: web.Response) -> web.Response:
    """With an ETag; 304 for a client that has these very bytes (RFC 9110 section 13.1.2), else packed if that pays."""
    body = response.body if isinstance(response.body, bytes) else b""
    tag = entity_tag(body)
    response.headers["ETag"] = tag
    if request.method in SAFE_METHODS and is_known(tag, request.headers.getall("If-None-Match", [])):
        return web.Response(status=304, headers=headers_of_304(response.headers))
    if len(body) >= COMPRESS_FROM_BYTES:
        response.enable_compression()
    return response


def cache_control(request: ShopRequest) -> str:
    """Other caches ask us each time: what changes, we know best; what is one caller's stays his."""
    return "private, no-cache" if request.caller.tier is Tier.IDENTIFIED else "public, no-cache"


async def stream(request: web.Request, answer: Streamed) -> web.StreamResponse:
    """Pieces as they come. When upstream breaks off, so do we: a short body must not look whole."""
    request[keys.DECISION] = answer.decision
    response = web.StreamResponse(status=answer.status)
    _set_headers(response, answer.headers)
    set_cors(request, response)
    await response.prepare(request)
    try:
        async for piece in answer.pieces:
            await response.write(piece)
    except ProxyError:
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _vary(response: web.StreamResponse, *names: str) -> None:
    """One Vary header: upstream's names and ours, each once."""
    theirs = [name.strip() for value in response.headers.popall("Vary", []) for name in value.split(",")]
    response.headers["Vary"] = ", ".join({name.lower(): name for name in (*theirs, *names) if name}.values())


def _set_headers(response: web.StreamResponse, headers: tuple[tuple[str, str], ...]) -> None:
    if any(name.lower() == "content-type" for name, _ in headers):
        response.headers.popall("Content-Type", None)
    for name, value in headers:
        response.headers.add(name, value)
