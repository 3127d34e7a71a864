"""What an operator asks of the match queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matcher.domain.queue_words import QueueState
from matcher.models import MatchCursor
from proxy.domain.asked import asked_limit, weighed_place_from
from proxy.errors import BadRequest


@dataclass(frozen=True, slots=True)
class AskedJobs:
    """`after`: None for the first page."""

    state: QueueState
    limit: int
    after: MatchCursor | None


def asked_jobs(query: Mapping[str, str]) -> AskedJobs:
    """Raises BadRequest."""
    try:
        state = QueueState(query.get("status", QueueState.QUEUED))
    except ValueError:
        raise BadRequest(f"status must be one of: {', '.join(QueueState)}.") from None
    after = weighed_place_from(query["cursor"], state) if query.get("cursor") else None
    return AskedJobs(state, asked_limit(query), after)
