"""Operators look at the match queue and put a release back into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from matcher import queue_view
from matcher.database import Connection, Database
from matcher.errors import NoSuchRelease, Undecidable
from proxy.adapters.sellers import descriptions
from proxy.domain.asked import encoded_cursor
from proxy.domain.queue import AskedJobs
from proxy.errors import Conflict, NotFound
from proxy.services.needed import needs_the_database

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class QueueService:
    """`on_requeued` is told once a release waits again. Every method raises Degraded, NotFound, Conflict."""

    database: Database
    on_requeued: Callable[[], None]

    async def jobs(self, asked: AskedJobs) -> Json:
        """How many there are of each state, and those of one of them. `title` is also that of a listing."""
        async with self._transaction() as connection:
            counts = await queue_view.counts(connection)
            found, after = await queue_view.jobs(connection, asked.state, asked.limit, asked.after)
            listed = await descriptions(connection, [each.release_id for each in found if each.title is None])
        return {
            "counts": {state.value: count for state, count in counts.items()},
            "jobs": [{**each._asdict(), "title": each.title or listed.get(each.release_id)} for each in found],
            "next": None if after is None else encoded_cursor(asked.state, after),
        }

    async def requeue(self, release_id: int) -> Json:
        async with self._transaction() as connection:
            state, changed = await queue_view.requeue(connection, release_id)
        if changed:
            self.on_requeued()
        return {"release_id": release_id, "status": state.value, "changed": changed}

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        try:
            with needs_the_database():
                async with self.database.transaction() as connection:
                    yield connection
        except NoSuchRelease as error:
            raise NotFound(str(error)) from error
        except Undecidable as error:
            raise Conflict(str(error)) from error
