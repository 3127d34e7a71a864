"""Who calls the admin API or opens its pages: tokens and sessions, and a limit to guessing and to haste."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from matcher.database import Database
from proxy.adapters import sessions
from proxy.domain.access import (
    ADMIN,
    SESSION_S,
    Caller,
    Credential,
    Session,
    bearer_token,
    credential_of_token,
    session_of,
)
from proxy.domain.rate_limit import RateLimit
from proxy.errors import TooManyRequests, Unauthorized
from proxy.services.needed import needed_connection
from proxy.settings import Settings

WANTED = "The admin token is needed: Authorization: Bearer <ADMIN_TOKEN>."


def credentials_of(settings: Settings, admin_token: str) -> tuple[Credential, ...]:
    """Reviewers' stores may be named by alias."""
    usernames = {each.alias.lower(): each.username.lower() for each in settings.stores}

    def stores(names: Sequence[str]) -> frozenset[str] | None:
        return frozenset(usernames.get(name.lower(), name.lower()) for name in names) if names else None

    return (
        Credential(Caller(ADMIN, is_admin=True), admin_token),
        *(
            Credential(Caller(each.name, is_admin=False, stores=stores(each.stores)), each.token)
            for each in settings.review_tokens
        ),
    )


@dataclass(slots=True)
class AccessService:
    """`credentials` may be replaced while it runs: sessions of a token that changed or is gone end with it."""

    credentials: tuple[Credential, ...]
    database: Database
    guesses: RateLimit = field(default_factory=lambda: RateLimit(per_minute=10, burst=10))
    """Wrong tokens, by address. A right one always passes: whoever shares his address with a guesser is not locked out,
    and tokens are too long for a guess to come true at any pace.
    """
    calls: RateLimit = field(default_factory=lambda: RateLimit(per_minute=3000, burst=3000))
    """By the name of who calls."""
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time

    def is_own(self, authorization: str) -> bool:
        """An Authorization field with a token of ours."""
        token = bearer_token(authorization)
        return token is not None and credential_of_token(token, self.credentials) is not None

    def by_token(self, token: str, client: str) -> Credential:
        """`client`: his address. Raises Unauthorized, TooManyRequests."""
        if found := credential_of_token(token, self.credentials):
            return found
        now = self.clock()
        if wait_s := self.guesses.wait_s(client, now):
            raise TooManyRequests("Too many wrong tokens came from this address.", wait_s)
        self.guesses.count(client, now)
        raise Unauthorized(WANTED)

    async def by_session(self, cookie: str) -> Credential:
        """Raises Unauthorized, Degraded."""
        found = session_of(cookie, self.credentials, self.wall_clock())
        if found is None:
            raise Unauthorized(WANTED)
        async with needed_connection(self.database) as connection:
            if await sessions.has_ended(connection, found):
                raise Unauthorized(WANTED)
        return found.credential

    def admit(self, caller: Caller) -> None:
        """Counts a call. Raises TooManyRequests."""
        now = self.clock()
        if wait_s := self.calls.wait_s(caller.name, now):
            raise TooManyRequests(f"Too many calls to the admin API came from {caller.name}.", wait_s)
        self.calls.count(caller.name, now)

    def new_session(self, credential: Credential) -> Session:
        """Good for SESSION_S."""
        return Session(secrets.token_urlsafe(12), credential, int(self.wall_clock()) + SESSION_S)

    async def end_session(self, cookie: str) -> None:
        """For whoever has the cookie, in every process. Raises Degraded."""
        if found := session_of(cookie, self.credentials, self.wall_clock()):
            async with needed_connection(self.database) as connection:
                await sessions.end(connection, found)
