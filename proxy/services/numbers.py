"""The numbers that operators want to see: what the proxy saves, how fast it is, how matching goes."""

from __future__ import annotations

from dataclasses import dataclass

from matcher import queue_store
from matcher.database import Database
from proxy.adapters import tracking
from proxy.adapters.upstream import Upstream
from proxy.domain.counting import ratio
from proxy.domain.loads import quantile_ms
from proxy.services.demand import Demand

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Numbers:
    """From totals that outlive a restart, and that all processes on the database share."""

    database: Database
    demand: Demand
    upstream: Upstream

    async def read(self, hours: int) -> Json:
        """Since the beginning of the hour that was `hours` ago; the queue and the budget as they are now.

        Of this process everything that was counted is in it, of others all but the last seconds. A ratio is None where
        there is nothing that it could be of. Raises DatabaseUnavailable.
        """
        await self.demand.flush()
        async with self.database.connection() as connection:
            totals = await tracking.totals(connection, hours)
            queue = await queue_store.counts(connection)
        await self.upstream.lanes.look()
        calls, limit = totals.together, self.upstream.limit
        return {
            "since": totals.since.isoformat(),
            "stores": {
                name: {
                    "requests": of_store.requests,
                    "hits": of_store.hits,
                    "hit_rate": ratio(of_store.hit_rate),
                    "load_ms": {"p50": quantile_ms(loads, 0.5), "p95": quantile_ms(loads, 0.95)},
                }
                for name, (of_store, loads) in totals.stores.items()
                if of_store.requests
            },
            "api_calls": {
                "client": calls.client_calls,
                "upstream": calls.upstream_calls,
                "reduction": ratio(calls.reduction),
            },
            "queue": {status.value: count for status, count in queue.items()},
            "matching": {
                "releases": totals.decided,
                "matched": totals.matched,
                "success_rate": ratio(totals.matched / totals.decided if totals.decided else None),
            },
            "budget": {"limit": limit or None, "remaining": self.upstream.remaining if limit else None},
        }
