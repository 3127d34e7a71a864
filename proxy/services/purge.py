"""Drops what is kept of a release, a store or a path, in the response cache and in Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never
from urllib.parse import quote

from matcher import store
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import listings
from proxy.adapters.responses import ResponseStore
from proxy.domain.purge import Purge, PurgePath, PurgeRelease, PurgeStore
from proxy.domain.resources import Kind, resource_of
from proxy.errors import Degraded


@dataclass(slots=True)
class PurgeService:
    """Matches and facts of a release are no copies: they stay."""

    database: Database
    responses: ResponseStore

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
            raise Degraded("The database is away: what it holds cannot be purged now.", 5) from error

    async def _release(self, release_id: int, *, soft: bool) -> dict[str, int]:
        answers = await self.responses.purge([f"/releases/{release_id}"], soft=soft)
        async with self.database.transaction() as connection:
            return {"answers": answers, "releases": await store.purge_body(connection, release_id, soft=soft)}

    async def _store(self, username: str, *, soft: bool) -> dict[str, int]:
        answers = await self.responses.purge([f"/users/{quote(username, safe='')}"], soft=soft)
        async with self.database.transaction() as connection:
            return {"answers": answers, "listings": await listings.purge_store(connection, username, soft=soft)}

    async def _path(self, path: str, *, soft: bool) -> dict[str, int]:
        resource = resource_of(path)
        if resource.kind is Kind.RELEASE and resource.release_id:
            return await self._release(resource.release_id, soft=soft)
        return {"answers": await self.responses.purge([path], soft=soft)}
