"""What is known of other pressings of the same master: their matches, and what people decided of them. No call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matcher.database import Database
from matcher.domain.metadata import master_of
from matcher.domain.tracklist import parse_duration
from matcher.domain.urls import spelling
from matcher.models import Candidate, Release, SaidElsewhere, Track
from matcher.pressings_store import PressingMatch, on_other_pressings

NAME = "pressings"
YOUTUBE = "youtube"


class Pressings:
    """Reads our own database."""

    name = NAME
    asks_nobody = True

    def __init__(self, database: Database) -> None:
        self._database = database

    async def candidates(
        self,
        release: Release,
        body: Mapping[str, object],
        wanted: Sequence[Track],  # noqa: ARG002
    ) -> Sequence[Candidate]:
        """Raises DatabaseUnavailable."""
        master_id = master_of(body)
        if master_id is None:
            return ()
        async with self._database.connection() as connection:
            return parse(await on_other_pressings(connection, release.release_id, master_id))


def parse(rows: Sequence[PressingMatch]) -> tuple[Candidate, ...]:
    """Each video once, with all that people said of it; a URL that a person set is named as its track."""
    found: dict[str, Candidate] = {}
    for row in rows:
        url = spelling(row.match_url)
        candidate = found.setdefault(url, _candidate(row))
        if row.is_decided:
            said = SaidElsewhere(not row.is_rejected, row.title, parse_duration(row.duration))
            found[url] = replace(candidate, said=tuple(dict.fromkeys((*candidate.said, said))))
    return tuple(found.values())


def _candidate(row: PressingMatch) -> Candidate:
    return Candidate(
        # What YouTube's API told stays under its terms, and as old as it is, on whichever release it is shown.
        provider=YOUTUBE if row.told_at else NAME,
        platform=row.platform or "",
        url=row.match_url,
        title=row.candidate_title or row.title,
        duration_s=row.candidate_duration_s,
        attached=True,
        told_at=row.told_at,
    )
