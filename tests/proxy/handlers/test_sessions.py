from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy import keys
from proxy.domain.access import ADMIN, Caller, Credential
from proxy.errors import Unauthorized
from proxy.handlers.sessions import log_in, log_out
from proxy.services.access import AccessService
from proxy.settings import Settings


def asked(scheme: str = "http", **headers: str) -> web.Request:
    app = web.Application()
    app[keys.SETTINGS] = Settings.from_environment({})
    app[keys.ACCESS] = AccessService((Credential(Caller(ADMIN, is_admin=True), "secret"),))
    request = make_mocked_request("POST", "/admin/login", headers=headers, app=app)
    return request.clone(scheme=scheme)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whoever_shows_a_token_gets_a_session_that_no_script_reads_and_no_other_page_sends(scheme: str) -> None:
    request, response = asked(scheme, Host="proxy.lan"), web.Response()
    log_in(request, response, "secret")
    cookie = response.cookies["discogs_proxy_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        scheme == "https",
    )
    assert int(cookie["max-age"]) == 30 * 86_400
    assert request.app[keys.ACCESS].by_session(cookie.value).caller.name == ADMIN
    log_out(response)
    assert response.cookies["discogs_proxy_session"].value == ""


def test_a_wrong_token_gets_none() -> None:
    response = web.Response()
    with pytest.raises(Unauthorized):
        log_in(asked(), response, "wrong")
    assert not response.cookies
