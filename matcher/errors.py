"""What can go wrong in a match job, told apart by what must happen next.

MatcherError
├── DatabaseUnavailable   Postgres is away, full or read-only: wait for it
├── Undecidable           a person's decision cannot be carried out; the message says why
│   ├── NoSuchMatch       the match or the track does not exist (any more)
│   └── NoSuchRelease     it was never queued
├── MalformedRelease      the release cannot be matched as it is: an attempt is used up
├── ReleaseGone           Discogs says 404: failed at once
├── Unavailable           somebody else cannot answer now: the job is parked, no attempt is used up
│   └── Broken            a provider answered nonsense, broke off, or did not answer at all
│       ├── KeyRefused    ours, in words for the operator
│       └── Unreachable   nor ever since this process began: releases are decided without it
└── LeaseLost             another worker owns the job by now: drop what we did
"""

from __future__ import annotations


class MatcherError(Exception):
    """Base of the matcher's errors."""


class DatabaseUnavailable(MatcherError):
    """Postgres cannot be reached, is full or read-only."""


class MalformedRelease(MatcherError):
    """The body is not a release that can be matched; the message names what is wrong."""


class ReleaseGone(MatcherError):
    """Discogs does not have the release (any more)."""


class Unavailable(MatcherError):
    """Discogs or a provider is throttling or failing; `retry_after_s` says when to ask again."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Undecidable(MatcherError):
    """There is nothing to be decided so."""


class NoSuchMatch(Undecidable):
    """It was replaced by a later match or decision, or never existed."""


class NoSuchRelease(Undecidable):
    """It was never queued."""


class Broken(Unavailable):
    """A provider answered nonsense, broke off, or did not answer at all: it is not throttling us."""


class Unreachable(Broken):
    """A provider that was never heard since this process began: from here there may be no way to it."""


class KeyRefused(Broken):
    """A provider does not accept our key; the message says why, without it."""


class LeaseLost(MatcherError):
    """The lease of the job ran out and somebody else claimed it."""
