from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from tests.conftest import Proxy


async def exchange(proxy: Proxy, request: bytes) -> tuple[int, bytes]:
    """Raw bytes to the proxy; status and body of what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GARBAGE\r\n\r\n",
        b"GET /releases/1?token=hunter2 x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthoriz\x00ation: hunter2\r\n\r\n",
        b"GET /releases/1 HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_message_and_leaves_no_secret(
    proxy: Proxy, request_bytes: bytes, logs: list[structlog.types.EventDict]
) -> None:
    status, body = await exchange(proxy, request_bytes + b"\r\n\r\n")
    assert status == 400
    assert json.loads(body)["message"]
    assert "hunter2" not in f"{body!r} {logs}"


@pytest.mark.parametrize("target", [b"*", b"evil.example:443"])
async def test_a_target_that_is_no_path_is_refused(proxy: Proxy, target: bytes) -> None:
    method = b"CONNECT" if b":" in target else b"OPTIONS"
    status, body = await exchange(proxy, method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status in (400, 404, 405)
    assert json.loads(body)["message"]
