"""`/api/admin/matches`: what was found, for a person to approve, reject or replace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from matcher.models import Action
from proxy import keys
from proxy.domain.asked import ID_MAX, release_id_from, whole_number
from proxy.domain.review import INDEX_MAX, asked_decisions, asked_matches, decider, own_url
from proxy.handlers.admin import json_object
from proxy.handlers.middleware import json_response
from proxy.services.review import ReleaseAction


async def listed(request: web.Request) -> web.Response:
    return json_response(await request.app[keys.REVIEW].matches(asked_matches(request.query), request[keys.CALLER]))


def decides(action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of one kind of decision; deciding twice is deciding once."""

    async def handler(request: web.Request) -> web.Response:
        match_id = whole_number(request.match_info["match"], "The id of a match", ID_MAX, least=1)
        by = decider(request[keys.CALLER], await _asked(request))
        body = await request.app[keys.REVIEW].decide(action, match_id, by, request[keys.CALLER])
        request[keys.AUDITED] = {"decided_by": by, "changed": body["changed"]}
        return json_response(body)

    return handler


async def set_url(request: web.Request) -> web.Response:
    release_id = release_id_of(request)
    track_index = whole_number(request.match_info["track"], "The index of a track", INDEX_MAX)
    own = own_url(await _asked(request), request[keys.CALLER])
    body = await request.app[keys.REVIEW].set_url(release_id, track_index, own, request[keys.CALLER])
    request[keys.AUDITED] = {"decided_by": own.by, "url": own.playable[1], "changed": body["changed"]}
    return json_response(body)


def decides_release(action: ReleaseAction) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of one kind of decision of a whole release; deciding twice is deciding once."""

    async def handler(request: web.Request) -> web.Response:
        release_id, caller = release_id_of(request), request[keys.CALLER]
        by = decider(caller, await _asked(request))
        body = await request.app[keys.REVIEW].decide_release(action, release_id, by, caller)
        request[keys.AUDITED] = {"decided_by": by, "changed": body["changed"]}
        return json_response(body)

    return handler


async def history(request: web.Request) -> web.Response:
    asked = asked_decisions(request.query, release_id_of(request))
    return json_response(await request.app[keys.REVIEW].history(asked, request[keys.CALLER]))


def release_id_of(request: web.Request) -> int:
    return release_id_from(request.match_info["release"])


async def _asked(request: web.Request) -> dict[str, object]:
    """The JSON body; none at all is an empty one."""
    body = await request.read()
    return json_object(body) if body.strip() else {}
