from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.credentials import Caller, caller_of
from proxy.domain.resources import Kind, Resource, resource_of
from proxy.domain.visibility import (
    FOREIGN_ADVICE,
    NO_CREDENTIAL_ADVICE,
    OWN_FRONT_END_ADVICE,
    SAME_FOR_ALL,
    Ask,
    OperatorCredential,
    Plan,
    Refuse,
    Using,
    as_the_client_asked,
    depends_on_username,
    is_poor,
    plan,
    public_database,
    public_inventory,
    with_for_sale,
)

KEY = OperatorCredential("Discogs key=k, secret=s", identifies=False)
TOKEN = OperatorCredential("Discogs token=t", identifies=True)
NOBODY = caller_of([], "")
IDENTIFIED = caller_of(["Discogs token=abc"], "")


@pytest.mark.parametrize(
    ("authorization", "query"),
    [
        (['OAuth oauth_token="a", oauth_signature_method="HMAC-SHA1", oauth_signature="x"'], ""),
        (["oauth oauth_signature_method=hmac-sha1"], ""),
        (['OAuth oauth_signature_method="RSA-SHA1"'], ""),
        ([], "oauth_token=a&oauth_signature_method=HMAC-SHA1"),
    ],
)
def test_a_signature_over_the_host_is_refused_with_advice(authorization: list[str], query: str) -> None:
    decided = plan("GET", resource_of("/releases/1"), caller_of(authorization, query), KEY, query)
    assert isinstance(decided, Refuse)
    assert "PLAINTEXT" in decided.advice


@pytest.mark.parametrize(
    ("method", "path", "with_key", "with_token"),
    [
        ("GET", "/releases/1", Using.OPERATOR, Using.OPERATOR),
        ("HEAD", "/releases/1", Using.OPERATOR, Using.OPERATOR),
        ("GET", "/database/search", Using.OPERATOR, Using.OPERATOR),
        ("GET", "/users/anna/inventory", Using.OPERATOR, Using.OPERATOR),
        ("GET", "/users/anna", Using.OPERATOR, Using.NOBODY),
        ("GET", "/marketplace/listings/1", Using.OPERATOR, Using.NOBODY),
        ("GET", "/marketplace/stats/1", Using.OPERATOR, Using.NOBODY),
        ("GET", "/users/%2e%2e/inventory", Using.NOBODY, Using.NOBODY),
        ("GET", "/oauth/identity", Using.NOBODY, Using.NOBODY),
        ("GET", "/marketplace/orders", Using.NOBODY, Using.NOBODY),
        ("GET", "/users/anna/collection/folders", Using.NOBODY, Using.NOBODY),
        ("GET", "/releases/1/rating/anna", Using.NOBODY, Using.NOBODY),
        ("GET", "/inventory/export", Using.NOBODY, Using.NOBODY),
        ("POST", "/marketplace/listings/1", Using.NOBODY, Using.NOBODY),
        ("DELETE", "/marketplace/listings/1", Using.NOBODY, Using.NOBODY),
        ("POST", "/users/anna", Using.NOBODY, Using.NOBODY),
        ("PUT", "/releases/1", Using.NOBODY, Using.NOBODY),
        ("GET", "/some/gateway", Using.NOBODY, Using.NOBODY),
    ],
)
def test_the_operators_credential_serves_public_reads_only(
    method: str, path: str, with_key: Using, with_token: Using
) -> None:
    assert using(method, path, KEY) is with_key
    assert using(method, path, TOKEN) is with_token
    assert using(method, path, None) is Using.NOBODY


def using(method: str, path: str, operator: OperatorCredential | None, query: str = "") -> Using:
    decided = plan(method, resource_of(path), caller_of([], query), operator, query)
    assert isinstance(decided, Ask)
    return decided.using


