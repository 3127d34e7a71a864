"""All SQL of the shared budget: the calls of the last minute of every process behind one address, one row each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from matcher.database import Connection, Database
from proxy.domain.budget import RUNNING_COUNTS_S, WINDOW_S, Lane, Reservation

SHARERS_REMEMBERED_S = 3600.0


@dataclass(slots=True)
class BudgetLog:
    """The log of one BUDGET_GROUP."""

    database: Database
    group: str
    process: UUID = field(default_factory=uuid4)
    _seen: list[tuple[float, int]] = field(default_factory=list)

    @property
    def sharers(self) -> int:
        """The most processes seen in it within the last hour, ourselves included."""
        return max((processes for _, processes in self._seen), default=1)

    def saw(self, processes: int, now: float) -> None:
        """Kept as a falling series: a later, higher number makes the earlier ones needless."""
        self._seen = [each for each in self._seen if each[1] > processes and each[0] > now - SHARERS_REMEMBERED_S]
        self._seen.append((now, processes))

    @asynccontextmanager
    async def turn(self, clock: Callable[[], float]) -> AsyncIterator[Turn]:
        """Alone with the log until the context ends. Raises DatabaseUnavailable.

        A shopper waits for it, so it does not wait for the disk: each process writes its calls anew with the next one,
        and only a crash of Postgres itself loses the last moment's.
        """
        async with self.database.transaction() as connection:
            await connection.execute(
                "SELECT set_config('synchronous_commit', 'off', true),"
                " pg_advisory_xact_lock(hashtextextended('budget ' || $1, 0))",
                self.group,
            )
            turn = Turn(connection, self, clock())
            await turn.read()
            self.saw(1 + turn.other_processes, turn.now)
            yield turn

    async def others(self, clock: Callable[[], float]) -> tuple[Reservation, ...]:
        """Their calls that count, for who makes none and so waits for no turn. Raises DatabaseUnavailable."""
        async with self.database.connection() as connection:
            turn = Turn(connection, self, clock())
            await turn.read()
            return turn.others


@dataclass(slots=True)
class Turn:
    """One process at work on the log. Ages go over the wire, as every process has a clock of its own."""

    connection: Connection
    log: BudgetLog
    now: float
    others: tuple[Reservation, ...] = ()
    other_processes: int = 0

    async def read(self) -> None:
        """The calls of the others that still count."""
        rows = await self.connection.fetch(
            """
            SELECT lane, process, extract(epoch FROM clock_timestamp() - started_at)::float8 AS started_s_ago,
                   extract(epoch FROM clock_timestamp() - ended_at)::float8 AS ended_s_ago
            FROM budget_calls
            WHERE budget_group = $1 AND process <> $2
              AND coalesce(ended_at + make_interval(secs => $3), started_at + make_interval(secs => $4))
                  > clock_timestamp()
            """,
            self.log.group,
            self.log.process,
            WINDOW_S,
            RUNNING_COUNTS_S,
        )
        self.others = tuple(
            Reservation(
                Lane(row["lane"]) if row["lane"] in set(Lane) else Lane.SHOPPER,
                self.now - row["started_s_ago"],
                None if row["ended_s_ago"] is None else self.now - row["ended_s_ago"],
            )
            for row in rows
        )
        self.other_processes = len({row["process"] for row in rows})

    async def record(self, own: Sequence[Reservation]) -> None:
        """Put our calls into the log as they are now, in place of what it says of us."""
        await self.connection.execute(
            """
            DELETE FROM budget_calls
            WHERE budget_group = $1
              AND (process = $2 OR ended_at < clock_timestamp() - make_interval(secs => $3)
                   OR started_at < clock_timestamp() - make_interval(secs => $3 + $4))
            """,
            self.log.group,
            self.log.process,
            WINDOW_S,
            RUNNING_COUNTS_S,
        )
        await self.connection.execute(
            """
            INSERT INTO budget_calls (call_id, budget_group, process, lane, started_at, ended_at)
            SELECT call_id, $1, $2, lane, clock_timestamp() - make_interval(secs => started_s_ago),
                   clock_timestamp() - make_interval(secs => ended_s_ago)
            FROM unnest($3::uuid[], $4::text[], $5::float8[], $6::float8[])
              AS call (call_id, lane, started_s_ago, ended_s_ago)
            """,
            self.log.group,
            self.log.process,
            [each.call_id for each in own],
            [each.lane.value for each in own],
            [max(0.0, self.now - each.started_at) for each in own],
            [None if each.ended_at is None else max(0.0, self.now - each.ended_at) for each in own],
        )
