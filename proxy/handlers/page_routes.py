"""All routes of the operator's page."""

from __future__ import annotations

from aiohttp import web

from matcher.models import Action
from proxy.handlers import operating_pages, pages, review_pages
from proxy.handlers.pages import Handler, with_error_page
from proxy.services.review import ReleaseAction

OF_RELEASES = {
    "approve": ReleaseAction.APPROVE,
    "reject": ReleaseAction.REJECT,
    "no-audio": ReleaseAction.NO_AUDIO,
    "undo-no-audio": ReleaseAction.UNDO_NO_AUDIO,
}
OF_STORES = ("sync", "pause", "resume", "remove")
REVIEWED = (Action.APPROVE, Action.REJECT, Action.UNDO)


def _get(path: str, handler: Handler) -> web.RouteDef:
    return web.get(path, with_error_page(handler))


def _post(path: str, handler: Handler) -> web.RouteDef:
    return web.post(path, with_error_page(handler))


PAGES = [
    web.get("/admin/static/{name}", pages.static),
    _get("/admin/login", pages.login_page),
    _post("/admin/login", pages.login),
    _post("/admin/logout", pages.logout),
    _get("/admin", review_pages.first),
    _get("/admin/review", review_pages.review),
    _get("/admin/following", review_pages.following),
    _get("/admin/releases/{release}", review_pages.release),
    *(_post(f"/admin/matches/{{match}}/{action}", review_pages.decides(action)) for action in REVIEWED),
    *(
        _post(f"/admin/releases/{{release}}/{path}", review_pages.decides_release(act))
        for path, act in OF_RELEASES.items()
    ),
    _post("/admin/releases/{release}/undo", review_pages.undo_all),
    _post("/admin/releases/{release}/tracks/{track}/match", review_pages.set_url),
    _get("/admin/stores", operating_pages.stores),
    _post("/admin/stores", operating_pages.add_store),
    *(_post(f"/admin/stores/{{store}}/{act}", operating_pages.changes_store(act)) for act in OF_STORES),
    _get("/admin/queue", operating_pages.queue),
    _post("/admin/queue/{release}/requeue", operating_pages.requeue),
    _get("/admin/cache", operating_pages.cache),
    _post("/admin/purge", operating_pages.purge),
    _get("/admin/budget", operating_pages.budget),
    _get("/admin/budget.json", operating_pages.budget_figures),
]