AUTHORIZATIONS = [
    "Discogs token=abc",
    "Bearer x",
    'OAuth oauth_signature_method="PLAINTEXT", oauth_consumer_key="k", oauth_token="t", oauth_signature="s&s"',
]
FORWARD = OperatorCredential("Discogs key=k, secret=s", identifies=False, foreign_shared=False)
REFUSED = OperatorCredential("Discogs key=k, secret=s", identifies=False, refused=True)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    st.sampled_from(list(Kind)),
    st.sampled_from([KEY, TOKEN, FORWARD, REFUSED, None]),
    st.sampled_from(AUTHORIZATIONS),
    st.sampled_from(["", "page=2", "page=101", "status=Draft"]),
)
def test_an_identified_caller_shares_reads_of_what_is_the_same_for_all_and_nothing_else(
    method: str, kind: Kind, operator: OperatorCredential | None, authorization: str, query: str
) -> None:
    decided = plan(method, Resource(kind, username="anna"), caller_of([authorization], query), operator, query)
    shares = operator in (KEY, TOKEN, FORWARD) and method in ("GET", "HEAD") and kind in SAME_FOR_ALL
    if shares:
        assert decided == Ask(Using.OPERATOR, strip=operator is TOKEN, rich_only=True)
    else:
        assert decided == Ask(Using.CALLER)


# --- a store that is not the caller's -----------------------------------------------------------------------------

INVENTORY = resource_of("/users/anna/inventory")


def known(username: str | None) -> Caller:
    return replace(caller_of(["Discogs token=abc"], ""), username=username)


@pytest.mark.parametrize(
    ("operator", "username", "query", "decided"),
    [
        (KEY, "bert", "", Ask(Using.OPERATOR, rich_only=True)),
        (KEY, "bert", "status=Draft&page=2", Ask(Using.OPERATOR, rich_only=True)),
        (TOKEN, "bert", "status=Draft", Ask(Using.OPERATOR, for_sale_only=True, strip=True, rich_only=True)),
        (TOKEN, "bert", "page=101", Ask(Using.CALLER)),
        (TOKEN, "bert", "page=101&page=1", Ask(Using.CALLER)),
        (TOKEN, "bert", "sort=location", Ask(Using.CALLER)),
        (TOKEN, "bert", "a=1;sort=location", Ask(Using.CALLER)),
        (KEY, "anna", "status=For+Sale", Ask(Using.CALLER)),
        (KEY, "ANNA", "status=For+Sale", Ask(Using.CALLER)),
        (KEY, None, "", Ask(Using.CALLER)),
        (FORWARD, "bert", "", Ask(Using.CALLER)),
        (REFUSED, "bert", "", Ask(Using.CALLER)),
        (None, "bert", "", Ask(Using.CALLER)),
    ],
)
def test_a_foreign_store_is_shared_with_those_whom_we_know(
    operator: OperatorCredential | None, username: str | None, query: str, decided: Plan
) -> None:
    assert plan("GET", INVENTORY, known(username), operator, query) == decided
    assert plan("POST", INVENTORY, known(username), operator, query) == Ask(Using.CALLER)


@pytest.mark.parametrize(
    ("method", "path", "caller", "operator", "query", "depends"),
    [
        ("GET", "/users/anna/inventory", known(None), KEY, "", True),
        ("HEAD", "/users/anna/inventory", known(None), TOKEN, "", True),
        ("GET", "/users/anna/inventory", known(None), TOKEN, "page=101", False),
        ("POST", "/users/anna/inventory", known(None), KEY, "", False),
        ("GET", "/users/anna/inventory", known(None), FORWARD, "", False),
        ("GET", "/users/anna/inventory", known(None), REFUSED, "", False),
        ("GET", "/users/anna/inventory", known(None), None, "", False),
        ("GET", "/users/anna/inventory", NOBODY, KEY, "", False),
        ("GET", "/releases/1", known(None), KEY, "", False),
        ("GET", "/users/anna", known(None), KEY, "", False),
    ],
)
def test_whose_a_credential_is_matters_for_foreign_stores_alone(
    method: str, path: str, caller: Caller, operator: OperatorCredential | None, query: str, depends: bool
) -> None:
    assert depends_on_username(method, resource_of(path), caller, operator, query) is depends


