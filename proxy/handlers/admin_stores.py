"""`/api/admin/stores`: which stores are kept true, how far that is, and how an operator changes it."""

from __future__ import annotations

from aiohttp import web

from proxy import keys
from proxy.domain.known_stores import asked_stores
from proxy.errors import BadRequest, NotFound
from proxy.handlers.middleware import json_response
from proxy.handlers.stores import username_of
from proxy.services.needed import needs_the_database
from proxy.services.store_admin import Report

SYNC_S = 25.0
"""What one call takes at most: shorter than the time-outs of common front servers."""


async def listed(request: web.Request) -> web.Response:
    with needs_the_database():
        return json_response(await request.app[keys.STORE_ADMIN].listed(asked_stores(request.query)))


async def add(request: web.Request) -> web.Response:
    """200 for a store that can be shown as a whole already, 202 while it is read."""
    username = _username(request)
    with needs_the_database():
        report = await request.app[keys.STORE_ADMIN].add(username, request[keys.TRACE].request_id)
    return _reported(report)


async def remove(request: web.Request) -> web.Response:
    username = _username(request)
    with needs_the_database():
        await request.app[keys.STORE_ADMIN].remove(username)
    return web.Response(status=204)


async def sync(request: web.Request) -> web.Response:
    """200 with what was found; 202 where it takes longer, as the first sweep of a long store does."""
    username = _username(request)
    with needs_the_database():
        return _reported(await request.app[keys.STORE_ADMIN].sync(username, request[keys.TRACE].request_id, SYNC_S))


async def pause(request: web.Request) -> web.Response:
    return await _paused(request, paused=True)


async def resume(request: web.Request) -> web.Response:
    return await _paused(request, paused=False)


async def _paused(request: web.Request, *, paused: bool) -> web.Response:
    with needs_the_database():
        return json_response(await request.app[keys.STORE_ADMIN].pause(_username(request), paused=paused))


async def hide(request: web.Request) -> web.Response:
    """Of a record that was sold elsewhere: nobody sees it any more; asking twice is asking once."""
    username, listing_id = _username(request), _listing_id(request)
    with needs_the_database():
        body = await request.app[keys.STORE_ADMIN].hide(username, listing_id)
    return json_response(body)


def _listing_id(request: web.Request) -> int:
    """Raises BadRequest."""
    said = request.match_info["listing"]
    if not (said.isascii() and said.isdecimal() and len(said) < 19):
        raise BadRequest(f"{said!r} cannot be the id of a listing.")
    return int(said)


def _username(request: web.Request) -> str:
    """In lower case. Raises BadRequest."""
    return username_from(request, request.match_info["store"])


def username_from(request: web.Request, named: str) -> str:
    """In lower case. Raises BadRequest."""
    try:
        return username_of(request, named)
    except NotFound:
        raise BadRequest(f"{named[:100]!r} cannot be a username of Discogs.") from None


def _reported(report: Report) -> web.Response:
    return json_response(report.body, 200 if report.is_done else 202)
