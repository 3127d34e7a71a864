"""The admin API: changes that an operator makes, behind the bearer token."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from matcher.migration import migrate
from matcher.queue_view import claimable
from proxy import keys
from proxy.adapters.tracking import HOURS_KEPT
from proxy.domain.asked import whole_number
from proxy.domain.purge import Purge, PurgeStore, parse_purge
from proxy.domain.wire import BrokenBody, decode_json
from proxy.errors import BadRequest
from proxy.handlers.admin_stores import username_from
from proxy.handlers.middleware import json_response
from proxy.services.needed import needs_the_database

DRAIN_S = 25.0
"""What one call of process-queue takes at most: shorter than the time-outs of common front servers."""

LIMIT_MAX = 1000


async def process_queue(request: web.Request) -> web.Response:
    """Drain a part of the queue now; to be called again while `remaining` is above 0: so many could be claimed at once.

    What others are at, and what is parked for later, is not among them; what only waits for budget is, and a call
    waits for that as long as it may.
    """
    matcher = request.app[keys.MATCHER]
    limit = await _limit(request, request.app[keys.SETTINGS].audio_matching_batch_size)
    with needs_the_database():
        report = await matcher.drain(limit, DRAIN_S)
        async with matcher.database.connection() as connection:
            remaining = await claimable(connection)
    return json_response(
        {
            "processed": report.processed,
            "cached": report.cached,
            "unmatched": report.unmatched,
            "failed": report.failed,
            "parked": report.parked,
            "remaining": remaining,
        }
    )


async def _limit(request: web.Request, default: int) -> int:
    """`limit` from the query or a JSON body. Raises BadRequest."""
    given: object = request.query.get("limit", default)
    if request.can_read_body and (body := await request.read()).strip():
        given = json_object(body).get("limit", given)
    number = int(given) if isinstance(given, str) and re.fullmatch("[0-9]{1,9}", given) else given
    if type(number) is not int or not 1 <= number <= LIMIT_MAX:
        raise BadRequest(f"limit must be a whole number from 1 to {LIMIT_MAX}.")
    return number


def json_object(body: bytes) -> dict[str, object]:
    """Raises BadRequest."""
    try:
        parsed = decode_json(body)
    except BrokenBody as error:
        raise BadRequest(f"The body must be a JSON object: {error}.") from None
    if not isinstance(parsed, dict):
        raise BadRequest("The body must be a JSON object.")
    return parsed


async def metrics(request: web.Request) -> web.Response:
    """What the proxy saved, of each store and altogether, in the last `hours`."""
    hours = whole_number(request.query.get("hours", "24"), "hours", HOURS_KEPT, least=1)
    with needs_the_database():
        return json_response(await request.app[keys.NUMBERS].read(hours))


async def purge(request: web.Request) -> web.Response:
    """Drop what is kept of a release, a store or a path; softly (the default) it still serves while Discogs fails."""
    asked = json_object(await request.read())
    what, soft = purge_of(request, asked)
    dropped = await request.app[keys.PURGE].purge(what, soft=soft)
    request[keys.AUDITED] = {"what": asked, "dropped": dropped}
    return json_response({"soft": soft, "dropped": dropped})


def purge_of(request: web.Request, asked: Mapping[str, object]) -> tuple[Purge, bool]:
    """What, and whether softly; a store by its username or alias. Raises BadRequest."""
    what, soft = parse_purge(asked)
    return (PurgeStore(username_from(request, what.username)) if isinstance(what, PurgeStore) else what), soft


async def migrate_inventory_system(request: web.Request) -> web.Response:
    """Adopt the matches of the old system; may be called any number of times."""
    with needs_the_database():
        report = await migrate(request.app[keys.DATABASE])
    request.app[keys.MATCHER].wake()
    request[keys.AUDITED] = {"newly_queued": report.newly_queued}
    return json_response(report.as_json())
