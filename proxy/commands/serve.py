"""`./run`: the proxy, until SIGINT or SIGTERM; then it drains and ends with 0."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import Callable

import structlog
from aiohttp import web

from proxy import logs
from proxy.adapters.database import DatabaseUnusable
from proxy.adapters.embedded_postgres import EmbeddedPostgresError
from proxy.admin_token import kept_admin_token
from proxy.app import make_app
from proxy.background import Health, running
from proxy.commands.database import serving_database
from proxy.rotation import Rotator
from proxy.server import Runner
from proxy.settings import Settings, variables

DRAIN_S = 15.0
"""How long running requests may take to end once we are asked to stop."""

NOT_BUILT_YET = (
    "REDIS_URL",
    "WORKERS",
)
"""Settings that are checked, but that nothing reads in this version: said at start, so that nobody relies on them."""

log = structlog.get_logger()


def serve(settings: Settings, read: Callable[[], Settings], *, dump: bool = True) -> int:
    """The exit code: 1 when it cannot start, and why on standard error.

    `read` reads the settings anew, for SIGHUP; `dump`: a copy is kept before the schema changes.
    """
    logs.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_serve(settings, read, dump=dump))
        except (DatabaseUnusable, EmbeddedPostgresError, CannotListen) as error:
            print(f"discogs-proxy cannot start: {error}", file=sys.stderr)
            return 1


class CannotListen(Exception):
    """The address or the certificate cannot be used."""


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop


async def _serve(settings: Settings, read: Callable[[], Settings], *, dump: bool) -> int:
    stop, hung_up = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if hasattr(signal, "SIGHUP"):  # its default would end us without draining
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    health = Health()
    tls = _tls(settings)
    async with serving_database(settings, health, dump=dump) as database:
        token, token_file = (
            (settings.admin_token, None) if settings.admin_token else kept_admin_token(settings.data_dir)
        )
        app = make_app(settings, database, token, health)
        runner = Runner(
            app,
            access_log=None,
            shutdown_timeout=DRAIN_S / 2,  # spent twice: until requests have ended, and until they were cancelled
            auto_decompress=False,
        )
        try:
            await runner.setup()
            await _listen(runner, settings, tls)
            _tell(settings, runner.addresses, tls is not None, token_file)
            async with running("credentials", Rotator(app, read, hung_up, settings).run, health):
                await stop.wait()
            log.info("stopping", drain_seconds=DRAIN_S)
        finally:
            await runner.cleanup()
    log.info("stopped")
    return 0


async def _listen(runner: Runner, settings: Settings, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls, backlog=1024).start()
    except OSError as error:
        raise CannotListen(
            f"HOST={settings.host} PORT={settings.port} cannot be listened on ({error.strerror or error}): "
            "stop what uses the port, or set another PORT."
        ) from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise CannotListen(f"TLS_CERT and TLS_KEY cannot be used: {error}") from error
    return context


def _tell(settings: Settings, addresses: list[object], tls: bool, token_file: object) -> None:
    """Where it listens, whose credential it uses, what is missing."""
    scheme = "https" if tls else "http"
    for host, port, *_ in (address for address in addresses if isinstance(address, tuple)):
        shown = f"[{host}]" if ":" in str(host) else host
        log.info("listening", url=f"{scheme}://{shown}:{port}", upstream=settings.discogs_api_url)
    log.info("credential", using=_credential(settings))
    if token_file:
        log.info("admin token", file=str(token_file))
    if unread := without_effect(settings):
        log.warning("settings without effect yet", settings=unread)


def without_effect(settings: Settings) -> list[str]:
    """Those of NOT_BUILT_YET that were set to something else than their default."""
    default = Settings.from_environment({})
    return [
        each.name
        for each in variables()
        if each.name in NOT_BUILT_YET and getattr(settings, each.attribute) != getattr(default, each.attribute)
    ]


def _credential(settings: Settings) -> str:
    if settings.discogs_consumer_key:
        return "the operator's key and secret: 60 calls a minute"
    if settings.discogs_token:
        return "the operator's token: 60 calls a minute (key and secret are the better choice)"
    return "none: 25 calls a minute and no thumbnails; set DISCOGS_CONSUMER_KEY and DISCOGS_CONSUMER_SECRET"