def test_the_operator_is_told_what_he_can_change() -> None:
    own = caller_of(["Discogs token=t"], "", "t")
    operator = OperatorCredential("Discogs token=t", identifies=True, token="t")
    assert advice(own, operator) == OWN_FRONT_END_ADVICE
    assert advice(known(None), FORWARD) == FOREIGN_ADVICE
    assert advice(known(None), None) == NO_CREDENTIAL_ADVICE
    assert advice(known("anna"), KEY) is None
    assert plan("GET", resource_of("/users/anna"), own, operator, "") == Ask(Using.CALLER, advice=None)


def advice(caller: Caller, operator: OperatorCredential | None) -> str | None:
    decided = plan("GET", INVENTORY, caller, operator, "")
    assert isinstance(decided, Ask)
    return decided.advice


@pytest.mark.parametrize(
    "query",
    [
        "page=101",
        "page=99999999999",
        "page=x",
        "sort=location",
        "sort=status&page=1",
        "page=101&page=1",
        "page=1&page=101",
        "sort=location&sort=listed",
        "Sort=Location",
        "q=a;page=101",
        "q=a%3Bpage=101",
    ],
)
def test_an_owners_privileges_are_never_used_for_the_public(query: str) -> None:
    assert using("GET", "/users/anna/inventory", TOKEN, query) is Using.NOBODY
    assert using("GET", "/users/anna/inventory", KEY, query) is Using.OPERATOR


def test_an_inventory_asked_with_the_operators_token_is_for_sale_and_stripped() -> None:
    decided = plan("GET", resource_of("/users/anna/inventory"), NOBODY, TOKEN, "status=Draft")
    assert decided == Ask(Using.OPERATOR, for_sale_only=True, strip=True)


def test_a_key_of_the_callers_own_is_used_where_the_operators_must_not_be() -> None:
    caller = caller_of(["Discogs key=K, secret=S"], "")
    assert plan("GET", resource_of("/marketplace/fee/10"), caller, KEY, "") == Ask(Using.CALLER)
    assert plan("GET", resource_of("/releases/1"), caller, None, "") == Ask(Using.CALLER)


# --- queries ------------------------------------------------------------------------------------------------------


def test_for_sale_takes_the_place_of_any_status() -> None:
    assert with_for_sale("status=Draft&page=2&Status=All") == "page=2&status=For+Sale"
    assert with_for_sale("") == "status=For+Sale"


@pytest.mark.parametrize(
    ("upstream", "query", "client"),
    [
        ("https://a/x?page=2&status=For+Sale", "page=1", "https://a/x?page=2"),
        ("https://a/x?page=2", "key=K&secret=S", "https://a/x?page=2&key=K&secret=S"),
        ("https://a/x?page=2&status=For+Sale", "status=for%20sale", "https://a/x?page=2&status=for%20sale"),
        ("https://a/x?status=For+Sale", "", "https://a/x"),
    ],
)
def test_pagination_urls_are_what_the_client_asked(upstream: str, query: str, client: str) -> None:
    assert as_the_client_asked(upstream, query) == client


# --- fields -------------------------------------------------------------------------------------------------------


def test_the_public_sees_for_sale_rows_without_the_owners_fields() -> None:
    draft = {"id": 1, "status": "Draft", "comments": "SECRET"}
    sale = {"id": 2, "status": "For Sale", "location": "SECRET", "in_cart": False, "release": {"id": 3, "stats": {}}}
    sale["release"] = {"id": 3, "stats": {"community": {"in_wantlist": 1}, "user": {"in_wantlist": 1}}}
    shown = public_inventory({"pagination": {}, "listings": [draft, sale]})
    assert shown == {
        "pagination": {},
        "listings": [{"id": 2, "status": "For Sale", "release": {"id": 3, "stats": {"community": {"in_wantlist": 1}}}}],
    }


