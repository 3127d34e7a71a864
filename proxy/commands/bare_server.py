"""What a hit is measured against: a bare aiohttp application that answers prebuilt bytes from memory."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from aiohttp import web


def main(body_file: str, port: str) -> None:
    body = Path(body_file).read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main(*sys.argv[1:])
