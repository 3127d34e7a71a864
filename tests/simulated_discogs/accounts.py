"""Who is registered: users, personal tokens, consumers and OAuth tokens; and who a request comes from."""

import base64
import hashlib
import hmac
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote

from .exchange import Caller
from .values import Account

SIGNING_ORIGIN = "https://api.discogs.com"
LONGEST_NONCE = 64
CLOCK_SKEW = 300.0
"""Seconds that an OAuth timestamp may differ from our clock."""

INVALID_TOKEN = "Invalid consumer token. Please register an app before making requests."
INVALID_CONSUMER = "Invalid consumer."


@dataclass(frozen=True, slots=True)
class Consumer:
    key: str
    secret: str
    name: str


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """A request token has no user yet, or one who has authorised it; `verifier` tells that it is one."""

    token: str
    secret: str
    username: str | None = None
    verifier: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that OAuth signs."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = ()


class Accounts:
    def __init__(self) -> None:
        self._users: dict[str, Account] = {}
        self._by_token: dict[str, str] = {}
        self._consumers: dict[str, Consumer] = {}
        self._oauth: dict[str, OAuthToken] = {}
        self._carts: dict[str, set[int]] = {}
        self._ids = itertools.count(5_000_000, 31)

    # Users

    def register(self, account: Account, token: str | None = None) -> Account:
        self._users[account.username.lower()] = account
        if token:
            self._by_token[token] = account.username
        return account

    def next_id(self) -> int:
        return next(self._ids)

    def find(self, username: str | None) -> Account | None:
        return self._users.get((username or "").lower())

    def by_id(self, user_id: int) -> Account | None:
        return next((account for account in self._users.values() if account.id == user_id), None)

    def rename(self, username: str, new_username: str) -> None:
        account = self._users.pop(username.lower())
        self._users[new_username.lower()] = replace(account, username=new_username)
        self._by_token = {
            token: new_username if name.lower() == username.lower() else name for token, name in self._by_token.items()
        }

    def delete(self, username: str) -> None:
        """Their tokens are refused from now on."""
        self._users.pop(username.lower(), None)

    def revoke(self, token: str) -> None:
        self._by_token.pop(token, None)
        self._oauth.pop(token, None)

    def cart(self, username: str) -> set[int]:
        return self._carts.setdefault(username.lower(), set())

    # Consumers and OAuth tokens

    def register_consumer(self, consumer: Consumer) -> None:
        self._consumers[consumer.key] = consumer

    def consumer(self, key: str) -> Consumer | None:
        return self._consumers.get(key)

    def put_oauth(self, token: OAuthToken) -> None:
        self._oauth[token.token] = token

    def oauth(self, token: str) -> OAuthToken | None:
        return self._oauth.get(token)

    def drop_oauth(self, token: str) -> None:
        self._oauth.pop(token, None)

    # Callers

    def caller(self, signed: Signed, headers: Mapping[str, str], now: float) -> Caller:
        """A wrong token or key is refused; a wrong OAuth signature silently makes an anonymous caller."""
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        query = dict(reversed(signed.query))
        if scheme.lower() == "oauth":
            return self._oauth_caller(signed, oauth_parameters(rest), now)
        if scheme.lower() == "discogs":
            return self._plain_caller(discogs_parameters(rest), in_query=False)
        if "oauth_signature" in query:
            others = tuple(pair for pair in signed.query if not pair[0].startswith("oauth_"))
            oauth = {name: value for name, value in query.items() if name.startswith("oauth_")}
            return self._oauth_caller(replace(signed, query=others), oauth, now, in_query=True)
        return self._plain_caller(query, in_query=True)

    def _plain_caller(self, given: Mapping[str, str], *, in_query: bool) -> Caller:
        if given.get("token"):
            account = self.find(self._by_token.get(given["token"]))
            refusal = None if account else INVALID_TOKEN
            return Caller("token", account.username if account else None, refusal, in_query)
        if given.get("key") and given.get("secret"):
            consumer = self._consumers.get(given["key"])
            known = consumer is not None and consumer.secret == given["secret"]
            return Caller("key", None, None if known else INVALID_CONSUMER, in_query)
        return Caller()

    def _oauth_caller(self, signed: Signed, oauth: Mapping[str, str], now: float, *, in_query: bool = False) -> Caller:
        consumer = self._consumers.get(oauth.get("oauth_consumer_key", ""))
        token = self._oauth.get(oauth.get("oauth_token", ""))
        account = self.find(token.username) if token else None
        if consumer is None or account is None or not is_timely(oauth, now):
            return Caller("bad-oauth")
        if not is_well_signed(signed, oauth, consumer, token):
            return Caller("bad-oauth")
        return Caller(f"oauth-{oauth['oauth_signature_method'].lower()}", account.username, in_query=in_query)


def discogs_parameters(text: str) -> dict[str, str]:
    """Of `Authorization: Discogs key=K, secret=S`."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def oauth_parameters(text: str) -> dict[str, str]:
    return {name: unquote(value) for name, value in discogs_parameters(text).items()}


def is_well_signed(signed: Signed, oauth: Mapping[str, str], consumer: Consumer, token: OAuthToken | None) -> bool:
    expected = {
        "PLAINTEXT": plaintext_signature(consumer, token),
        "HMAC-SHA1": hmac_signature(signed, oauth, consumer, token),
    }.get(oauth.get("oauth_signature_method", ""))
    return expected is not None and hmac.compare_digest(expected.encode(), oauth.get("oauth_signature", "").encode())


def is_timely(oauth: Mapping[str, str], now: float) -> bool:
    """Milliseconds instead of seconds and nonces over 64 characters are what clients got wrong."""
    stamp, nonce = oauth.get("oauth_timestamp", ""), oauth.get("oauth_nonce", "")
    return stamp.isdigit() and abs(int(stamp) - now) <= CLOCK_SKEW and 0 < len(nonce) <= LONGEST_NONCE


def plaintext_signature(consumer: Consumer, token: OAuthToken | None) -> str:
    return f"{_escaped(consumer.secret)}&{_escaped(token.secret if token else '')}"


def hmac_signature(signed: Signed, oauth: Mapping[str, str], consumer: Consumer, token: OAuthToken | None) -> str:
    key = plaintext_signature(consumer, token).encode()
    digest = hmac.new(key, base_string(signed, oauth).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def base_string(signed: Signed, oauth: Mapping[str, str]) -> str:
    """RFC 5849, 3.4.1; for the public host, whatever host the request came to."""
    left_out = {"oauth_signature", "realm"}
    given = [*signed.query, *signed.form, *(pair for pair in oauth.items() if pair[0] not in left_out)]
    pairs = sorted((_escaped(name), _escaped(value)) for name, value in given)
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join(map(_escaped, (signed.method, SIGNING_ORIGIN + signed.path, parameters)))


def form_pairs(content_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return ()
    return tuple(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _escaped(text: str) -> str:
    return quote(text, safe="~")
