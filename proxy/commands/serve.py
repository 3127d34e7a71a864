"""`./run`: the proxy, until SIGINT or SIGTERM; then it drains and ends with 0. One process, or several for WORKERS."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from proxy import keys, logs
from proxy.adapters.database import DatabaseUnusable, connected
from proxy.adapters.embedded_postgres import EmbeddedPostgresError
from proxy.adapters.siblings import Siblings, socket_of
from proxy.admin_token import kept_admin_token
from proxy.app import make_app
from proxy.background import Health, running
from proxy.commands.database import copied_first, serving_database, serving_dsn
from proxy.commands.workers import PIPE, Workers, answering, environment_of_workers, reserved, sharing
from proxy.handlers.operations import siblings_app
from proxy.rotation import Rotator
from proxy.server import Runner
from proxy.settings import Settings

BACKLOG = 1024
DRAIN_S = 15.0
"""How long running requests may take to end once we are asked to stop."""
SPARE_S = 10.0
"""Beyond that, for a process to end at all."""

log = structlog.get_logger()


Read = Callable[[], Settings]
"""Reads all settings anew, for SIGHUP. Raises SettingsError."""


def serve(
    settings: Settings, read: Read, environment: Mapping[str, str], *, dump: bool = True, place: Siblings | None = None
) -> int:
    """The exit code: 1 when it cannot start, and why on standard error.

    `environment` is what `settings` are from; `dump`: a copy is kept before the schema changes; `place`: that of one of
    several processes, which another one begins.
    """
    serving: Coroutine[object, object, None]
    if place:
        serving = _work(settings, read, place)
    elif settings.workers > 1:
        serving = _serve_by_several(settings, environment, dump=dump)
    else:
        serving = _serve(settings, read, dump=dump)
    logs.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(serving)
            log.info("stopped")
        except (DatabaseUnusable, EmbeddedPostgresError, CannotListen) as error:
            print(f"discogs-proxy cannot start: {error}", file=sys.stderr)
            return 1
    return 0


class CannotListen(Exception):
    """The address or the certificate cannot be used."""


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop


async def _serve(settings: Settings, read: Read, *, dump: bool) -> None:
    """By this process alone."""
    told = _signals()
    health, tls = Health(), _tls(settings)
    async with serving_database(settings, health, dump=dump) as database:
        token, token_file = _admin_token(settings)
        app = make_app(settings, database, token, health)
        async with _running(app) as runner:
            with _listening(settings):
                await _site(runner, settings, tls).start()
            _tell(settings, runner.addresses, tls is not None, token_file)
            await _until_told(app, read, told)


async def _serve_by_several(settings: Settings, environment: Mapping[str, str], *, dump: bool) -> None:
    told, health, tls = _signals(), Health(), _tls(settings)

    async def tell_once_ready(workers: Workers, addresses: Sequence[object]) -> None:
        await asyncio.gather(*(workers.ready(number) for number in range(1, settings.workers + 1)))
        _tell(settings, addresses, tls is not None, token_file)

    async with serving_dsn(settings, health) as dsn:
        async with connected(dsn, connections=1, before_migration=copied_first(settings, dsn) if dump else None):
            pass  # the schema is as it should be
        _, token_file = _admin_token(settings)
        async with AsyncExitStack() as stack:
            with _listening(settings):
                addresses = await stack.enter_async_context(reserved(settings.host, settings.port))
            given = environment_of_workers(environment, dsn, addresses[0][1])
            several = sharing(settings.workers, given, health, told.hung_up, drain_s=DRAIN_S + SPARE_S)
            workers = await stack.enter_async_context(several)
            async with running("listening", lambda: tell_once_ready(workers, addresses), health):
                await told.stop.wait()
            log.info("stopping", drain_seconds=DRAIN_S)


async def _work(settings: Settings, read: Read, place: Siblings) -> None:
    """By one of several processes, until told, or until the one that began it is gone."""
    told = _signals()
    _stop_without_parent(told.stop)
    tls, dsn = _tls(settings), settings.database_url
    if dsn is None:
        raise DatabaseUnusable("DATABASE_URL is needed by a process that another one begins")
    async with connected(dsn, before_migration=copied_first(settings, dsn)) as database:
        app = make_app(settings, database, _admin_token(settings)[0], siblings=place)
        async with _running(app) as runner:
            with _listening(settings):
                await _site(runner, settings, tls, reuse_port=True).start()
            async with answering(siblings_app(app), socket_of(place.folder, place.own)):
                await _until_told(app, read, told)


def _stop_without_parent(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def parent_is_gone() -> None:
        loop.remove_reader(PIPE)  # its end can be read for ever
        stop.set()

    loop.add_reader(PIPE, parent_is_gone)


def _site(runner: Runner, settings: Settings, tls: ssl.SSLContext | None, *, reuse_port: bool = False) -> web.TCPSite:
    return web.TCPSite(
        runner, settings.host, settings.port, ssl_context=tls, backlog=BACKLOG, reuse_port=reuse_port or None
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What signals ask for."""

    stop: asyncio.Event
    hung_up: asyncio.Event


def _signals() -> _Told:
    told, loop = _Told(asyncio.Event(), asyncio.Event()), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.stop.set)
    if hasattr(signal, "SIGHUP"):  # its default would end us without draining
        loop.add_signal_handler(signal.SIGHUP, told.hung_up.set)
    return told


def _admin_token(settings: Settings) -> tuple[str, Path | None]:
    return (settings.admin_token, None) if settings.admin_token else kept_admin_token(settings.data_dir)


@asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[Runner]:
    """It drains at the end."""
    runner = Runner(
        app,
        access_log=None,
        shutdown_timeout=DRAIN_S / 2,  # spent twice: until requests have ended, and until they were cancelled
        auto_decompress=False,
    )
    try:
        await runner.setup()
        yield runner
    finally:
        await runner.cleanup()


async def _until_told(app: web.Application, read: Read, told: _Told) -> None:
    """Reads credentials again meanwhile, as often as told."""
    async with running("credentials", Rotator(app, read, told.hung_up, app[keys.SETTINGS]).run, app[keys.HEALTH]):
        await told.stop.wait()
    log.info("stopping", drain_seconds=DRAIN_S)


@contextmanager
def _listening(settings: Settings) -> Iterator[None]:
    try:
        yield
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


def _tell(settings: Settings, addresses: Sequence[object], tls: bool, token_file: object) -> None:
    """Where it listens, whose credential it uses, what is missing."""
    scheme = "https" if tls else "http"
    for host, port, *_ in (address for address in addresses if isinstance(address, tuple)):
        shown = f"[{host}]" if ":" in str(host) else host
        log.info("listening", url=f"{scheme}://{shown}:{port}", upstream=settings.discogs_api_url)
    log.info("credential", using=_credential(settings))
    if token_file:
        log.info("admin token", file=str(token_file))
    for each in settings.warnings():
        log.warning("a setting is not as it should be", problem=each)


def _credential(settings: Settings) -> str:
    if settings.discogs_consumer_key:
        return "the operator's key and secret: 60 calls a minute"
    if settings.discogs_token:
        return "the operator's token: 60 calls a minute (key and secret are the better choice)"
    return "none: 25 calls a minute and no thumbnails; set DISCOGS_CONSUMER_KEY and DISCOGS_CONSUMER_SECRET"
