from __future__ import annotations

from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.credentials import Tier, UserCredential, caller_of, masked, without_credentials


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
        ([], "+token=abc", Tier.IDENTIFIED),
        (['OAuth oauth_token="a", oauth_signature_method="PLAINTEXT"'], "", Tier.IDENTIFIED),
        ([], "oauth_token=a&oauth_signature_method=PLAINTEXT", Tier.IDENTIFIED),
        (["Bearer abc"], "", Tier.IDENTIFIED),
        (["Basic abc"], "", Tier.IDENTIFIED),
        (["Discogs key=K, secret=S", "Discogs token=abc"], "", Tier.IDENTIFIED),
        ([""], "", Tier.IDENTIFIED),
        ([], "page=2;token=abc", Tier.IDENTIFIED),
        ([], "page=2%3B+token=abc", Tier.IDENTIFIED),
        ([], "key=K;secret=S", Tier.IDENTIFIED),
        ([], "q=a;b&page=2", Tier.PUBLIC),
    ],
)
def test_a_caller_is_identified_by_whatever_may_be_a_users(authorization: list[str], query: str, tier: Tier) -> None:
    assert caller_of(authorization, query).tier is tier


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


def test_a_credential_behind_a_semicolon_is_not_left_in_a_query_either() -> None:
    assert without_credentials("q=a;b&page=2;token=abc&sort=year") == "q=a;b&sort=year"
    assert without_credentials("page=2%3Btoken=abc&%20token=abc") == ""


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
        ([], "token=t&token=x", False),
        ([], "token=x&token=t", False),
        (["Discogs token=t"], "page=1;token=x", False),
        (["Discogs token=\udcff"], "", False),
        ([], "", False),
    ],
)
def test_the_operator_is_known_by_his_token_alone(authorization: list[str], query: str, is_operator: bool) -> None:
    assert caller_of(authorization, query, "t").is_operator is is_operator
    assert not caller_of(authorization, query).is_operator


# --- what a user can be asked for by ------------------------------------------------------------------------------

OAUTH = (
    'OAuth oauth_consumer_key="ck", oauth_nonce="{nonce}", oauth_token="at", oauth_signature="cs%26ts", '
    'oauth_signature_method="PLAINTEXT", oauth_timestamp="1"'
)


@pytest.mark.parametrize(
    ("authorization", "query", "credential"),
    [
        (["Discogs token=abc"], "page=2", UserCredential("abc")),
        ([], "page=2&token=abc", UserCredential("abc")),
        ([OAUTH.format(nonce="n")], "", UserCredential("at", "ck", "cs&ts")),
        (
            [],
            "oauth_consumer_key=ck&oauth_token=at&oauth_signature=cs%26ts&oauth_signature_method=plaintext",
            UserCredential("at", "ck", "cs&ts"),
        ),
        ([], "", None),
        (["Bearer abc"], "", None),
        (["Discogs key=K, secret=S"], "", None),
        (["Discogs key=K, secret=S, token=abc"], "", None),
        (["Discogs token=abc"], "token=abc", None),
        (["Discogs token=abc", "Discogs token=abc"], "", None),
        ([], "token=abc&token=abc", None),
        ([], "token=abc&key=K", None),
        ([], "token=", None),
        ([], "token=a%0d%0ab", None),
        ([], "token=abc;page=2", None),
        (["Discogs token=\udcff"], "", None),
        ([OAUTH.format(nonce="\udcff")], "", None),
        ([OAUTH.format(nonce="n").replace("PLAINTEXT", "HMAC-SHA1")], "", None),
        ([OAUTH.format(nonce="n") + ', oauth_token="other"'], "", None),
        ([OAUTH.format(nonce="n")], "oauth_token=other", None),
        (["OAuth"], "", None),
    ],
)
def test_a_user_can_be_asked_for_by_his_only_credential(
    authorization: list[str], query: str, credential: UserCredential | None
) -> None:
    assert caller_of(authorization, query).credential == credential


def test_a_digest_is_of_the_user_and_not_of_the_request() -> None:
    first, second = (caller_of([OAUTH.format(nonce=nonce)], "").credential for nonce in "ab")
    assert first
    assert second
    assert first.digest(b"k") == second.digest(b"k")
    assert first.digest(b"k") != first.digest(b"other")


@given(st.lists(st.builds(UserCredential, st.text(), st.text(), st.text()), min_size=2, max_size=2, unique=True))
def test_different_credentials_have_different_digests(two: list[UserCredential]) -> None:
    assert two[0].digest(b"k") != two[1].digest(b"k")


@pytest.mark.parametrize(
    "authorization",
    ["Discogs token=abc", OAUTH.format(nonce="n"), OAUTH.format(nonce="n").replace('"at"', '"%C3%A9%22"')],
)
def test_a_call_of_our_own_bears_the_same_credential_and_a_fresh_nonce(authorization: str) -> None:
    credential = caller_of([authorization], "").credential
    assert credential
    shown = credential.authorization(7, "fresh")
    assert caller_of([shown], "").credential == credential
    assert 'oauth_nonce="n"' not in shown


def test_no_credential_is_shown_by_its_repr() -> None:
    for authorization, query in ((["Discogs token=hunter2"], ""), ([], "token=hunter2"), (["Bearer hunter2"], "")):
        assert "hunter2" not in repr(caller_of(authorization, query))


@pytest.mark.parametrize(
    "text",
    [
        "/releases/1000;token=S3CRET",
        "/releases/1000%3Ftoken=S3CRET",
        "//user:S3CRET@a/releases/1000",
        "token[]=S3CRET&page=2",
        "token%00=S3CRET",
        "a=1%26token=S3CRET",
        "access_token=S3CRET",
        "api_key=S3CRET",
        "x=1&Client-Secret=S3CRET",
    ],
)
def test_what_looks_like_a_secret_is_masked_in_logs(text: str) -> None:
    assert "S3CRET" not in masked(text)


def test_the_rest_stays_readable_in_logs() -> None:
    assert masked("/users/monkey/inventory") == "/users/monkey/inventory"
    assert masked("q=token+ring&page=2") == "q=token+ring&page=2"
