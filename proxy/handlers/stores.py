"""The store-shaped paths: `GET /api/stores/{storeId}/inventory`."""

from __future__ import annotations

from aiohttp import web

from proxy import keys
from proxy.domain.paging import requested_page
from proxy.domain.request import Served
from proxy.domain.wire import accepts_gzip
from proxy.errors import NotFound
from proxy.handlers.discogs import audience_of, origin_of, write
from proxy.services.finished import finish
from proxy.setting_values import USERNAME

SOURCE_LINK = '<https://www.discogs.com/>; rel="via"; title="Data provided by Discogs."'
"""The source that the Discogs API terms ask to be named next to the data."""


async def inventory(request: web.Request) -> web.Response:
    request[keys.KIND] = "store"
    answer = await request.app[keys.STORES].inventory(
        username_of(request),
        requested_page(request.query),
        audience_of(request),
        origin_of(request),
        request[keys.TRACE],
    )
    headers = (
        ("Content-Type", "application/json"),
        ("Link", SOURCE_LINK),
        ("Cache-Control", "public, no-cache" if answer.complete else "no-store"),
        ("Vary", "Accept-Encoding"),
    )
    made = Served(200, headers, answer.body, answer.decision)
    pack = accepts_gzip(request.headers.getall("Accept-Encoding", []))
    return write(request, await finish(made, pack=pack), answer.decision)


def username_of(request: web.Request) -> str:
    """The store that an alias or a username names, in lower case. Raises NotFound for what can be neither."""
    store_id = request.match_info["store"]
    aliases = {each.alias.lower(): each.username for each in request.app[keys.SETTINGS].stores}
    username = aliases.get(store_id.lower(), store_id)
    if not (USERNAME.fullmatch(username) and username.isprintable() and username not in (".", "..")):
        raise NotFound("There is no store of that name.")
    return username.lower()
