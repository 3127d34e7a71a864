"""Browsers stay logged in by a cookie: it is set for whoever shows a token, and taken back."""

from __future__ import annotations

from aiohttp import web

from proxy import keys
from proxy.domain.access import SESSION_COOKIE, SESSION_S
from proxy.handlers.middleware import called_origin, client_of


def log_in(request: web.Request, response: web.StreamResponse, token: str) -> None:
    """Raises Unauthorized, TooManyRequests."""
    access = request.app[keys.ACCESS]
    session = access.new_session(access.by_token(token, client_of(request)))
    response.set_cookie(
        SESSION_COOKIE,
        session.cookie,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=called_origin(request).startswith("https:"),
    )


async def log_out(request: web.Request, response: web.StreamResponse) -> None:
    """Of this browser, and of whoever has got hold of its cookie. Raises Degraded."""
    if cookie := request.cookies.get(SESSION_COOKIE):
        await request.app[keys.ACCESS].end_session(cookie)
    response.del_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Strict")
