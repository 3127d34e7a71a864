"""Who asks: the credentials that a request bears, in headers and in its query, and a query without them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

CREDENTIAL_PARAMETERS = frozenset({"token", "key", "secret"})
"""Query parameters that Discogs takes for a credential; OAuth ones begin with `oauth_`."""

Pairs = Sequence[tuple[str, str]]
"""Names in lower case with their values, decoded."""


class Tier(StrEnum):
    """What a caller has shown of himself. Whether an identified one owns a store, Discogs alone knows."""

    PUBLIC = "public"
    IDENTIFIED = "identified"


@dataclass(frozen=True, slots=True)
class UserCredential:
    """A user's, in a form that can be shown again: a personal token, or a consumer's OAuth token signed PLAINTEXT.

    All of it is secret.
    """

    token: str = field(repr=False)
    consumer_key: str = field(default="", repr=False)
    signature: str = field(default="", repr=False)

    def authorization(self, timestamp: int, nonce: str) -> str:
        """Of a call of our own: a nonce must not be used twice, and a PLAINTEXT signature does not cover it."""
        if not self.consumer_key:
            return f"Discogs token={self.token}"
        fields = {
            "oauth_consumer_key": self.consumer_key,
            "oauth_token": self.token,
            "oauth_signature_method": "PLAINTEXT",
            "oauth_signature": self.signature,
            "oauth_timestamp": str(timestamp),
            "oauth_nonce": nonce,
        }
        return "OAuth " + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in fields.items())

    def digest(self, key: bytes) -> bytes:
        """The same for each request of one user, however often OAuth's nonce changes; tells nothing without `key`."""
        parts = (self.consumer_key, self.token, self.signature)
        text = "&".join(quote(part, safe="") for part in parts)
        return hashlib.blake2b(text.encode(), key=key, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """`authorization` and `query_credentials` are secrets: they go upstream or nowhere."""

    tier: Tier
    authorization: tuple[str, ...] = field(default=(), repr=False)
    query_credentials: bool = False
    signed: bool = False
    """By OAuth with HMAC or RSA over the URL: cannot survive a change of host."""
    is_operator: bool = False
    """Bears the operator's own token: the shop's own front end, or the operator himself."""
    credential: UserCredential | None = None
    """What he can be asked for by; None for forms that could be read in two ways."""
    username: str | None = None
    """Whose the credential is, where Discogs has told us."""

    @property
    def has_credential(self) -> bool:
        return bool(self.authorization) or self.query_credentials

    def may_own(self, store: str | None) -> bool:
        """Usernames compare without case."""
        return self.username is None or store is None or self.username.lower() == store.lower()


def caller_of(authorization: Sequence[str], raw_query: str, operators_token: str | None = None) -> Caller:
    """Credentials in the query count like headers. What cannot be understood counts as identifying somebody."""
    pairs = [(name.strip().lower(), value) for name, value in parse_qsl(raw_query, keep_blank_values=True)]
    in_query = [pair for pair in pairs if is_credential_parameter(pair[0])]
    hidden = hides_credential(raw_query)
    is_operator = operators_token is not None and _bears_only(operators_token, authorization, in_query)
    return Caller(
        tier=Tier.IDENTIFIED if hidden or _identifies(authorization, in_query) else Tier.PUBLIC,
        authorization=tuple(authorization),
        query_credentials=hidden or bool(in_query),
        signed=any(method.upper() != "PLAINTEXT" for method in _signature_methods(authorization, in_query) if method),
        is_operator=is_operator and not hidden,
        credential=None if hidden else _user_credential(authorization, in_query),
    )


def is_credential_parameter(name: str) -> bool:
    plain = name.strip().lower()
    return plain in CREDENTIAL_PARAMETERS or plain.startswith("oauth_")


def hides_credential(raw_query: str) -> bool:
    """A semicolon parts parameters for some servers, and so can hide a credential from others."""
    text = unquote_plus(raw_query)
    names = (part.partition("=")[0] for part in re.split("[;&]", text))
    return ";" in text and any(is_credential_parameter(name) for name in names)


def without_credentials(raw_query: str) -> str:
    """The query without credential parameters; the rest stays byte for byte."""
    return "&".join(part for part in raw_query.split("&") if part and not _is_credential(part))


def _is_credential(part: str) -> bool:
    return is_credential_parameter(parameter_name(part)) or hides_credential(part)


SECRET_IN_TEXT = re.compile(
    r"((?:token|key|secret|password|signature|oauth_\w+)(?:\[\]|%5B%5D|%00)?(?:=|%3D))[^&;/?#]+", re.IGNORECASE
)
USER_IN_TEXT = re.compile(r"//[^/@?]*@")


def masked(text: str) -> str:
    """A path or query for a log: without what looks like a secret, wherever it was put by mistake."""
    return USER_IN_TEXT.sub("//…@", SECRET_IN_TEXT.sub(r"\1…", text))


def parameter_name(part: str) -> str:
    """Of one `name=value` of a query, decoded."""
    pairs = parse_qsl(part, keep_blank_values=True)
    return pairs[0][0] if pairs else ""


TOKEN = re.compile(r"\s*Discogs\s+token\s*=\s*([^\s,]+)\s*", re.IGNORECASE)
KEY_AND_SECRET = re.compile(r"\s*Discogs\s+(?:(?:key|secret)\s*=\s*[^\s,]*\s*,?\s*)+", re.IGNORECASE)
OAUTH = re.compile(r"\s*OAuth\s+(.*)", re.IGNORECASE | re.DOTALL)
SIGNATURE_METHOD = re.compile(r'\boauth_signature_method\s*=\s*"?([^",\s]*)', re.IGNORECASE)
SHOWABLE = re.compile(r"[!-+\--~]+")
"""What a token of a header may be made of: visible ASCII without a comma."""


def _identifies(authorization: Sequence[str], in_query: Pairs) -> bool:
    by_query = any(name == "token" or name.startswith("oauth_") for name, _ in in_query)
    return by_query or any(not KEY_AND_SECRET.fullmatch(value) for value in authorization)


def _signature_methods(authorization: Sequence[str], in_query: Pairs) -> list[str]:
    headers = [value for value in authorization if value.strip().lower().startswith("oauth")]
    by_header = [found for value in headers for found in SIGNATURE_METHOD.findall(value)]
    return by_header + [value for name, value in in_query if name == "oauth_signature_method"]


def _bears_only(token: str, authorization: Sequence[str], in_query: Pairs) -> bool:
    """This token and no other credential beside it. Compared in constant time."""
    shown = [found[1] if (found := TOKEN.fullmatch(value)) else "" for value in authorization]
    shown += [value if name == "token" else "" for name, value in in_query]
    expected = token.encode()
    return bool(shown) and all(hmac.compare_digest(each.encode("utf-8", "surrogatepass"), expected) for each in shown)


def _user_credential(authorization: Sequence[str], in_query: Pairs) -> UserCredential | None:
    """The only one, or None: which of two counts, Discogs alone knows."""
    match list(authorization), in_query:
        case [header], []:
            return _token_of(header) or _oauth(_oauth_fields(header))
        case [], [("token", token)] if SHOWABLE.fullmatch(token):
            return UserCredential(token)
        case [], _:
            return _oauth(in_query)
        case _:
            return None


def _token_of(header: str) -> UserCredential | None:
    found = TOKEN.fullmatch(header)
    return UserCredential(found[1]) if found and SHOWABLE.fullmatch(found[1]) else None


def _oauth_fields(header: str) -> Pairs:
    found = OAUTH.fullmatch(header)
    pairs = (part.partition("=") for part in found[1].split(",")) if found and header.isascii() else ()
    return [(name.strip().lower(), unquote(value.strip().strip('"'))) for name, _, value in pairs]


OAUTH_NEEDED = ("oauth_token", "oauth_consumer_key", "oauth_signature")


def _oauth(pairs: Iterable[tuple[str, str]]) -> UserCredential | None:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields or not (name.startswith("oauth_") or name == "realm"):
            return None
        fields[name] = value
    token, consumer_key, signature = (fields.get(name, "") for name in OAUTH_NEEDED)
    is_plaintext = fields.get("oauth_signature_method", "").upper() == "PLAINTEXT"
    return UserCredential(token, consumer_key, signature) if is_plaintext and token and consumer_key else None
