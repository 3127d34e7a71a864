"""Who a request comes from: tokens, keys and OAuth, right and wrong."""

import time
from urllib.parse import parse_qsl

import pytest

from tests.simulated_discogs import SimulatedDiscogs
from tests.simulated_discogs.accounts import (
    Accounts,
    Consumer,
    OAuthToken,
    Signed,
    base_string,
    discogs_parameters,
    hmac_signature,
    oauth_parameters,
)
from tests.simulated_discogs.exchange import Caller
from tests.simulated_discogs.values import Account

from .conftest import ALICE, CONSUMER, Api, Seen

NOW = 1_700_000_000.0
SIGNED = Signed(
    "GET",
    "/users/Vinyl%20D%C3%A9n/inventory",
    (("status", "For Sale"), ("page", "2"), ("b", "é+~"), ("b", "1")),
)
# Made by oauthlib 4.0.1 for https://api.discogs.com/users/Vinyl%20D%C3%A9n/inventory?status=For+Sale&page=2&…
HMAC_HEADER = (
    'OAuth oauth_nonce="n-1", oauth_timestamp="1700000000", oauth_version="1.0", '
    'oauth_signature_method="HMAC-SHA1", oauth_consumer_key="ck", oauth_token="tok", '
    'oauth_signature="NUqmrUsg7gLrvV1TTEd0I0%2Bbnx4%3D"'
)
PLAINTEXT_HEADER = (
    'OAuth oauth_nonce="n-1", oauth_timestamp="1700000000", oauth_signature_method="PLAINTEXT", '
    'oauth_consumer_key="ck", oauth_token="tok", oauth_signature="cs%2526x%26t%2520s"'
)
ANONYMOUS = Caller("bad-oauth")


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts()
    accounts.register(Account(1, "Alice"), "alice-token")
    accounts.register_consumer(Consumer("ck", "cs&x", "A Shop"))
    accounts.put_oauth(OAuthToken("tok", "t s", "alice"))
    return accounts


def caller(accounts: Accounts, authorization: str, signed: Signed = SIGNED, now: float = NOW) -> Caller:
    return accounts.caller(signed, {"Authorization": authorization}, now)


def queried(*query: tuple[str, str]) -> Signed:
    return Signed("GET", "/", query)


def test_tokens_and_keys_are_read_from_header_and_query(accounts: Accounts) -> None:
    assert caller(accounts, "Discogs token=alice-token") == Caller("token", "Alice")
    assert caller(accounts, 'Discogs key=ck, secret="cs&x"') == Caller("key")
    assert caller(accounts, "", queried(("token", "alice-token"))) == Caller("token", "Alice", in_query=True)
    assert caller(accounts, "", queried(("key", "ck"), ("secret", "cs&x"))) == Caller("key", in_query=True)
    assert caller(accounts, "", queried(("key", "ck"))) == Caller()


@pytest.mark.parametrize("header", [PLAINTEXT_HEADER, HMAC_HEADER])
def test_oauth_is_read_from_the_query_too(accounts: Accounts, header: str) -> None:
    fields = oauth_parameters(header.removeprefix("OAuth "))
    found = caller(accounts, "", Signed(SIGNED.method, SIGNED.path, (*SIGNED.query, *fields.items())))
    assert (found.username, found.in_query) == ("Alice", True)
    assert caller(accounts, "", queried(*(fields | {"oauth_signature": "x"}).items())) == ANONYMOUS


def test_a_key_identifies_nobody(accounts: Accounts) -> None:
    found = caller(accounts, "Discogs key=ck, secret=cs&x")

    assert (found.identified, found.has_credential) == (False, True)


def test_wrong_tokens_and_keys_are_refused(accounts: Accounts) -> None:
    assert caller(accounts, "Discogs token=wrong").refusal == (
        "Invalid consumer token. Please register an app before making requests."
    )
    assert caller(accounts, "Discogs key=ck, secret=wrong").refusal == "Invalid consumer."
    accounts.revoke("alice-token")
    assert caller(accounts, "Discogs token=alice-token").refusal


def test_a_deleted_users_token_is_refused(accounts: Accounts) -> None:
    accounts.delete("ALICE")
    assert caller(accounts, "Discogs token=alice-token").refusal
    assert caller(accounts, PLAINTEXT_HEADER) == ANONYMOUS


def test_plaintext_and_hmac_signatures_are_checked(accounts: Accounts) -> None:
    assert caller(accounts, PLAINTEXT_HEADER) == Caller("oauth-plaintext", "Alice")
    assert caller(accounts, HMAC_HEADER) == Caller("oauth-hmac-sha1", "Alice")


@pytest.mark.parametrize("header", [PLAINTEXT_HEADER, HMAC_HEADER])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("oauth_signature=", "oauth_signature=x"),
        ('oauth_consumer_key="ck"', 'oauth_consumer_key="other"'),
        ('oauth_token="tok"', 'oauth_token="other"'),
        ("1700000000", "1700000000000"),
        ("1700000000", "1699990000"),
        ("1700000000", "soon"),
        ('oauth_nonce="n-1"', f'oauth_nonce="{"n" * 65}"'),
    ],
)
def test_whatever_is_wrong_in_oauth_makes_an_anonymous_caller(
    accounts: Accounts, header: str, old: str, new: str
) -> None:
    found = caller(accounts, header.replace(old, new))

    assert found == ANONYMOUS
    assert (found.has_credential, found.refusal) == (False, None)


