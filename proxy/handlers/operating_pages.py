"""The pages on stores, queue, cache and budget, and what their forms do: the same services as the JSON admin API."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from proxy import keys
from proxy.adapters.tracking import HOURS_KEPT
from proxy.domain.asked import release_id_from, whole_number
from proxy.domain.budget import Lane
from proxy.domain.known_stores import asked_stores
from proxy.domain.queue import asked_jobs
from proxy.domain.review_pages import local_path
from proxy.errors import BadRequest, ProxyError
from proxy.handlers.admin import purge_of
from proxy.handlers.admin_stores import SYNC_S, username_from
from proxy.handlers.middleware import json_response
from proxy.handlers.pages import Handler, form_of, page, see
from proxy.services.needed import TRY_AGAIN, needs_the_database
from proxy.services.store_admin import StoreAdmin

LANES = {
    Lane.SHOPPER: "somebody waits for the answer",
    Lane.CHECK: "has anything been sold or added?",
    Lane.SWEEP: "reading a whole store",
    Lane.MATCHING: "releases to find audio for",
    Lane.REFRESH: "renewing ahead of need",
}

SPANS_H = (1, 24, HOURS_KEPT)
"""Hours of which the cache page tells."""


def _see_again(form: Mapping[str, str], otherwise: str, **did: str) -> web.Response:
    """The page that the form was on, to be told there what it did."""
    path = local_path(form.get("path") or otherwise)
    return see(f"{path}{'&' if '?' in path else '?'}{urlencode(did)}")


# --- stores -------------------------------------------------------------------------------------------------------


async def stores(request: web.Request) -> web.Response:
    return await _stores(request, request.query)


async def _stores(request: web.Request, query: Mapping[str, str], error: ProxyError | None = None) -> web.Response:
    asked = asked_stores(query)
    with needs_the_database():
        found = await request.app[keys.STORE_ADMIN].listed(asked)
    return page(
        request,
        "stores.html",
        error,
        found=found,
        path=f"/admin/stores?{urlencode({'cursor': query['cursor']})}" if asked.after else "/admin/stores",
        said=_said_of_store(query.get("did", ""), query.get("store", "")),
    )


STORE_SAYINGS = {
    "add": "{} is tracked now: it is read in the background.",
    "sync": "{} was checked.",
    "syncing": "{} is being checked; that takes a while.",
    "pause": "{} is paused: it is checked only when somebody asks for it.",
    "resume": "{} is checked by schedule again.",
    "remove": "{} is forgotten.",
}


def _said_of_store(did: str, username: str) -> str | None:
    return STORE_SAYINGS[did].format(username[:100]) if did in STORE_SAYINGS else None


async def add_store(request: web.Request) -> web.Response:
    form = await form_of(request)
    return await _with_store(request, form, form.get("username", "").strip(), "add")


def changes_store(action: str) -> Handler:
    async def change(request: web.Request) -> web.Response:
        return await _with_store(request, await form_of(request), request.match_info["store"], action)

    return change


async def _with_store(request: web.Request, form: Mapping[str, str], name: str, action: str) -> web.Response:
    try:
        username = username_from(request, name)
        with needs_the_database():
            did = await _act(request.app[keys.STORE_ADMIN], action, username, request[keys.TRACE].request_id)
    except ProxyError as error:
        return await _stores(request, {}, error)
    return _see_again(form, "/admin/stores", did=did, store=username)


async def _act(admin: StoreAdmin, action: str, username: str, request_id: str) -> str:
    """What to say of it. Raises ProxyError, DatabaseUnavailable."""
    match action:
        case "add":
            await admin.add(username, request_id)
        case "sync":
            report = await admin.sync(username, request_id, SYNC_S)
            return "sync" if report.is_done else "syncing"
        case "remove":
            await admin.remove(username)
        case _:
            await admin.pause(username, paused=action == "pause")
    return action


# --- the queue ----------------------------------------------------------------------------------------------------


async def queue(request: web.Request) -> web.Response:
    return await _queue(request, request.query)


async def _queue(request: web.Request, query: Mapping[str, str], error: ProxyError | None = None) -> web.Response:
    asked = asked_jobs({"limit": "30", **query})
    found = await request.app[keys.QUEUE].jobs(asked)
    chosen = asked.state.value
    requeued = query.get("did")
    return page(
        request,
        "queue.html",
        error,
        found=found,
        chosen=chosen,
        path=f"/admin/queue?{urlencode({'status': chosen})}",
        said=f"Release {release_id_from(requeued)} is matched next." if requeued else None,
    )


async def requeue(request: web.Request) -> web.Response:
    release_id, form = release_id_from(request.match_info["release"]), await form_of(request)
    try:
        body = await request.app[keys.QUEUE].requeue(release_id)
    except ProxyError as error:
        return await _queue(request, {}, error)
    request[keys.AUDITED] = {"changed": body["changed"]}
    return _see_again(form, "/admin/queue?status=failed", did=str(release_id))


# --- the cache ----------------------------------------------------------------------------------------------------


async def cache(request: web.Request) -> web.Response:
    return await _cache(request)


async def _cache(
    request: web.Request, dropped: Mapping[str, int] | None = None, error: ProxyError | None = None
) -> web.Response:
    hours = whole_number(request.query.get("hours", "24"), "hours", HOURS_KEPT, least=1)
    with needs_the_database(TRY_AGAIN):
        found = await request.app[keys.NUMBERS].read(hours)
    return page(
        request,
        "cache.html",
        error,
        found=found,
        hours=hours,
        spans=SPANS_H,
        said=_said_of_purge(dropped),
    )


def _said_of_purge(dropped: Mapping[str, int] | None) -> str | None:
    if dropped is None:
        return None
    told = ", ".join(f"{count} {what}" for what, count in dropped.items() if count)
    return f"Dropped: {told}." if told else "Nothing was kept of it."


async def purge(request: web.Request) -> web.Response:
    """Shown at once: what was dropped cannot be told from the caches afterwards."""
    form = await form_of(request)
    try:
        what, soft = purge_of(request, _asked_purge(form))
        dropped = await request.app[keys.PURGE].purge(what, soft=soft)
    except ProxyError as error:
        return await _cache(request, error=error)
    request[keys.AUDITED] = {"what": form.get("what"), "soft": soft, "dropped": dropped}
    return await _cache(request, dropped)


def _asked_purge(form: Mapping[str, str]) -> dict[str, object]:
    """As the JSON API is asked. Raises BadRequest."""
    kind, what = form.get("kind", ""), form.get("what", "").strip()
    soft = "hard" not in form
    if kind == "release":
        return {"release": release_id_from(what), "soft": soft}
    if kind not in ("store", "path"):
        raise BadRequest("What is to be purged must be a release, a store or a path.")
    return {kind: what, "soft": soft}


# --- the budget ---------------------------------------------------------------------------------------------------


async def budget(request: web.Request) -> web.Response:
    troubles = request.app[keys.UPSTREAM].troubles()
    return page(request, "budget.html", found=await _figures(request), lanes=LANES, troubles=troubles)


async def budget_figures(request: web.Request) -> web.Response:
    return json_response(await _figures(request), headers={"Cache-Control": "no-store"})


async def _figures(request: web.Request) -> dict[str, int]:
    upstream = request.app[keys.UPSTREAM]
    await upstream.lanes.look()
    figures = {"limit": upstream.limit, "remaining": upstream.remaining}
    for lane, (calls, waiting) in upstream.lanes.by_lane().items():
        figures |= {f"{lane}_calls": calls, f"{lane}_waiting": waiting}
    return figures
