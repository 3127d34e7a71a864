"""Adopts the matches of the old system: their releases are stored one by one, then the foreign key is validated.

Rows stay where they are and the proxy goes on serving. Every step may be repeated and then does nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from matcher import migration_store
from matcher.database import Database


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What one run did and what is left; `matches` is the number of rows of track_matches, which never falls."""

    matches: int
    orphaned_releases: int
    newly_queued: int
    has_audio_corrected: int
    foreign_key: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def done(self) -> bool:
        return self.foreign_key == "valid"


async def migrate(database: Database) -> MigrationReport:
    async with database.transaction() as connection:
        await migration_store.store_orphans_without_audio(connection)
        queued = await migration_store.queue_orphans(connection)
        orphans = await migration_store.count_orphans(connection)
        corrected = await migration_store.refresh_all_has_audio(connection)
        matches = await migration_store.count_matches(connection)
    return MigrationReport(
        matches=matches,
        orphaned_releases=orphans,
        newly_queued=queued,
        has_audio_corrected=corrected,
        foreign_key=await _foreign_key(database, orphans),
    )


async def _foreign_key(database: Database, orphans: int) -> str:
    async with database.connection() as connection:
        if await migration_store.foreign_key_is_valid(connection):
            return "valid"
        if orphans:
            return "waits for the orphaned releases to be stored"
        await migration_store.validate_foreign_key(connection)
        return "valid"
