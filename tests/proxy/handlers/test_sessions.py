from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from matcher.database import Database
from proxy import keys
from proxy.domain.access import ADMIN, Caller, Credential, session_of
from proxy.errors import Unauthorized
from proxy.handlers.sessions import log_in
from proxy.services.access import AccessService
from proxy.settings import Settings


def asked(database: Database, scheme: str = "http", **headers: str) -> web.Request:
    app = web.Application()
    app[keys.SETTINGS] = Settings.from_environment({})
    app[keys.ACCESS] = AccessService((Credential(Caller(ADMIN, is_admin=True), "secret"),), database)
    request = make_mocked_request("POST", "/admin/login", headers=headers, app=app)
    return request.clone(scheme=scheme)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whoever_shows_a_token_gets_a_session_that_no_script_reads_and_no_other_page_sends(
    database: Database, scheme: str
) -> None:
    request, response = asked(database, scheme, Host="proxy.lan"), web.Response()
    log_in(request, response, "secret")
    cookie = response.cookies["discogs_proxy_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        scheme == "https",
    )
    assert int(cookie["max-age"]) == 30 * 86_400
    found = session_of(cookie.value, request.app[keys.ACCESS].credentials, 0)
    assert found
    assert found.credential.caller.name == ADMIN


def test_a_wrong_token_gets_none(database: Database) -> None:
    response = web.Response()
    with pytest.raises(Unauthorized):
        log_in(asked(database), response, "wrong")
    assert not response.cookies
