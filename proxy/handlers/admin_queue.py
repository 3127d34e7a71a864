"""`/api/admin/queue`: the releases that wait to be matched, why each does, and those that were given up."""

from __future__ import annotations

from aiohttp import web

from proxy import keys
from proxy.domain.queue import asked_jobs
from proxy.handlers.admin_matches import release_id_of
from proxy.handlers.middleware import json_response


async def listed(request: web.Request) -> web.Response:
    return json_response(await request.app[keys.QUEUE].jobs(asked_jobs(request.query)))


async def requeue(request: web.Request) -> web.Response:
    body = await request.app[keys.QUEUE].requeue(release_id_of(request))
    request[keys.AUDITED] = {"changed": body["changed"]}
    return json_response(body)
