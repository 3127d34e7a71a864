"""What a route is asked and what it answers, apart from HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import orjson

from .money import CURRENCIES

Body: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Caller:
    """`credential` is how they came: none, token, key, oauth-plaintext, oauth-hmac-sha1 or bad-oauth.

    `username` is set for identified callers only; `refusal` is the 401 that a wrong credential earns.
    """

    credential: str = "none"
    username: str | None = None
    refusal: str | None = None
    in_query: bool = False

    @property
    def identified(self) -> bool:
        return self.username is not None

    @property
    def has_credential(self) -> bool:
        """A consumer's or user's credential, even a refused one, has the higher limit."""
        return self.credential not in {"none", "bad-oauth"}

    def is_user(self, username: str) -> bool:
        return self.username is not None and self.username.lower() == username.lower()


@dataclass(frozen=True, slots=True)
class Ask:
    """`path` as it came, still percent-encoded; `names` are the decoded parts that the route names."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    caller: Caller = Caller()
    names: Mapping[str, str] = field(default_factory=dict)
    origin: str = "https://api.discogs.com"
    now: float = 0.0

    def parameter(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)

    def named(self, **names: str) -> "Ask":
        return replace(self, names=names)

    def number(self, name: str) -> int:
        return int(self.names[name])

    def currency(self, default: str) -> str:
        """A currency that Discogs does not know is ignored."""
        asked = self.parameter("curr_abbr").upper()
        return asked if asked in CURRENCIES else default

    def json(self) -> Body:
        try:
            body = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError:
            raise Refusal(400, "The request body could not be parsed.") from None
        if not isinstance(body, dict):
            raise Refusal(422, "Invalid request body: expected an object.")
        return body


@dataclass(frozen=True, slots=True)
class Answer:
    """A `body` becomes JSON in the style of the route's stack; `raw` is sent as it is."""

    status: int = 200
    body: object = None
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Ends a route with this status and `{"message": …}`."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def no_permission() -> Refusal:
    return Refusal(403, "You don't have permission to access this resource.")


def must_authenticate() -> Refusal:
    return Refusal(
        401,
        "You must authenticate to access this resource.",
        {"WWW-Authenticate": 'OAuth realm="https://api.discogs.com"'},
    )


def not_found() -> Refusal:
    return Refusal(404, "The requested resource was not found.")


def no_such_user() -> Refusal:
    return Refusal(404, "User does not exist or may have been deleted.")


def no_such_release() -> Refusal:
    """The old stack's words; /releases/{id} itself has others."""
    return Refusal(404, "Release not found.")
