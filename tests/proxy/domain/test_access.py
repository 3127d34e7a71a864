from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.access import (
    Caller,
    Credential,
    Sender,
    Session,
    bearer_token,
    credential_of_token,
    may,
    objection,
    session_of,
)

ADMIN = Credential(Caller("admin", is_admin=True), "secret")
ANNA = Credential(Caller("anna. b%", is_admin=False, stores=frozenset({"vinyl_den"})), "ünsecret")
BOTH = (ADMIN, ANNA)


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        ("Bearer secret", "secret"),
        ("bearer  secret ", "secret"),
        ("Bearer", ""),
        ("Basic secret", None),
        ("secret", None),
        ("", None),
        (None, None),
    ],
)
def test_a_token_comes_as_a_bearer(authorization: str | None, token: str | None) -> None:
    assert bearer_token(authorization) == token


def test_each_token_is_somebodys() -> None:
    assert credential_of_token("secret", BOTH) == ADMIN
    assert credential_of_token("ünsecret", BOTH) == ANNA
    for wrong in ("", "secre", "secret ", "Secret", "\udcff"):
        assert credential_of_token(wrong, BOTH) is None


def test_a_session_is_good_until_it_expires_or_its_token_changes() -> None:
    session = Session("a-b_c", ANNA, 1000)
    assert session_of(session.cookie, BOTH, 999.9) == session
    assert session_of(session.cookie, BOTH, 1000) is None
    assert session_of(session.cookie, (ADMIN,), 0) is None
    assert session_of(session.cookie, (ADMIN, replace(ANNA, token="new")), 0) is None
    fewer = replace(ANNA, caller=replace(ANNA.caller, stores=frozenset()))
    assert session_of(session.cookie, (ADMIN, fewer), 0) == replace(session, credential=fewer)


@given(st.text() | st.from_regex(r"admin\.[0-9]{1,20}\.[a-z]{0,3}\.[0-9a-f]{0,64}"))
def test_nobody_makes_up_a_session(cookie: str) -> None:
    assert session_of(cookie, BOTH, 0) is None


@given(st.integers(0, 63), st.sampled_from("0123456789abcdefg.é"))
def test_no_other_signature_will_do(place: int, put: str) -> None:
    good = Session("x", ADMIN, 1000).cookie
    start = len(good) - 64
    forged = good[: start + place] + put + good[start + place + 1 :]
    assert (session_of(forged, BOTH, 0) is not None) == (forged == good)


def test_a_session_is_not_lent_to_another_name_time_or_id() -> None:
    signature = Session("x", ADMIN, 1000).cookie.rpartition(".")[2]
    for claim in (
        "admin.2000.x",
        "admin.1000.y",
        "anna.1000.x",
        "anna%2E%20b%25.1000.x",
        ".1000.x",
        "admin..x",
        "admin.²",
    ):
        assert session_of(f"{claim}.{signature}", BOTH, 0) is None


def test_a_token_is_not_in_a_text_of_its_credential() -> None:
    assert "secret" not in repr(BOTH)


def test_reviewers_review_and_nothing_else() -> None:
    for method, pattern, allowed in (
        ("GET", "/api/admin/matches", True),
        ("HEAD", "/api/admin/matches", True),
        ("POST", "/api/admin/matches/{match}/approve", True),
        ("POST", "/api/admin/matches", False),
        ("POST", "/api/admin/purge", False),
        ("GET", "/api/admin/stores", False),
        ("GET", "/api/{rest:.*}", False),
    ):
        assert may(ANNA.caller, method, pattern) == allowed
        assert may(ADMIN.caller, method, pattern)


OURS = Sender("http://proxy.lan:8080", None, "http://proxy.lan:8080", None, by_cookie=True)
PUBLIC = replace(OURS, public_url="https://shop.example")


@pytest.mark.parametrize(
    ("sender", "is_ours"),
    [
        (OURS, True),
        (replace(OURS, by_cookie=False), True),
        # no page at all: a script with the token
        (replace(OURS, origin=None, by_cookie=False), True),
        (replace(OURS, origin=None), False),
        (replace(OURS, origin=None, fetch_site="same-origin"), True),
        (replace(OURS, origin=None, fetch_site="same-site"), False),
        (replace(OURS, origin=None, fetch_site="cross-site", by_cookie=False), False),
        (replace(OURS, origin=None, fetch_site="none"), False),
        # pages of others, by cookie or by token
        (replace(OURS, origin="http://evil.example"), False),
        (replace(OURS, origin="http://evil.example", by_cookie=False), False),
        (replace(OURS, origin="http://proxy.lan"), False),
        (replace(OURS, origin="http://proxy.lan:8081"), False),
        (replace(OURS, origin="http://proxy.lan:x"), False),
        (replace(OURS, origin="http://proxy.lan.evil.example:8080"), False),
        (replace(OURS, origin="null"), False),
        (replace(OURS, origin=""), False),
        (replace(OURS, origin="proxy.lan:8080"), False),
        # a front server ends TLS and does not tell
        (replace(OURS, own="http://shop.example", origin="https://shop.example"), True),
        (replace(OURS, own="http://shop.example", origin="https://shop.example:444"), False),
        (replace(OURS, own="http://shop.example", origin="http://shop.example:444"), False),
        # PUBLIC_URL tells our name: any other that leads here is an attack
        (replace(PUBLIC, origin="https://shop.example"), True),
        (replace(PUBLIC, origin="https://shop.example:443"), True),
        (replace(PUBLIC, own="http://127.0.0.1:8080", origin="https://shop.example"), True),
        (PUBLIC, False),
        (replace(PUBLIC, own="http://evil.example", origin="http://evil.example"), False),
        (replace(PUBLIC, own="http://127.0.0.1:8080", origin="http://127.0.0.1:8080"), True),
        (replace(PUBLIC, own="http://[::1]:8080", origin="http://[::1]:8080"), True),
        (replace(PUBLIC, own="http://localhost:8080", origin="http://localhost:8080"), True),
        (replace(PUBLIC, own="http://localhost:8080", origin="http://localhost:3000"), False),
    ],
)
def test_only_pages_of_ours_may_ask_for_changes(sender: Sender, *, is_ours: bool) -> None:
    assert (objection(sender) is None) == is_ours
