"""Every setting of the proxy: one frozen value, read once from the environment, `.env` and NAME_FILE secrets.

A setting left empty counts as unset. All problems are reported at once, each by the variable's name.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs
from dotenv import dotenv_values

from proxy import __version__
from proxy.setting_values import (
    SIX_HOURS_MS,
    IPNetwork,
    Provider,
    Reviewer,
    Store,
    comma_list,
    confidence,
    content_age,
    cors_origin,
    existing_file,
    header_value,
    milliseconds,
    network,
    number,
    one_of,
    origin,
    path,
    provider,
    reviewer,
    store,
    switch,
    text,
    url,
    webhook_secret,
    webhook_url,
)

OFFICIAL_API_URL = "https://api.discogs.com"
OFFICIAL_YOUTUBE_API_URL = "https://www.googleapis.com/youtube/v3"


class SettingsError(Exception):
    """One or more settings cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


LONG_TOKEN = 16
"""Characters of a token of ours that nobody guesses at the pace at which guesses are answered."""


def setting(
    name: str, parse: Callable[[str], object], default: str | None, explanation: str, *, secret: bool = False
) -> Any:
    """A field of `Settings`. `default` is written as it would be in the environment; None means unset."""
    metadata = {"name": name, "parse": parse, "default": default, "explanation": explanation, "secret": secret}
    return field(metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. Times are in milliseconds where the name ends in `_ms`."""

    host: str = setting("HOST", text, "127.0.0.1", "address to listen on")
    port: int = setting("PORT", number(0, 65535), "8080", "port to listen on (0: any free one)")
    public_url: str | None = setting(
        "PUBLIC_URL", origin, None, "origin that the shop uses; unset: taken from Host or trusted X-Forwarded-*"
    )
    trusted_proxies: tuple[IPNetwork, ...] = setting(
        "TRUSTED_PROXIES", comma_list(network), None, "addresses whose X-Forwarded-* are believed"
    )
    discogs_api_url: str = setting("DISCOGS_API_URL", origin, OFFICIAL_API_URL, "upstream origin")
    discogs_token: str | None = setting(
        "DISCOGS_TOKEN", header_value, None, "the operator's personal token", secret=True
    )
    discogs_consumer_key: str | None = setting(
        "DISCOGS_CONSUMER_KEY", header_value, None, "the operator's application key (better than a token)", secret=True
    )
    discogs_consumer_secret: str | None = setting(
        "DISCOGS_CONSUMER_SECRET", header_value, None, "the operator's application secret", secret=True
    )
    discogs_user_agent: str = setting(
        "DISCOGS_USER_AGENT",
        header_value,
        f"discogs-proxy/{__version__} +https://github.com/discogs-proxy/discogs-proxy",
        "User-Agent sent upstream: product/version +url",
    )
    discogs_rate_limit: int | None = setting(
        "DISCOGS_RATE_LIMIT", number(0, 1_000_000), None, "calls per minute; unset: learned; 0: no limit"
    )
    database_url: str | None = setting(
        "DATABASE_URL", url("postgresql", "postgres"), None, "PostgreSQL 15 or later; unset: embedded", secret=True
    )
    data_dir: Path = setting(
        "DATA_DIR", path, None, "folder of the embedded PostgreSQL and the response cache; unset: per user"
    )
    redis_url: str | None = setting(
        "REDIS_URL",
        url("redis", "rediss", "unix"),
        None,
        "without effect yet: each replica keeps responses of its own",
        secret=True,
    )
    admin_token: str | None = setting(
        "ADMIN_TOKEN",
        header_value,
        None,
        "bearer token of /api/admin, best 16 characters or more; unset: made and kept in DATA_DIR",
        secret=True,
    )
    review_tokens: tuple[Reviewer, ...] = setting(
        "REVIEW_TOKENS",
        comma_list(reviewer),
        None,
        "who may review, as name:token[:store+store]; tokens are best of 16 characters or more",
        secret=True,
    )
    stores: tuple[Store, ...] = setting(
        "STORES", comma_list(store), None, "stores tracked from the start, alias=username allowed"
    )
    tracked_stores_max: int = setting(
        "TRACKED_STORES_MAX", number(0, 100_000), "50", "further stores tracked once asked for; 0: only STORES"
    )
    own_front_end_view: str = setting(
        "OWN_FRONT_END_VIEW",
        one_of("forward", "public"),
        "forward",
        "what a caller with the operator's own credential gets of his store's For Sale",
    )
    foreign_inventory: str = setting(
        "FOREIGN_INVENTORY",
        one_of("shared", "forward"),
        "shared",
        "what identified callers get of a store not theirs",
    )
    budget_group: str | None = setting(
        "BUDGET_GROUP", text, None, "processes behind one egress IP share one budget; unset: one per database"
    )
    audio_visible: str = setting(
        "AUDIO_VISIBLE", one_of("all", "approved"), "all", "approved keeps pending matches from the shop"
    )
    webhook_url: str | None = setting("WEBHOOK_URL", webhook_url, None, "where events are sent", secret=True)
    webhook_secret: str | None = setting("WEBHOOK_SECRET", webhook_secret, None, "signs the events", secret=True)
    background_processing_enabled: bool = setting(
        "BACKGROUND_PROCESSING_ENABLED", switch, "true", "false: no pool and no scheduled checks"
    )
    audio_matching_batch_size: int = setting(
        "AUDIO_MATCHING_BATCH_SIZE", number(1, 100), "5", "releases matched at once"
    )
    cache_persistence_threshold: float = setting(
        "CACHE_PERSISTENCE_THRESHOLD", confidence, "50", "least confidence of one track for a release to be kept"
    )
    approval_threshold: float = setting(
        "APPROVAL_THRESHOLD", confidence, "85", "from here a match is approved without a human"
    )
    inventory_sync_interval_ms: int = setting(
        "INVENTORY_SYNC_INTERVAL", milliseconds, "300000", "ms between reconciliations of a store: pages read again"
    )
    new_listing_check_interval_ms: int = setting(
        "NEW_LISTING_CHECK_INTERVAL", milliseconds, "60000", "ms between checks of a store that is looked at"
    )
    release_max_age_ms: int = setting(
        "RELEASE_MAX_AGE", milliseconds, "10800000", "ms after which a release is refreshed on demand"
    )
    content_max_age_ms: int = setting(
        "CONTENT_MAX_AGE", content_age, str(SIX_HOURS_MS), "ms beyond which restricted content is never served"
    )
    upstream_deadline_ms: int = setting(
        "UPSTREAM_DEADLINE", milliseconds, "10000", "ms that a request waits at most for budget and upstream"
    )
    match_providers: tuple[Provider, ...] = setting(
        "MATCH_PROVIDERS",
        comma_list(provider),
        "discogs_videos,musicbrainz,deezer",
        "order of audio providers; youtube joins when YOUTUBE_API_KEY is set, itunes if named",
    )
    youtube_api_key: str | None = setting("YOUTUBE_API_KEY", header_value, None, "YouTube Data API key", secret=True)
    musicbrainz_api_url: str = setting(
        "MUSICBRAINZ_API_URL", url("https", "http"), "https://musicbrainz.org/ws/2", "MusicBrainz, with its path"
    )
    deezer_api_url: str = setting("DEEZER_API_URL", url("https", "http"), "https://api.deezer.com", "Deezer")
    youtube_api_url: str = setting(
        "YOUTUBE_API_URL", url("https", "http"), OFFICIAL_YOUTUBE_API_URL, "YouTube, with its path"
    )
    itunes_api_url: str = setting("ITUNES_API_URL", url("https", "http"), "https://itunes.apple.com", "iTunes")
    workers: int = setting("WORKERS", number(1, 64), "1", "processes that share the port")
    tls_cert: Path | None = setting("TLS_CERT", existing_file, None, "certificate chain (PEM): serve https itself")
    tls_key: Path | None = setting("TLS_KEY", existing_file, None, "private key (PEM) of TLS_CERT")
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", comma_list(cors_origin), "*", "browsers' origins that may read answers"
    )
    log_level: str = setting("LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "least level logged")
    log_format: str | None = setting(
        "LOG_FORMAT", one_of("console", "json"), None, "unset: console on a terminal, json elsewhere"
    )

    @property
    def audio_providers(self) -> tuple[Provider, ...]:
        """In the order in which they are asked; YouTube is the last one where it has a key and no place of its own."""
        joins = self.youtube_api_key is not None and "youtube" not in self.match_providers
        return (*self.match_providers, "youtube") if joins else self.match_providers

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Parse all settings, or raise SettingsError with every problem found."""
        problems: list[str] = []
        values: dict[str, Any] = {each.attribute: _value(each, environment, problems) for each in variables()}
        problems += _misspelt(environment)
        if not problems:
            problems += _contradictions(values)
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    def warnings(self) -> Iterator[str]:
        """What can be used, but not as whoever set it may hope."""
        tokens = {"ADMIN_TOKEN": [self.admin_token or ""], "REVIEW_TOKENS": [each.token for each in self.review_tokens]}
        for name, each in tokens.items():
            if any(0 < len(token) < LONG_TOKEN for token in each):
                yield f"{name}: fewer than {LONG_TOKEN} characters can be guessed; `openssl rand -hex 24` makes a token"
        if self.redis_url:
            yield "REDIS_URL has no effect yet: replicas share the database, and each keeps responses of its own"


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table, for `--help`, the README and `.env.example`."""

    attribute: str
    name: str
    parse: Callable[[str], object]
    default: str | None
    explanation: str
    secret: bool
    optional_list: bool


def variables() -> Iterator[Variable]:
    for entry in fields(Settings):
        yield Variable(attribute=entry.name, optional_list=str(entry.type).startswith("tuple"), **entry.metadata)


def default_data_dir() -> Path:
    """Where data goes when DATA_DIR is unset: a system folder for root, else the user's own data folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/discogs-proxy")
    return Path(platformdirs.user_data_dir("discogs-proxy", appauthor=False))


def read_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment over `.env` in `folder`. Raises SettingsError when `.env` names an unknown setting."""
    from_file = {name: value or "" for name, value in dotenv_values(folder / ".env", interpolate=False).items()}
    known = known_names()
    problems = [
        f"{name} in {folder / '.env'} is not a setting{_suggestion(name, known)}"
        for name in from_file
        if name not in known
    ]
    if problems:
        raise SettingsError(problems)
    return from_file | dict(environment)


def _value(variable: Variable, environment: Mapping[str, str], problems: list[str]) -> object:
    try:
        raw = _raw(variable, environment)
        if raw is None:
            return _unset(variable)
        return variable.parse(raw)
    except ValueError as error:
        shown = "(its value is not shown)" if variable.secret else f"is {environment.get(variable.name, '')!r}"
        problems.append(f"{variable.name} {shown}: it {error}")
        return None


def _unset(variable: Variable) -> object:
    if variable.attribute == "data_dir":
        return default_data_dir()
    return () if variable.optional_list else None


def _raw(variable: Variable, environment: Mapping[str, str]) -> str | None:
    value = environment.get(variable.name, "").strip()
    file = environment.get(f"{variable.name}_FILE", "").strip() if variable.secret else ""
    if value and file:
        raise ValueError(f"must be set once, but {variable.name}_FILE is set too")
    if file:
        value = _secret_from(Path(file), f"{variable.name}_FILE")
    return value or variable.default


def _secret_from(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"must be readable from {name}={str(file)!r}, but: {error}") from None


def known_names() -> set[str]:
    """Every name of the environment that is a setting of ours."""
    return {name for each in variables() for name in (each.name, *([f"{each.name}_FILE"] if each.secret else []))}


NEAR_MISS = 0.9
"""Likeness (difflib) from which an unknown environment variable is taken for a misspelt setting."""


def _misspelt(environment: Mapping[str, str]) -> list[str]:
    known = known_names()
    unset = {name for name in known if not environment.get(name)}
    return [
        f"{name} is not a setting{suggestion}"
        for name in environment
        if name not in known and len(name) >= 8 and (suggestion := _suggestion(name, unset, NEAR_MISS))
    ]


def _suggestion(name: str, known: set[str], likeness: float = 0.6) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=likeness)
    return f": did you mean {close[0]}?" if close else ""


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    for one, other in (
        ("discogs_consumer_key", "discogs_consumer_secret"),
        ("tls_cert", "tls_key"),
    ):
        if (values[one] is None) != (values[other] is None):
            yield f"{one.upper()} and {other.upper()} must be set together"
    if "youtube" in values["match_providers"] and not values["youtube_api_key"]:
        yield "MATCH_PROVIDERS names youtube, but YOUTUBE_API_KEY is not set"
    if values["own_front_end_view"] == "public" and not values["discogs_token"]:
        yield "OWN_FRONT_END_VIEW is public, but DISCOGS_TOKEN, by which that front end is known, is not set"
    if values["workers"] > 1 and os.name == "nt":
        yield "WORKERS must be 1 here: Windows does not let processes share a port as we do"
    if values["discogs_api_url"] == f"http://{values['host']}:{values['port']}":
        yield "DISCOGS_API_URL is the proxy itself (HOST and PORT): it must be the upstream"
    yield from _half_a_webhook(values)
    yield from _repeated(values)


def _half_a_webhook(values: Mapping[str, Any]) -> Iterator[str]:
    if values["webhook_secret"] and not values["webhook_url"]:
        yield "WEBHOOK_SECRET is set, but WEBHOOK_URL is not"
    if values["webhook_url"] and not values["webhook_secret"]:
        yield (
            "WEBHOOK_URL is set, but WEBHOOK_SECRET, by which the receiver knows our events, is not: "
            'make one with  echo "whsec_$(openssl rand -base64 32)"'
        )


def _repeated(values: Mapping[str, Any]) -> Iterator[str]:
    tokens = [values["admin_token"], *(each.token for each in values["review_tokens"])]
    if len(set(tokens)) < len(tokens):
        yield "REVIEW_TOKENS and ADMIN_TOKEN hold a token twice: each person needs one of his own"
    yield from (f"REVIEW_TOKENS names {name} twice" for name in _twice(each.name for each in values["review_tokens"]))
    yield from (f"STORES names {alias} twice" for alias in _twice(each.alias.lower() for each in values["stores"]))


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
