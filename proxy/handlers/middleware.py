"""What every request meets, in this order.

1. `observe`: a request id, the canonical log line, the metrics, and the headers that every answer bears.
2. `own_errors`: whatever goes wrong below becomes `{"message": ...}`.
3. `cors`: preflight requests are answered, answers may be read by browsers (never those of the operators' paths).
4. `operators_only`: who is logged in and what he may do on /api/admin and /admin; a log line for each change.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

import structlog
from aiohttp import web

from proxy import keys
from proxy.adapters.upstream import Trace, Upstream
from proxy.domain.access import READS, SESSION_COOKIE, Caller, Sender, bearer_token, may, objection
from proxy.domain.credentials import masked, without_credentials
from proxy.domain.origins import client_address, cors_headers, preflight_headers, public_origin
from proxy.domain.policy import OWN, Decision, Source, loaded_from
from proxy.domain.resources import NO_STORES, Kind
from proxy.domain.wire import encode_json
from proxy.errors import Forbidden, MethodNotAllowed, ProxyError, Unauthorized
from proxy.services.access import WANTED

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
INVENTORIES = (Kind.INVENTORY.value, "store")
OPERATORS_PATHS = ("/api/admin", "/admin", "/metrics")
LOG_IN = "/admin/login"
OPEN = "/admin/static/"

log = structlog.get_logger()


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=encode_json(body), status=status, headers=headers, content_type="application/json")


def error_response(error: ProxyError) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s + 0.5)))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="discogs-proxy"'
    # The blank after the colon is Discogs' own style; clients read it with a regular expression.
    return web.Response(
        body=b'{"message": ' + encode_json(error.message) + b"}",
        status=error.status,
        headers=headers,
        content_type="application/json",
    )


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = time.perf_counter()
    trace = request[keys.TRACE] = new_trace(request)
    request[keys.DECISION] = OWN
    status: int | str = "aborted"
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        seconds = time.perf_counter() - started
        what = request.get(keys.KIND, "own"), request.get(keys.STORES_ASKED, NO_STORES)
        observed(request.app, request, what, request[keys.DECISION], trace, status, seconds)


def new_trace(request: web.BaseRequest) -> Trace:
    """With the client's X-Request-Id where it is a plain one."""
    given = request.headers.get("X-Request-Id", "")
    return Trace(given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16))


def observed(
    app: web.Application,
    request: web.BaseRequest,
    what: tuple[str, Mapping[str, int]],
    decision: Decision,
    trace: Trace,
    status: int | str,
    seconds: float,
) -> None:
    """The metrics and the canonical log line of a request that was answered.

    `what` was asked for: its kind, and of which stores by how many client calls each.
    """
    (kind, stores), metrics, good = what, app[keys.METRICS], status in (200, 304)
    metrics.answered(kind, decision.source.value, status, seconds, stores)
    if decision.source is not Source.OWN:
        if status == 304:
            stores = dict.fromkeys(stores, 1)  # a client that has the answer would have asked once
        client_calls = sum(stores.values()) or 1
        metrics.served(kind, stores, client_calls, decision.age_s)
        load_s = seconds if good and kind in INVENTORIES else None
        if load_s is not None:
            metrics.loaded(stores, loaded_from(decision), client_calls, load_s)
        app[keys.DEMAND].answered(stores, client_calls, decision, good=good, load_s=load_s)
    if kind == Kind.RELEASE.value:
        app[keys.RELEASES].asked_for(request.rel_url.raw_path)
        if good:
            app[keys.DEMAND].release_answered(request.rel_url.raw_path)
    if not log.is_enabled_for(logging.INFO):
        return
    log.info(
        "request",
        method=request.method,
        path=masked(request.rel_url.raw_path),
        query=masked(without_credentials(request.rel_url.raw_query_string)) or None,
        status=status,
        decision=decision.source.value,
        detail=decision.detail,
        upstream_calls=trace.upstream_calls,
        upstream_ms=round(trace.upstream_ms, 1),
        **({"joined": trace.joined} if trace.joined else {}),
        ms=round(seconds * 1000, 1),
        request_id=trace.request_id,
    )


async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer, streamed ones included."""
    upstream = None if request.path.startswith(OPERATORS_PATHS) else request.app[keys.UPSTREAM]
    decision = request.get(keys.DECISION, OWN)
    response.headers.update(answer_headers(upstream, decision, request.get(keys.TRACE)))
    if decision.source is Source.OWN:
        response.headers.setdefault("Cache-Control", "no-store")


def answer_headers(upstream: Upstream | None, decision: Decision, trace: Trace | None) -> dict[str, str]:
    """What the proxy says of an answer. `upstream` is None where its budget is nobody's business."""
    headers = {"Server": "discogs-proxy", "Cache-Status": decision.cache_status()}
    if trace is not None:
        headers["X-Request-Id"] = trace.request_id
    if decision.age_s is not None:
        headers["Age"] = str(int(decision.age_s))
    if upstream is not None and (limit := upstream.limit):  # without a limit there is nothing to tell
        remaining = upstream.remaining
        headers["X-Discogs-Ratelimit"] = str(limit)
        headers["X-Discogs-Ratelimit-Used"] = str(max(0, limit - remaining))
        headers["X-Discogs-Ratelimit-Remaining"] = str(remaining)
    return headers


