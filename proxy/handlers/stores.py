"""The store-shaped paths: `GET /api/stores/{storeId}/inventory` and `GET /api/feed`."""

from __future__ import annotations

from aiohttp import web

from proxy import keys
from proxy.domain.counting import client_calls_of
from proxy.domain.paging import PER_PAGE_MAX, requested_page
from proxy.domain.request import Served
from proxy.domain.store_query import requested, requested_feed
from proxy.domain.wire import accepts_gzip
from proxy.errors import NotFound
from proxy.handlers.discogs import audience_of, origin_of, send, write
from proxy.services.finished import finish, packed
from proxy.services.stores import Asked, StoreAnswer
from proxy.setting_values import USERNAME

SOURCE_LINK = '<https://www.discogs.com/>; rel="via"; title="Data provided by Discogs."'
"""The source that the Discogs API terms ask to be named next to the data."""


async def inventory(request: web.Request) -> web.StreamResponse:
    request[keys.KIND] = "store"
    asked = Asked(
        username_of(request, request.match_info["store"]),
        requested(request.query),
        requested_page(request.query),
        audience_of(request),
        origin_of(request),
    )
    return await _write(request, await request.app[keys.STORES].inventory(asked, request[keys.TRACE]))


async def feed(request: web.Request) -> web.StreamResponse:
    request[keys.KIND] = "feed"
    query = requested_feed(request.query)
    usernames = dict.fromkeys(username_of(request, each) for each in query.stores)
    answer = await request.app[keys.STORES].feed(
        list(usernames), query, audience_of(request), origin_of(request), request[keys.TRACE]
    )
    return await _write(request, answer)


async def _write(request: web.Request, answer: StoreAnswer) -> web.StreamResponse:
    headers = (
        ("Content-Type", "application/json"),
        ("Link", SOURCE_LINK),
        ("Cache-Control", "public, no-cache" if answer.complete else "no-store"),
        ("Vary", "Accept-Encoding"),
    )
    request[keys.STORES_ASKED] = {
        username: client_calls_of(listings, PER_PAGE_MAX) for username, listings in answer.listings.items()
    }
    pack = accepts_gzip(request.headers.getall("Accept-Encoding", []))
    if isinstance(answer.body, bytes):
        made = Served(200, headers, answer.body, answer.decision)
        return write(request, await finish(made, pack=pack), answer.decision)
    request[keys.DECISION] = answer.decision
    response = web.StreamResponse(headers=dict(headers))
    if pack:
        response.headers["Content-Encoding"] = "gzip"
    if request.method == "HEAD":
        return response
    return await send(request, response, packed(answer.body) if pack else answer.body)


def username_of(request: web.Request, store_id: str) -> str:
    """The store that an alias or a username names, in lower case. Raises NotFound for what can be neither."""
    aliases = {each.alias.lower(): each.username for each in request.app[keys.SETTINGS].stores}
    username = aliases.get(store_id.lower(), store_id)
    if not (USERNAME.fullmatch(username) and username.isprintable() and username not in (".", "..")):
        raise NotFound("There is no store of that name.")
    return username.lower()
