"""Servers that a command runs beside itself, as Python processes of their own: the simulated Discogs, the proxy."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from proxy.settings import known_names

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
STOP_TIMEOUT_S = 20.0
NOBODY = f"http://{HOST}:9/youtube/v3"
"""Simulated videos are not looked for at YouTube."""
Process = subprocess.Popen[bytes]


class ServerEnded(Exception):
    """A server that should be up has ended; it has said why on standard error."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def is_free(host: str, port: int) -> bool:
    """False where another server listens: it would answer in place of ours while ours still starts."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


@contextmanager
def server(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A Python process of ours, stopped at the end. Of our settings it sees those in `environment` alone.

    What it prints is dropped, what it logs on standard error is not.
    """
    unset = dict.fromkeys(known_names(), "")
    own = {"PYTHONPATH": str(ROOT)} | unset | {"YOUTUBE_API_URL": NOBODY} | dict(environment or {})
    with running([sys.executable, *arguments], own) as process:
        yield process


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A process that is stopped at the end. What it prints is dropped, what it writes to standard error is not."""
    process = subprocess.Popen(  # noqa: S603 - our own commands
        command, cwd=ROOT, env=os.environ | dict(environment or {}), stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_running(process: Process) -> None:
    """Raises ServerEnded."""
    if process.poll() is not None:
        command = process.args if isinstance(process.args, list) else []
        raise ServerEnded(f"{' '.join(map(str, command[1:3]))} ended with {process.returncode}")


async def until_up(process: Process, url: str, timeout_s: float) -> None:
    """Returns when `url` answers 200. Raises ServerEnded or TimeoutError."""
    async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
        while True:
            check_running(process)
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # not listening yet
            await asyncio.sleep(0.1)


async def until_listening(process: Process, port: int, timeout_s: float) -> None:
    """Returns when somebody can connect; no request is made. Raises ServerEnded or TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while True:
            check_running(process)
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
