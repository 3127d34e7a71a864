"""Where a job of the queue stands, in words for an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from matcher.domain.retry import MAX_ATTEMPTS


class QueueState(StrEnum):
    """Of a release, as operators see it: each is in exactly one. `parked`: queued, but not to be claimed yet."""

    QUEUED = "queued"
    PARKED = "parked"
    PROCESSING = "processing"
    FAILED = "failed"
    UNMATCHED = "unmatched"
    MATCHED = "matched"


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a job in the queue. `waits_for_providers`: since one of them could not answer."""

    state: QueueState
    attempts: int
    not_before: datetime
    last_error: str | None
    waits_for_providers: bool
    lease_until: datetime | None
    decided_without: Sequence[str]
    has_no_audio: bool


def why(job: Place, now: datetime) -> str:
    """Why it is not done, or how it was decided."""
    match job.state:
        case QueueState.QUEUED:
            return "Its turn comes once what is asked for sooner is done."
        case QueueState.PARKED:
            return f"{_parked(job)}: {_error(job)}."
        case QueueState.PROCESSING:
            late = job.lease_until is not None and job.lease_until < now
            return "Its worker has not ended it in time: the next one frees it." if late else "A worker is at it."
        case QueueState.FAILED:
            return f"Given up at attempt {job.attempts} of {MAX_ATTEMPTS}, until a person requeues it: {_error(job)}."
        case QueueState.UNMATCHED | QueueState.MATCHED:
            return _decided(job)


def _parked(job: Place) -> str:
    until = f"{job.not_before:%Y-%m-%d %H:%M:%S} UTC"
    if job.waits_for_providers:
        return f"Waits until {until} for audio providers"
    if job.attempts:
        return f"Attempt {job.attempts} of {MAX_ATTEMPTS} failed, the next is at {until}"
    return f"Waits until {until}"


def _error(job: Place) -> str:
    return (job.last_error or "no reason was kept").rstrip(".")


def _decided(job: Place) -> str:
    if job.has_no_audio:
        return "A person said that there is no audio for it, ever."
    if job.decided_without:
        return f"Decided without the word of {', '.join(job.decided_without)}: it is looked at again when asked for."
    if job.state is QueueState.MATCHED:
        return "At least one track has a match."
    return "Nothing was found that is sure enough; it is looked for again after a month."
