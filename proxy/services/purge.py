"""Drops what is kept of a release, a store or a path, in the response cache and in Postgres."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import assert_never
from urllib.parse import quote

import structlog

from matcher import store
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import mirror
from proxy.adapters.changes import Changes, Dropped
from proxy.adapters.responses import ResponseStore
from proxy.domain.credentials import masked
from proxy.domain.purge import Purge, PurgePath, PurgeRelease, PurgeStore
from proxy.domain.request import ShopRequest
from proxy.domain.resources import Kind, resource_of
from proxy.domain.visibility import SAFE_METHODS
from proxy.errors import Degraded
from proxy.services.finished import FinishedAnswers

log = structlog.get_logger()


@dataclass(slots=True)
class PurgeService:
    """Matches and facts of a release are no copies: they stay."""

    database: Database
    responses: ResponseStore
    finished: FinishedAnswers
    changes: Changes
    _dropping: set[asyncio.Future[int | None]] = field(default_factory=set)

    async def purge(self, what: Purge, *, soft: bool) -> dict[str, int]:
        """How much was dropped of each kind. Raises Degraded."""
        try:
            match what:
                case PurgeRelease(release_id):
                    return await self._release(release_id, soft=soft)
                case PurgeStore(username):
                    return await self._store(username, soft=soft)
                case PurgePath(path):
                    return await self._path(path, soft=soft)
                case _:
                    assert_never(what)
        except DatabaseUnavailable as error:
            raise Degraded(
                "The database is away or read-only: what it and other processes hold cannot be purged now.",
                5,
            ) from error

    def dropped_elsewhere(self, what: Dropped) -> None:
        """Another process dropped copies: ours go as well, those in memory at once."""
        self.responses.drop_noted()
        self.finished.drop_path(what.path, below=what.below)
        paths = [what.path]
        drop = self.responses.purge(paths, soft=what.soft) if what.below else self.responses.drop_paths(paths)
        task = asyncio.ensure_future(drop)
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def stop(self) -> None:
        await asyncio.gather(*self._dropping)

    async def written(self, request: ShopRequest, status: int) -> None:
        """A write went through to upstream: copies of what it names are dropped (RFC 9111 section 4.4).

        Not what lies below: a write to the root would empty the cache.
        """
        if request.method in SAFE_METHODS or status >= 400:
            return
        path = request.raw_path
        await self.responses.drop_paths([path])
        self.finished.drop_path(path, below=False)
        try:
            await self.changes.tell_dropped(Dropped(path, below=False, soft=False))
        except DatabaseUnavailable as error:  # the others then trust nothing that they keep in memory
            log.warning("other processes not told of a write", path=masked(path), error=str(error))

    async def _answers(self, path: str, *, soft: bool) -> int:
        """Of all processes. Raises DatabaseUnavailable."""
        dropped = await self.responses.purge([path], soft=soft)
        self.finished.drop_path(path)
        await self.changes.tell_dropped(Dropped(path, below=True, soft=soft))
        return dropped

    async def _release(self, release_id: int, *, soft: bool) -> dict[str, int]:
        answers = await self._answers(f"/releases/{release_id}", soft=soft)
        async with self.database.transaction() as connection:
            return {"answers": answers, "releases": await store.purge_body(connection, release_id, soft=soft)}

    async def _store(self, username: str, *, soft: bool) -> dict[str, int]:
        answers = await self._answers(f"/users/{quote(username, safe='')}", soft=soft)
        async with self.database.transaction() as connection:
            return {"answers": answers, "listings": await mirror.purge(connection, username, soft=soft)}

    async def _path(self, path: str, *, soft: bool) -> dict[str, int]:
        resource = resource_of(path)
        if resource.kind is Kind.RELEASE and resource.release_id:
            return await self._release(resource.release_id, soft=soft)
        return {"answers": await self._answers(path, soft=soft)}
