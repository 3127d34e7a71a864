"""For operators and their tools: /healthz, /readyz, /metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from matcher import links_store, queue_store
from matcher.database import Connection
from matcher.domain.quota import LIMITS, Daily
from matcher.errors import DatabaseUnavailable
from matcher.quota_store import left_today
from proxy import keys
from proxy.adapters import siblings, tracking
from proxy.adapters.database import is_read_only
from proxy.adapters.metrics import Metrics
from proxy.domain.exposition import together
from proxy.handlers.middleware import json_response

REASONS = ("credential", "discogs", "budget", "database", "stores", "providers", "webhooks")
"""Always told, so that an alert can see them end; a background task that died bears its own name."""


async def healthz(_: web.Request) -> web.Response:
    """The process lives and its event loop turns."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 while shoppers can be served, with what is degraded and why: reads go on without the database."""
    found = await degraded(request.app) | await degraded_elsewhere(request.app)
    return json_response({"status": "degraded" if found else "ready", "degraded": found})


async def degraded_elsewhere(app: web.Application) -> dict[str, str]:
    """By the processes that share the port: what they tell, and who of them tells nothing."""
    if keys.SIBLINGS not in app:
        return {}
    found: dict[str, str] = {}
    for number, told in (await app[keys.SIBLINGS].ask(siblings.DEGRADED)).items():
        found |= {f"worker {number}": "does not answer"} if told is None else json.loads(told)
    return found


async def degraded(app: web.Application) -> dict[str, str]:
    """What is degraded now and why, by name."""
    found = app[keys.HEALTH].degraded | app[keys.UPSTREAM].troubles() | app[keys.FAILING_PROVIDERS].troubles()
    try:
        async with app[keys.DATABASE].connection() as connection:
            read_only = await is_read_only(connection)
            gone = await tracking.gone(connection, app[keys.SCHEDULER].named)
        if gone:
            found["stores"] = f"Discogs has no user {', '.join(gone)}: tried hourly; see STORES, /api/admin/stores"
        if read_only:
            found["database"] = "read-only: no enrichment, nothing is recorded"
    except DatabaseUnavailable as error:
        found["database"] = f"away: no enrichment, nothing is recorded ({error})"
    return found


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format, of all processes that share the port."""
    body = await exposed(request.app)
    if keys.SIBLINGS in request.app:
        others = request.app[keys.SIBLINGS]
        told = {others.own: body} | await others.ask(siblings.METRICS)
        body = together({str(number): text.decode() for number, text in sorted(told.items()) if text}).encode()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def exposed(app: web.Application) -> bytes:
    """Of this process. The queue is counted now, the rest as it happened."""
    measured = app[keys.METRICS]
    try:
        async with app[keys.DATABASE].connection() as connection:
            await measure_queue(connection, measured)
            await measure_links(connection, measured)
            await measure_quotas(connection, measured, app[keys.SETTINGS].audio_providers)
    except DatabaseUnavailable:
        for metric in (
            *(measured.queue, measured.queue_age, measured.provider_quota),
            *(measured.links_hidden, measured.links_overdue),
        ):
            metric.clear()
        measured.queue_parked.set(float("nan"))
    reasons = await degraded(app)
    measured.degraded.clear()
    for reason in (*REASONS, *reasons):
        measured.degraded.labels(reason).set(reason in reasons)
    measured.upstream_remaining.set(app[keys.UPSTREAM].remaining)
    measured.upstream_limit.set(app[keys.UPSTREAM].limit)
    for state, connections in app[keys.DATABASE].connections()._asdict().items():
        measured.database_connections.labels(state).set(connections)
    for task, restarts in app[keys.HEALTH].restarts.items():
        measured.restarts.labels(task).set(restarts)
    return generate_latest(measured.registry)


def siblings_app(app: web.Application) -> web.Application:
    """What the other processes ask this one, by a socket of its own."""

    async def own_metrics(_: web.Request) -> web.Response:
        return web.Response(body=await exposed(app))

    async def own_degraded(_: web.Request) -> web.Response:
        return json_response(await degraded(app))

    asked = web.Application()
    asked.add_routes([web.get(siblings.METRICS, own_metrics), web.get(siblings.DEGRADED, own_degraded)])
    return asked


async def measure_queue(connection: Connection, measured: Metrics) -> None:
    ages = await queue_store.ages(connection)
    for status, count in (await queue_store.counts(connection)).items():
        measured.queue.labels(status.value).set(count)
        measured.queue_age.labels(status.value).set(ages.oldest_s[status])
    measured.queue_parked.set(ages.parked)


async def measure_links(connection: Connection, measured: Metrics) -> None:
    for platform, links in (await links_store.counts(connection, datetime.now(UTC))).items():
        measured.links_hidden.labels(platform).set(links.hidden)
        measured.links_overdue.labels(platform).set(links.overdue)


async def measure_quotas(connection: Connection, measured: Metrics, providers: Sequence[str]) -> None:
    """Of those that allow so many calls a day."""
    limits = {name: LIMITS.get(name, ()) for name in providers}
    for of, left in (await left_today(connection, limits)).items():
        measured.provider_quota.labels(*of).set(left)
    for name, of_provider in limits.items():
        for limit in of_provider:
            if isinstance(limit, Daily):
                measured.provider_quota_limit.labels(name, limit.name).set(limit.calls)