@web.middleware
async def own_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProxyError as error:
        return error_response(error)
    except web.HTTPException as error:
        return error_response(_http_error(error))
    except (ConnectionError, TimeoutError):
        raise  # the client has gone
    except Exception:
        log.exception(
            "request failed", path=masked(request.rel_url.raw_path), request_id=request[keys.TRACE].request_id
        )
        return error_response(ProxyError("An error of the proxy's own; its log tells more."))


def _http_error(error: web.HTTPException) -> ProxyError:
    own = ProxyError(f"{error.reason}.")
    own.status = error.status
    return own


@web.middleware
async def cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(OPERATORS_PATHS):
        return await handler(request)
    allowed, origin = request.app[keys.SETTINGS].cors_origins, request.headers.get("Origin")
    if request.method == "OPTIONS" and origin and "Access-Control-Request-Method" in request.headers:
        requested = request.headers.get("Access-Control-Request-Headers")
        return web.Response(status=204, headers=preflight_headers(origin, requested, allowed))
    response = await handler(request)
    if not response.prepared:  # a streamed answer has set them itself
        set_cors(request, response)
    return response


def set_cors(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in cors_headers(request.headers.get("Origin"), request.app[keys.SETTINGS].cors_origins).items():
        if name == "Vary":
            response.headers.add(name, value)
        else:
            response.headers[name] = value


@web.middleware
async def operators_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    path = request.path
    is_page = path == "/admin" or path.startswith("/admin/")
    if not (is_page or path.startswith("/api/admin")) or path.startswith(OPEN):
        return await handler(request)
    if path == LOG_IN:
        _refuse_foreign(request, by_cookie=True)
        return await handler(request)
    try:
        caller = await _caller(request)
    except Unauthorized:
        if is_page and request.method in READS:
            return web.Response(status=303, headers={"Location": f"{LOG_IN}?{urlencode({'next': request.path_qs})}"})
        raise
    request[keys.CALLER] = caller
    if not may(caller, request.method, _pattern(request)):
        raise Forbidden(f"{caller.name} may review matches, and nothing else.")
    return await (handler(request) if request.method in READS else _audited(request, caller, handler))


async def _caller(request: web.Request) -> Caller:
    """Who is logged in, by a token or by the cookie of a session.

    Raises Unauthorized, Forbidden, TooManyRequests, Degraded.
    """
    access = request.app[keys.ACCESS]
    token, cookie = bearer_token(request.headers.get("Authorization")), request.cookies.get(SESSION_COOKIE)
    if token is not None:
        credential = access.by_token(token, client_of(request))
    elif cookie is not None:
        credential = await access.by_session(cookie)
    else:
        raise Unauthorized(WANTED)
    access.admit(credential.caller)
    _refuse_foreign(request, by_cookie=token is None)
    return credential.caller


def _refuse_foreign(request: web.Request, *, by_cookie: bool) -> None:
    """A change that a page not ours asks for. Raises Forbidden."""
    if request.method in READS:
        return
    sender = Sender(
        own=called_origin(request),
        public_url=request.app[keys.SETTINGS].public_url,
        origin=request.headers.get("Origin"),
        fetch_site=request.headers.get("Sec-Fetch-Site"),
        by_cookie=by_cookie,
    )
    if why := objection(sender):
        raise Forbidden(why)


async def _audited(request: web.Request, caller: Caller, handler: Handler) -> web.StreamResponse:
    """The one line that the log keeps of a change: who, what, and what came of it."""
    status: int | str = "failed"
    try:
        response = await handler(request)
        status = response.status
    except ProxyError as error:
        status = error.status
        raise
    else:
        return response
    finally:
        log.info(
            "admin change",
            by=caller.name,
            method=request.method,
            path=masked(request.rel_url.raw_path),
            **request.get(keys.AUDITED, {}),
            status=status,
            client=client_of(request),
            request_id=request[keys.TRACE].request_id,
        )


def client_of(request: web.Request) -> str:
    """The address that limits are for."""
    forwarded = request.headers.getall("X-Forwarded-For", ())
    return client_address(request.remote, forwarded, request.app[keys.SETTINGS].trusted_proxies)


def called_origin(request: web.Request) -> str:
    """The origin by which the client reached us, whatever PUBLIC_URL says."""
    settings, scheme = request.app[keys.SETTINGS], "https" if request.secure else "http"
    trusted, fallback = settings.trusted_proxies, f"{settings.host}:{settings.port}"
    return public_origin(None, scheme, request.headers, request.remote, trusted, fallback)


def _pattern(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


MIDDLEWARES = (observe, cors, own_errors)
"""Around all that may go wrong; `operators_only` follows."""