def test_what_a_listing_fills_in_for_its_owner_alone_is_emptied() -> None:
    row = {"id": 1, "shipping_price": {"value": 5.0}, "original_shipping_price": {"value": 5}, "offer_submitted": True}
    emptied = {"id": 1, "shipping_price": {}, "original_shipping_price": {}, "offer_submitted": False}
    assert public_inventory({"listings": [row]}) == {"listings": [emptied]}


@pytest.mark.parametrize("rows_key", ["releases", "versions", "results"])
def test_catalogue_answers_say_nothing_of_the_asking_user(rows_key: str) -> None:
    row = {"id": 1, "user_data": {"in_collection": True}, "stats": {"user": 1, "community": 2}}
    assert public_database({rows_key: [row]}) == {rows_key: [{"id": 1, "stats": {"community": 2}}]}


@pytest.mark.parametrize(
    ("body", "poor"),
    [
        (b'{"thumbnail": "", "images": []}', True),
        (b'{"thumb":"","images":[{"uri":"","uri150":""}]}', True),
        (b'{"thumb": null}', True),
        (b'[{"thumb": ""}, {"thumb": "https://i.discogs.com/x"}]', False),
        (b'{"images": [{"uri150" : "https://i.discogs.com/x"}]}', False),
        (b'{"title": "\\"thumb\\": \\"\\""}', False),
        (b'{"id": 1}', False),
        (b"", False),
    ],
)
def test_an_answer_is_poor_where_all_its_pictures_are_missing(body: bytes, poor: bool) -> None:
    assert is_poor(body) is poor


# --- the shop's own front end -------------------------------------------------------------------------------------

OWN = OperatorCredential("Discogs token=t", identifies=True, token="t", public_view=True)
BOTH = OperatorCredential("Discogs key=k, secret=s", identifies=False, token="t", public_view=True)


@pytest.mark.parametrize("operator", [OWN, BOTH])
@pytest.mark.parametrize(
    ("path", "query", "shared"),
    [
        ("/users/me/inventory", "status=For+Sale", True),
        ("/users/me/inventory", "status=for%20sale&page=2", True),
        ("/users/me/inventory", "", False),
        ("/users/me/inventory", "status=All", False),
        ("/users/me/inventory", "status=For+Sale&status=Draft", False),
        ("/releases/1", "", True),
        ("/masters/1/versions", "", True),
        ("/users/me", "", False),
        ("/marketplace/listings/1", "", False),
        ("/marketplace/orders", "", False),
        ("/oauth/identity", "", False),
        ("/some/gateway", "", False),
    ],
)
def test_the_shops_own_front_end_gets_the_public_view_of_public_resources(
    operator: OperatorCredential, path: str, query: str, shared: bool
) -> None:
    caller = caller_of(["Discogs token=t"], query, operator.token)
    decided = plan("GET", resource_of(path), caller, operator, query)
    assert isinstance(decided, Ask)
    assert decided.shared is shared


def test_only_where_the_operator_said_so_and_only_for_reads() -> None:
    caller = caller_of(["Discogs token=t"], "", "t")
    inventory, release = resource_of("/users/me/inventory"), resource_of("/releases/1")
    forward = OperatorCredential("Discogs token=t", identifies=True, token="t")
    assert plan("GET", inventory, caller, forward, "status=For+Sale") == Ask(Using.CALLER)
    assert plan("POST", release, caller, OWN, "") == Ask(Using.CALLER)
    another = caller_of(["Discogs token=x"], "", "t")
    assert plan("GET", inventory, another, OWN, "status=For+Sale") == Ask(Using.CALLER)
    assert plan("GET", release, another, OWN, "") == Ask(Using.OPERATOR, strip=True, rich_only=True)