@pytest.mark.parametrize(
    "signed",
    [
        Signed("POST", SIGNED.path, SIGNED.query),
        Signed("GET", "/users/other/inventory", SIGNED.query),
        Signed("GET", SIGNED.path, (*SIGNED.query, ("page", "3"))),
    ],
)
def test_an_hmac_signature_depends_on_the_request_plaintext_does_not(accounts: Accounts, signed: Signed) -> None:
    assert caller(accounts, HMAC_HEADER, signed) == ANONYMOUS
    assert caller(accounts, PLAINTEXT_HEADER, signed).username == "Alice"


def test_the_base_string_names_the_public_host_whatever_host_was_called() -> None:
    assert (
        base_string(Signed("GET", "/"), {"oauth_nonce": "n"}) == "GET&https%3A%2F%2Fapi.discogs.com%2F&oauth_nonce%3Dn"
    )


def test_headers_are_read_with_and_without_quotes() -> None:
    assert discogs_parameters('key=K, secret="S=1"') == {"key": "K", "secret": "S=1"}
    assert oauth_parameters('realm="x", oauth_signature="a%26b"')["oauth_signature"] == "a&b"


# Over the wire


async def test_a_wrong_token_is_a_401_everywhere(api: Api) -> None:
    for path in ("/", "/releases/1", "/users/vinyl_den/inventory?token=wrong"):
        seen = await api.get(path, **({} if "token" in path else {"Authorization": "Discogs token=wrong"}))
        assert seen.status == 401
        assert str(seen.message).startswith("Invalid consumer token.")


async def test_a_bad_signature_silently_gets_the_anonymous_view(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.register_oauth_token("alice", "tok", "ts")
    good, bad = [f"{plaintext('shop-key', secret)}" for secret in ("shop-secret&ts", "shop-secret&no")]
    path = "/users/vinyl_den/inventory"

    assert (await api.get(path, Authorization=bad)).body == (await api.get(path)).body
    assert (await api.get(path, Authorization=good)).body == (await api.get(path, Authorization=ALICE)).body
    assert [call.credential for call in discogs.calls] == ["bad-oauth", "none", "oauth-plaintext", "token"]


def plaintext(key: str, signature: str, **more: str) -> str:
    fields = {
        "oauth_consumer_key": key,
        "oauth_token": "tok",
        "oauth_signature_method": "PLAINTEXT",
        "oauth_signature": signature.replace("&", "%26"),
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": "abc",
        **more,
    }
    return "OAuth " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


async def test_an_hmac_signature_for_the_public_host_is_accepted_over_the_wire(
    api: Api, discogs: SimulatedDiscogs
) -> None:
    discogs.register_oauth_token("alice", "tok", "ts")
    fields = {
        "oauth_consumer_key": "shop-key",
        "oauth_token": "tok",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": "abc",
    }
    signed = Signed("GET", "/users/vinyl_den/inventory", (("status", "For Sale"), ("per_page", "2")))
    signature = hmac_signature(signed, fields, Consumer("shop-key", "shop-secret", ""), OAuthToken("tok", "ts"))
    header = "OAuth " + ", ".join(f'{name}="{value}"' for name, value in fields.items())
    escaped = signature.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")

    seen = await api.get(
        "/users/vinyl_den/inventory?status=For+Sale&per_page=2",
        Authorization=f'{header}, oauth_signature="{escaped}"',
    )

    assert discogs.calls[-1].credential == "oauth-hmac-sha1"
    assert "in_cart" in seen.rows()[0]


def form(seen: Seen) -> dict[str, str]:
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(seen.body.decode()))


async def test_the_three_steps_of_oauth_end_in_a_token_that_works(api: Api, discogs: SimulatedDiscogs) -> None:
    asked = form(await api.get("/oauth/request_token", Authorization=plaintext("shop-key", "shop-secret&")))
    verifier = discogs.authorize(asked["oauth_token"], "alice")
    signature = f"shop-secret&{asked['oauth_token_secret']}"
    exchange = plaintext("shop-key", signature, oauth_token=asked["oauth_token"], oauth_verifier=verifier)
    granted = form(await api.ask("POST", "/oauth/access_token", Authorization=exchange))

    signature = f"shop-secret&{granted['oauth_token_secret']}"
    header = plaintext("shop-key", signature, oauth_token=granted["oauth_token"])
    assert (await api.get("/oauth/identity", Authorization=header)).json["username"] == "alice"
    assert (await api.ask("POST", "/oauth/access_token", Authorization=exchange)).status == 400


async def test_a_hand_shake_without_signature_is_a_500_with_a_bad_one_a_plain_400(api: Api) -> None:
    assert (await api.get("/oauth/request_token")).status == 500
    seen = await api.get("/oauth/request_token", Authorization=plaintext("shop-key", "wrong&"))
    assert (seen.status, seen.headers["Content-Type"]) == (400, "text/plain")


async def test_calls_tell_how_the_caller_came(api: Api, discogs: SimulatedDiscogs) -> None:
    await api.get("/", Authorization=CONSUMER)
    await api.get("/?token=alice-token")

    assert [(call.credential, call.username) for call in discogs.calls] == [("key", None), ("token-query", "alice")]
