"""The proxy's own errors, told apart by who is to blame; each carries what the client is answered.

ProxyError
├── BadRequest        400  the client's request cannot be understood
├── Unauthorized      401  the client must show other credentials
├── Forbidden         403  who he is does not suffice, or where he comes from
├── NotFound          404
├── MethodNotAllowed  405  `allowed` tells those that are
├── Conflict          409  the settings say otherwise
├── BudgetExhausted   429  no call to Discogs is free within the deadline
├── TooManyRequests   429  one client asks too much of the admin API
├── UpstreamBroken    502  Discogs answered with something that is not an answer, or not at all
│   └── UpstreamDropped
├── Degraded          503  a part of ours is away
├── UpstreamTimeout   504  Discogs did not answer in time
└── NotCached         504  the client wants only what is stored, and it is not
"""

from __future__ import annotations

from collections.abc import Collection


class ProxyError(Exception):
    """`status` and the message are what the client gets; `retry_after_s` becomes Retry-After."""

    status = 500

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadRequest(ProxyError):
    status = 400


class Unauthorized(ProxyError):
    status = 401


class Forbidden(ProxyError):
    status = 403


class NotFound(ProxyError):
    status = 404


class MethodNotAllowed(ProxyError):
    status = 405

    def __init__(self, message: str, allowed: Collection[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(ProxyError):
    status = 409


class BudgetExhausted(ProxyError):
    status = 429


class TooManyRequests(ProxyError):
    status = 429


class UpstreamBroken(ProxyError):
    status = 502


class UpstreamDropped(UpstreamBroken):
    """The connection was dropped before an answer; upstream may never have seen the call."""


class Degraded(ProxyError):
    status = 503


class UpstreamTimeout(ProxyError):
    status = 504


class NotCached(ProxyError):
    status = 504
