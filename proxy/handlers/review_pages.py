"""The pages on which matches are reviewed, and what their forms do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from matcher.models import Action
from proxy import keys
from proxy.domain.asked import ID_MAX, release_id_from, whole_number
from proxy.domain.review import INDEX_MAX, own_url
from proxy.domain.review_pages import Did, Tab, asked_releases, did_from, ids_from, place_from, seen_from
from proxy.errors import ProxyError
from proxy.handlers.pages import Handler, form_of, page, see
from proxy.services.review import EACH_MATCH, ReleaseAction


async def first(_: web.Request) -> web.Response:
    return see("/admin/review")


async def review(request: web.Request) -> web.Response:
    asked = asked_releases(request.query)
    found = await request.app[keys.REVIEW_PAGES].listed(asked, request[keys.CALLER])
    return page(request, "review.html", tabs=list(Tab), asked=asked, found=found, **await _notice(request))


async def release(request: web.Request) -> web.Response:
    return await _release(request, _release_id(request), request.query.get("at"))


async def following(request: web.Request) -> web.Response:
    """The next pending release, else the list."""
    at, but = place_from(request.query.get("at")), request.query.get("but")
    skipped = release_id_from(but) if but else None
    found = await request.app[keys.REVIEW_PAGES].following(at, request[keys.CALLER], skipped)
    return see(f"/admin/releases/{found.release_id}" if found else "/admin/review")


async def _release(
    request: web.Request, release_id: int, at: str | None, error: ProxyError | None = None
) -> web.Response:
    found = await request.app[keys.REVIEW_PAGES].release(release_id, place_from(at), request[keys.CALLER])
    return page(
        request,
        "release.html",
        error,
        page=found,
        **await _notice(request),
    )


async def _notice(request: web.Request) -> dict[str, Any]:
    """What was decided just now, to be undone, and from which place in the list."""
    did = did_from(request.query.get("did"))
    told = await request.app[keys.REVIEW_PAGES].told(did, request[keys.CALLER]) if str(did) else None
    return {"told": told, "was": request.query.get("was", "")}


# --- forms --------------------------------------------------------------------------------------------------------


def decides(action: Action) -> Handler:
    """The handler of one kind of decision; deciding twice is deciding once."""

    async def decide(request: web.Request) -> web.Response:
        match_id = whole_number(request.match_info["match"], "The id of a match", ID_MAX, least=1)
        form, caller = await form_of(request), request[keys.CALLER]
        release_id = release_id_from(form.get("release", ""))
        seen = seen_from(form.get("seen"))
        try:
            body = await request.app[keys.REVIEW].decide(action, match_id, caller.name, caller, seen)
        except ProxyError as error:
            return await _release(request, release_id, form.get("at"), error)
        request[keys.AUDITED] = {"decided_by": caller.name, "changed": body["changed"]}
        return await _go_on(request, release_id, form, Did((match_id,)), stays=action is Action.UNDO)

    return decide


def decides_release(action: ReleaseAction) -> Handler:
    """The same of a release as a whole."""

    async def decide(request: web.Request) -> web.Response:
        release_id, form, caller = _release_id(request), await form_of(request), request[keys.CALLER]
        try:
            body = await request.app[keys.REVIEW].decide_release(
                action, release_id, caller.name, caller, seen_from(form.get("seen"))
            )
        except ProxyError as error:
            return await _release(request, release_id, form.get("at"), error)
        request[keys.AUDITED] = {"decided_by": caller.name, "changed": body["changed"]}
        changed = body["matches"] if action in EACH_MATCH else None
        ids = tuple(each["id"] for each in changed) if isinstance(changed, list) else ()
        did = Did(ids) if action in EACH_MATCH else Did(release_id=release_id)
        return await _go_on(request, release_id, form, did, stays=action is ReleaseAction.UNDO_NO_AUDIO)

    return decide


async def undo_all(request: web.Request) -> web.Response:
    """What was decided of a release at once."""
    release_id, form, caller = _release_id(request), await form_of(request), request[keys.CALLER]
    ids = ids_from(form.get("matches", ""))
    try:
        body = await request.app[keys.REVIEW].undo_all(ids, caller.name, caller, seen_from(form.get("seen")))
    except ProxyError as error:
        return await _release(request, release_id, form.get("at"), error)
    request[keys.AUDITED] = {"decided_by": caller.name, "changed": body["changed"]}
    return await _go_on(request, release_id, form, Did(ids), stays=True)


async def set_url(request: web.Request) -> web.Response:
    release_id, form, caller = _release_id(request), await form_of(request), request[keys.CALLER]
    track_index = whole_number(request.match_info["track"], "The index of a track", INDEX_MAX)
    sub_index = form.get("sub_index")
    try:
        asked: dict[str, object] = {"url": form.get("url", "").strip()}
        if sub_index:
            asked["sub_index"] = whole_number(sub_index, "sub_index", INDEX_MAX)
        own = own_url(asked, caller)
        body = await request.app[keys.REVIEW].set_url(release_id, track_index, own, caller, seen_from(form.get("seen")))
    except ProxyError as error:
        return await _release(request, release_id, form.get("at"), error)
    request[keys.AUDITED] = {"decided_by": own.by, "url": own.playable[1], "changed": body["changed"]}
    match = body["match"]
    did = Did((match["id"],)) if isinstance(match, dict) else Did()
    return await _go_on(request, release_id, form, did, stays=False)


async def _go_on(
    request: web.Request, release_id: int, form: Mapping[str, str], did: Did, *, stays: bool
) -> web.Response:
    """To the same release; when its last pending match was decided just now, to the next one that has any."""
    pages, at = request.app[keys.REVIEW_PAGES], form.get("at", "")
    told = {"did": str(did)} if str(did) else {}
    had_pending = form.get("pending", "0") != "0"
    if stays or not had_pending or await pages.pending_of(release_id):
        return see(f"/admin/releases/{release_id}?{urlencode(told | {'at': at, 'was': at})}")
    found = await pages.following(place_from(at), request[keys.CALLER], release_id)
    path = f"/admin/releases/{found.release_id}" if found else "/admin/review"
    return see(f"{path}?{urlencode(told | {'was': at})}")


def _release_id(request: web.Request) -> int:
    return release_id_from(request.match_info["release"])
