"""The operator's page /admin: how pages are made, logging in and out, static files, and the list of all routes."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

import jinja2
from aiohttp import web

from proxy import keys
from proxy.domain.access import Caller
from proxy.domain.players import content_security_policy
from proxy.domain.review_pages import local_path
from proxy.errors import BadRequest, NotFound, ProxyError, Unauthorized
from proxy.handlers.middleware import error_response
from proxy.handlers.sessions import log_in, log_out
from proxy.services.review import VERBS

PAGES_DIR = Path(__file__).parent.parent / "pages"

REVIEW_MENU = (("/admin/review", "Review"),)
ADMIN_MENU = (
    *REVIEW_MENU,
    ("/admin/stores", "Stores"),
    ("/admin/queue", "Queue"),
    ("/admin/cache", "Cache"),
    ("/admin/budget", "Budget"),
)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": content_security_policy(),
    # YouTube plays for nobody who does not say where from; other sites learn our origin at most.
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every page."""

OF_ERRORS = ("Allow", "Retry-After")
"""Headers that an error's page has as well as its JSON."""

FORM_MAX = 20_000
"""Characters of a form that is looked at."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# --- making pages -------------------------------------------------------------------------------------------------

STANDINGS = {
    None: "not queued yet",
    "queued": "waits to be matched",
    "processing": "is being matched",
    "matched": "matched",
    "unmatched": "nothing was found",
    "no_audio": "no audio, ever",
    "failed": "could not be matched",
}
PROVIDERS = {
    "discogs_videos": "a video of this release at Discogs",
    "musicbrainz": "a link at MusicBrainz",
    "deezer": "found at Deezer",
    "youtube": "found at YouTube",
    "itunes": "found at iTunes",
    "pressings": "from another pressing",
    "person": "set by a person",
}
WHY_TRACKED = {
    None: "no: answered from the cache of pages",
    "settings": "it is in STORES",
    "operator": "an operator wants it",
    "requests": "it is asked for often",
}
PRIORITIES = {
    "seen": "a shopper saw it",
    "new": "newly listed",
    "history": "from the rest of a store",
    "orphan": "the old system has matches of it",
}
SPANS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for length, name in SPANS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio * 100:.1f} %".replace("-", "−")


def milliseconds(number: float | None) -> str:
    return "–" if number is None else f"{number:.0f} ms" if number < 1000 else f"{number / 1000:.1f} s"


def span(seconds: float) -> str:
    """How long, roughly."""
    for length, name in SPANS:
        if seconds >= length:
            count = round(seconds / length)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{round(seconds)} s"


def _environment() -> jinja2.Environment:
    """All templates are read now: a new version may be put in place of this one while it runs."""
    made = jinja2.Environment(
        loader=jinja2.DictLoader({each.name: each.read_text(encoding="utf-8") for each in PAGES_DIR.glob("*.html")}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        "ago": ago,
        "moment": moment,
        "percent": percent,
        "ms": milliseconds,
        "span": span,
        "verb": lambda action: VERBS.get(action, action),
        "standing": lambda status: STANDINGS.get(status, status),
        "why_tracked": lambda why: WHY_TRACKED.get(why, why),
        "priority": lambda name: PRIORITIES.get(name, name),
        "provider": lambda name: PROVIDERS.get(name, name),
    }
    return made


ENVIRONMENT = _environment()


def page(request: web.Request, template: str, error: ProxyError | None = None, **values: object) -> web.Response:
    """`error`: what the page is to tell went wrong; its status and headers are the answer's."""
    caller: Caller | None = request.get(keys.CALLER)
    body = ENVIRONMENT.get_template(template).render(
        caller=caller,
        menu=ADMIN_MENU if caller and caller.is_admin else REVIEW_MENU,
        here=request.path,
        error=error.message if error else None,
        **values,
    )
    answer = web.Response(text=body, content_type="text/html", headers=HEADERS)
    if error:
        answer.set_status(error.status)
        as_json = error_response(error)
        answer.headers.update({name: as_json.headers[name] for name in OF_ERRORS if name in as_json.headers})
    return answer


def see(path: str) -> web.Response:
    """Another page is to be shown: what a form has changed is not sent twice by reloading."""
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def with_error_page(handler: Handler) -> Handler:
    """What goes wrong is told on a page."""

    @wraps(handler)
    async def told(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ProxyError as error:
            return page(request, "error.html", error)

    return told


@web.middleware
async def error_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What keeps a browser from a page is told on a page as well: who may not see it, one that is not there."""
    try:
        return await handler(request)
    except ProxyError as error:
        is_page = request.path == "/admin" or request.path.startswith("/admin/")
        if not (is_page and "text/html" in request.headers.get("Accept", "")):
            raise
        return page(request, "error.html", error)


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The texts of a form. Raises BadRequest."""
    if request.content_length is None or request.content_length > FORM_MAX:
        raise BadRequest("The form is too large.")
    try:
        form = await request.post()
    except (ValueError, LookupError) as error:  # no boundary, a part that is cut off, a charset nobody knows
        raise BadRequest("The form cannot be read.") from error
    return {name: value for name, value in form.items() if isinstance(value, str)}


# --- logging in and out -------------------------------------------------------------------------------------------


async def login_page(request: web.Request) -> web.Response:
    return page(request, "login.html", next=local_path(request.query.get("next")))


async def login(request: web.Request) -> web.Response:
    """The token is shown once; from then on the browser has a session."""
    form = await form_of(request)
    following = local_path(form.get("next"))
    response = see(following)
    try:
        log_in(request, response, form.get("token", "").strip())
    except Unauthorized:
        return page(request, "login.html", Unauthorized("This token is not known here."), next=following)
    except ProxyError as error:
        return page(request, "login.html", error, next=following)
    return response


async def logout(request: web.Request) -> web.Response:
    response = see("/admin/login")
    await log_out(request, response)
    return response


# --- static files -------------------------------------------------------------------------------------------------

STATIC_TYPES = {"admin.css": "text/css", "admin.js": "text/javascript", "icon.svg": "image/svg+xml"}
STATIC = {name: (PAGES_DIR / "static" / name).read_bytes() for name in STATIC_TYPES}
TAGS = {name: hashlib.sha256(body).hexdigest()[:16] for name, body in STATIC.items()}


async def static(request: web.Request) -> web.Response:
    """Asked for again each time, and mostly found unchanged."""
    name = request.match_info["name"]
    if name not in STATIC:
        raise NotFound(f"There is no {name!r}.")
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "ETag": f'"{TAGS[name]}"'}
    if any(tag.value == TAGS[name] for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=STATIC[name], content_type=STATIC_TYPES[name], charset="utf-8", headers=headers)
