"""The proxy as a process of its own, as `./run` starts it, to be stopped and killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.commands.processes import NOBODY
from proxy.settings import known_names

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 30.0
LISTENING = re.compile(rb'"url":\s*"(http[^"]+)"')


class ProxyProcess:
    """`url` is where it listens; its log is in `log_file`."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path, url: str) -> None:
        self.process = process
        self.log_file = log_file
        self.url = url

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, START_TIMEOUT_S)


def command_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Ours alone: no setting of the surrounding shell or of .env leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    unset = dict.fromkeys(known_names(), "")
    return kept | unset | {"PYTHONPATH": str(ROOT), "LOG_FORMAT": "json"} | dict(environment)


async def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of `./run`, to its end; servers of the test go on meanwhile."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "proxy", *arguments],
        env=command_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@asynccontextmanager
async def proxy_process(log_file: Path, **environment: str) -> AsyncIterator[ProxyProcess]:
    """Started and listening; killed at the end if it still runs."""
    with log_file.open("ab") as log:
        offset = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy"],
            # Other providers would be asked where they really are, and YouTube for simulated videos.
            env=command_environment(
                {"PORT": "0", "MATCH_PROVIDERS": "discogs_videos", "YOUTUBE_API_URL": NOBODY} | environment
            ),
            stderr=log,
        )
    try:
        yield ProxyProcess(process, log_file, await _url(process, log_file, offset))
    finally:
        if process.poll() is None:
            process.kill()
        await asyncio.to_thread(process.wait)


async def _url(process: subprocess.Popen[bytes], log_file: Path, offset: int) -> str:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            written = await asyncio.to_thread(log_file.read_bytes)
            if found := LISTENING.search(written[offset:]):
                return found[1].decode()
            assert process.poll() is None, written.decode(errors="replace")
            await asyncio.sleep(0.05)
