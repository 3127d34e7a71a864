"""The two commands that bring servers of their own: `./run demo` and `./run bench`."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.process import command_environment, run_command

pytestmark = pytest.mark.slow
START_TIMEOUT_S = 60.0


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    environment = {"DATA_DIR": str(folder), "PORT": "0", "HOST": "127.0.0.1"}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "demo"], env=command_environment(environment), stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, START_TIMEOUT_S)


async def printed(folder: Path, pattern: str) -> str:
    """The first group, once it is there."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            text = await asyncio.to_thread((folder / "out").read_text)
            if found := re.search(pattern, text):
                return found[1]
            await asyncio.sleep(0.1)


async def test_the_demo_shows_a_release_with_audio_and_ends_with_0(tmp_path: Path) -> None:
    async with demo(tmp_path) as process, aiohttp.ClientSession() as session:
        page = await printed(tmp_path, r"an inventory page +(\S+)")
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                async with session.get(page) as response:
                    assert response.status == 200
                    if any(row["audio_matches"] for row in (await response.json())["listings"]):
                        break
                await asyncio.sleep(1)
    assert process.returncode == 0
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session:
            await session.get(page)


async def test_a_demo_on_a_port_in_use_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shown = await run_command("demo", DATA_DIR=str(tmp_path), PORT=str(port), HOST="127.0.0.1")
    assert shown.returncode == 1
    assert f"PORT={port} is in use" in shown.stderr
    assert "Traceback" not in shown.stderr


async def test_the_benchmark_prints_every_ratio() -> None:
    shown = await run_command("bench", "--seconds", "0.2")
    assert shown.returncode == 0, shown.stderr
    with_ratio = re.findall(r"^ *(\S.*?)  .*\d\.\d\d$", shown.stdout, re.MULTILINE)
    assert {
        "release from Postgres (hit)",
        "listing, passed through (never kept)",
        "added to one not asked before, one at a time",
        "visibility, resource and lifetime of a request",
        "budget and lanes of a call",
    } <= {name.strip() for name in with_ratio}
