"""A wire to PostgreSQL's socket that can be cut: the database goes away and comes back, as the proxy sees it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

SOCKET_NAME = ".s.PGSQL.5432"


class Relay:
    """`dsn` leads through the wire."""

    def __init__(self, dsn: str, folder: Path) -> None:
        real = parse_qs(urlsplit(dsn).query)["host"][0]
        self.dsn = dsn.replace(quote(real, safe=""), quote(str(folder), safe=""))
        assert self.dsn != dsn
        self._real, self._socket = Path(real, SOCKET_NAME), folder / SOCKET_NAME
        self._server: asyncio.Server | None = None
        self._wires: set[asyncio.StreamWriter] = set()

    async def restore(self) -> None:
        self._server = await asyncio.start_unix_server(self._relay, self._socket)

    async def cut(self) -> None:
        """Nobody gets in any more, and who was in is thrown out."""
        if self._server:
            self._server.close()
            self._socket.unlink(missing_ok=True)
            self._server = None
        for wire in list(self._wires):
            wire.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = self._server
        real_reader, real_writer = await asyncio.open_unix_connection(self._real)
        ends = {writer, real_writer}
        if server is None or server is not self._server:  # cut meanwhile
            for end in ends:
                end.transport.abort()
            return
        self._wires |= ends
        await asyncio.gather(pump(reader, real_writer), pump(real_reader, writer))
        self._wires -= ends


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def relayed(dsn: str) -> AsyncIterator[Relay]:
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(dsn, Path(folder))
        await relay.restore()
        try:
            yield relay
        finally:
            await relay.cut()
