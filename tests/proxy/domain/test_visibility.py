from __future__ import annotations

import itertools
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.resources import Kind, Resource, resource_of
from proxy.domain.visibility import (
    Ask,
    OperatorCredential,
    Refuse,
    Tier,
    Using,
    as_the_client_asked,
    caller_of,
    plan,
    public_database,
    public_inventory,
    with_for_sale,
    without_credentials,
)

KEY = OperatorCredential("Discogs key=k, secret=s", identifies=False)
TOKEN = OperatorCredential("Discogs token=t", identifies=True)
NOBODY = caller_of([], "")
IDENTIFIED = caller_of(["Discogs token=abc"], "")


@pytest.mark.parametrize(
    ("authorization", "query", "tier"),
    [
        ([], "", Tier.PUBLIC),
        ([], "page=2&status=For+Sale", Tier.PUBLIC),
        (["Discogs key=K, secret=S"], "", Tier.PUBLIC),
        (["discogs  KEY=K,secret=S"], "", Tier.PUBLIC),
        ([], "key=K&secret=S", Tier.PUBLIC),
        (["Discogs token=abc"], "", Tier.IDENTIFIED),
        (["Discogs key=K, secret=S, token=abc"], "", Tier.IDENTIFIED),
        ([], "token=abc", Tier.IDENTIFIED),
        ([], "TOKEN=abc", Tier.IDENTIFIED),
        ([], "%74oken=abc", Tier.IDENTIFIED),
        ([], "token=", Tier.IDENTIFIED),
        (['OAuth oauth_token="a", oauth_signature_method="PLAINTEXT"'], "", Tier.IDENTIFIED),
        ([], "oauth_token=a&oauth_signature_method=PLAINTEXT", Tier.IDENTIFIED),
        (["Bearer abc"], "", Tier.IDENTIFIED),
        (["Basic abc"], "", Tier.IDENTIFIED),
        (["Discogs key=K, secret=S", "Discogs token=abc"], "", Tier.IDENTIFIED),
        ([""], "", Tier.IDENTIFIED),
    ],
)
def test_a_caller_is_identified_by_whatever_may_be_a_users(authorization: list[str], query: str, tier: Tier) -> None:
    assert caller_of(authorization, query).tier is tier


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


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    st.sampled_from(list(Kind)),
    st.sampled_from([KEY, TOKEN, None]),
    st.sampled_from(["Discogs token=abc", "Bearer x", 'OAuth oauth_signature_method="PLAINTEXT"']),
)
def test_an_identified_caller_is_always_asked_for_with_his_own(
    method: str, kind: Kind, operator: OperatorCredential | None, authorization: str
) -> None:
    decided = plan(method, Resource(kind), caller_of([authorization], ""), operator, "")
    assert decided == Ask(Using.CALLER)


@pytest.mark.parametrize("query", ["page=101", "page=99999999999", "page=x", "sort=location", "sort=status&page=1"])
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

parts = st.lists(
    st.tuples(
        st.sampled_from(["page", "token", "Token", "key", "secret", "oauth_token", "status", "q", "%74oken"]),
        st.text(max_size=5).map(quote),
    ),
    max_size=6,
)


@given(parts)
def test_no_credential_is_left_in_a_query(pairs: list[tuple[str, str]]) -> None:
    query = without_credentials("&".join(f"{name}={value}" for name, value in pairs))
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    assert not names & {"token", "key", "secret", "oauth_token"}
    kept = [f"{name}={value}" for name, value in pairs if name in ("page", "status", "q")]
    assert query == "&".join(kept)


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


@pytest.mark.parametrize("rows_key", ["releases", "versions", "results"])
def test_catalogue_answers_say_nothing_of_the_asking_user(rows_key: str) -> None:
    row = {"id": 1, "user_data": {"in_collection": True}, "stats": {"user": 1, "community": 2}}
    assert public_database({rows_key: [row]}) == {rows_key: [{"id": 1, "stats": {"community": 2}}]}


def test_every_form_of_identity_is_kept_apart_from_the_shared_view() -> None:
    authorizations = ["Discogs token=a", 'OAuth oauth_signature_method="PLAINTEXT"', "Bearer x"]
    for authorization, operator in itertools.product(authorizations, [KEY, TOKEN, None]):
        decided = plan("GET", resource_of("/releases/1"), caller_of([authorization], ""), operator, "")
        assert isinstance(decided, Ask)
        assert not decided.shared


# --- the shop's own front end -------------------------------------------------------------------------------------

OWN = OperatorCredential("Discogs token=t", identifies=True, token="t", public_view=True)
BOTH = OperatorCredential("Discogs key=k, secret=s", identifies=False, token="t", public_view=True)


@pytest.mark.parametrize(
    ("authorization", "query", "is_operator"),
    [
        (["Discogs token=t"], "", True),
        (["discogs  TOKEN = t "], "", True),
        ([], "token=t", True),
        (["Discogs token=t"], "token=t", True),
        (["Discogs token=x"], "", False),
        (["Discogs token=t"], "token=x", False),
        (["Discogs token=t, key=k"], "", False),
        (["Discogs token=t", 'OAuth oauth_token="a"'], "", False),
        (["Discogs token=t"], "key=k&secret=s", False),
        (["Discogs token=\udcff"], "", False),
        ([], "", False),
    ],
)
def test_the_operator_is_known_by_his_token_alone(authorization: list[str], query: str, is_operator: bool) -> None:
    assert caller_of(authorization, query, "t").is_operator is is_operator
    assert not caller_of(authorization, query).is_operator


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
    assert plan("GET", release, caller_of(["Discogs token=x"], "", "t"), OWN, "") == Ask(Using.CALLER)
