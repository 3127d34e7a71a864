"""The kinds of value that a setting may have: each parser turns a text into it, or says what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from proxy.domain.access import ADMIN
from proxy.domain.webhook import signing_key

T = TypeVar("T")

SIX_HOURS_MS = 21_600_000
"""The Discogs API terms: restricted content is never shown when it is older."""

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Provider = Literal["discogs_videos", "musicbrainz", "deezer", "youtube", "itunes"]
PROVIDERS: dict[str, Provider] = {
    "discogs_videos": "discogs_videos",
    "musicbrainz": "musicbrainz",
    "deezer": "deezer",
    "youtube": "youtube",
    "itunes": "itunes",
}


def text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be printable text on one line")
    return value


def header_value(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be printable ASCII text")
    return value


def switch(value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


def number(least: int, most: int | None = None, unit: str = "") -> Callable[[str], int]:
    allowed = f"at least {least}" if most is None else f"from {least} to {most}"

    def parse(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or int(value) < least or (most is not None and int(value) > most):
            raise ValueError(f"must be a whole number {allowed}{unit and ' ' + unit}")
        return int(value)

    return parse


def milliseconds(value: str) -> int:
    return number(100, unit="milliseconds")(value)


def content_age(value: str) -> int:
    return number(100, SIX_HOURS_MS, "milliseconds (six hours: the Discogs API terms)")(value)


def confidence(value: str) -> float:
    try:
        parsed = float(value)
    except ValueError:
        parsed = -1.0
    if not 0 <= parsed <= 100:
        raise ValueError("must be a number from 0 to 100")
    return parsed


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value.lower()

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        allowed = f"must be a URL such as {schemes[0]}://host"
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError(allowed) from None
        if parts.scheme not in schemes or not (parts.hostname or parts.path) or not value.isprintable():
            raise ValueError(allowed)
        return value.rstrip("/")

    return parse


def webhook_url(value: str) -> str:
    """As it is given: a slash at its end counts."""
    url("https", "http")(value)
    if not urlsplit(value).hostname or "#" in value:
        raise ValueError("must be a URL such as https://host/path")
    return value


def webhook_secret(value: str) -> str:
    signing_key(text(value))
    return value


def origin(value: str) -> str:
    parsed = url("http", "https")(value)
    parts = urlsplit(parsed)
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise ValueError("must be an origin such as https://host or http://host:port, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def existing_file(value: str) -> Path:
    if not path(value).is_file():
        raise ValueError("must be the path of a file that exists")
    return path(value)


def comma_list(item: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    def parse(value: str) -> tuple[T, ...]:
        return tuple(item(part.strip()) for part in value.split(",") if part.strip())

    return parse


def network(value: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be a comma list of IP addresses or networks such as 10.0.0.0/8") from None


def provider(value: str) -> Provider:
    if value not in PROVIDERS:
        raise ValueError(f"must be a comma list of {', '.join(PROVIDERS)}")
    return PROVIDERS[value]


@dataclass(frozen=True, slots=True)
class Store:
    """A store to track: `alias` is what `/api/stores/{storeId}` also accepts."""

    username: str
    alias: str


USERNAME = re.compile(r"[^\s/?#%&=,]{1,100}")


def store(value: str) -> Store:
    alias, _, username = value.rpartition("=")
    if not USERNAME.fullmatch(username) or (alias and not USERNAME.fullmatch(alias)):
        raise ValueError("must be a comma list of usernames or alias=username")
    return Store(username=username, alias=alias or username)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """May review matches and nothing else, of `stores` only unless that is empty."""

    name: str
    token: str = field(repr=False)
    stores: tuple[str, ...]


def reviewer(value: str) -> Reviewer:
    name, _, rest = value.partition(":")
    token, limit, stores = rest.partition(":")
    if not name or not token or name == ADMIN or not value.isprintable():
        raise ValueError(f"must be a comma list of name:token or name:token:store+store, none of them named {ADMIN}")
    limited_to = tuple(stores.split("+")) if limit else ()
    if not all(USERNAME.fullmatch(each) for each in limited_to):
        raise ValueError("must name stores after the second colon, joined by +, or have no second colon: all stores")
    return Reviewer(name=name, token=token, stores=limited_to)


def cors_origin(value: str) -> str:
    return value if value == "*" else origin(value)
