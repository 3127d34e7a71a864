"""Credentials that change while the proxy runs: at SIGHUP they are read again, and what cannot be used is left out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from proxy import keys
from proxy.admin_token import kept_admin_token
from proxy.app import operator_credential
from proxy.audio_providers import provider_secrets
from proxy.domain.visibility import OperatorCredential
from proxy.domain.webhook import signing_key
from proxy.services.access import credentials_of
from proxy.settings import Settings, SettingsError, variables

OPERATORS = ("DISCOGS_TOKEN", "DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET")
ACCESS = ("ADMIN_TOKEN", "REVIEW_TOKENS")
KEYS = ("YOUTUBE_API_KEY", "WEBHOOK_SECRET")
CREDENTIALS = (*OPERATORS, *ACCESS, *KEYS)
"""What SIGHUP reads again; every other setting waits for a restart."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rotation:
    """`settings` are in force from now on: the old ones but for `changed`. `restart` names what differs beside."""

    settings: Settings
    changed: tuple[str, ...]
    restart: tuple[str, ...]


def rotation(old: Settings, read: Settings) -> Rotation:
    """What of the settings that were read may take the place of the old ones while requests are under way."""
    differing = {
        each.name: each.attribute
        for each in variables()
        if getattr(old, each.attribute) != getattr(read, each.attribute)
    }
    changed = [name for name in differing if name in CREDENTIALS and _may_change(name, old, read)]
    settings = replace(old, **{differing[name]: getattr(read, differing[name]) for name in changed})
    return Rotation(settings, tuple(changed), tuple(name for name in differing if name not in changed))


def _may_change(name: str, old: Settings, read: Settings) -> bool:
    if name in OPERATORS:
        return _may_follow(operator_credential(read), operator_credential(old))
    # A provider, or a receiver of events, that begins or ends to be is more than another key.
    return name not in KEYS or all(getattr(each, name.lower()) for each in (old, read))


def _may_follow(new: OperatorCredential | None, old: OperatorCredential | None) -> bool:
    """A token shows its owner what nobody else may see: a request that was planned for another kind is under way."""
    return new is None or not new.identifies or (old is not None and old.identifies)


def rotate(app: web.Application, settings: Settings) -> None:
    """From now on the credentials of `settings` are used; requests under way are not disturbed. Raises OSError."""
    token = settings.admin_token or kept_admin_token(settings.data_dir)[0]
    app[keys.ACCESS].credentials = credentials_of(settings, token)
    if (operator := operator_credential(settings)) != app[keys.UPSTREAM].operator:
        app[keys.UPSTREAM].use(operator)
        app[keys.FINISHED].drop_all()  # made without a credential they have no pictures
    for provider, secrets in provider_secrets(settings).items():
        app[keys.PROVIDER_SECRETS][provider].update(secrets)
    if settings.webhook_secret and keys.WEBHOOKS in app:
        app[keys.WEBHOOKS].key = signing_key(settings.webhook_secret)


@dataclass(slots=True)
class Rotator:
    """`read` reads all settings anew; it raises SettingsError."""

    app: web.Application
    read: Callable[[], Settings]
    asked: asyncio.Event
    """Set at each SIGHUP."""
    settings: Settings

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.asked.wait()
            self.asked.clear()
            await self.read_again()

    async def read_again(self) -> None:
        try:
            found = rotation(self.settings, await asyncio.to_thread(self.read))
            rotate(self.app, found.settings)
        except (SettingsError, OSError) as error:
            problems = error.problems if isinstance(error, SettingsError) else [str(error)]
            log.warning("credentials not read again: the old ones stay", problems=problems)
            return
        self.settings = found.settings
        log.info("credentials read again", changed=found.changed)
        if found.restart:
            log.warning("settings that changed wait for a restart", settings=found.restart)
        if fixed := [name for name in CREDENTIALS if os.environ.get(name)]:
            log.warning("from the environment of the process, which only a restart can change", settings=fixed)
