"""Where the parts of the application and of a request are kept."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from matcher.database import Database
from matcher.link_checks import LinkChecks
from matcher.pool import Matcher
from proxy.adapters.changes import Changes
from proxy.adapters.metrics import Metrics
from proxy.adapters.siblings import Siblings
from proxy.adapters.upstream import Trace, Upstream
from proxy.audio_providers import Secrets
from proxy.background import Health
from proxy.domain.access import Caller
from proxy.domain.policy import Decision
from proxy.services.access import AccessService
from proxy.services.checks import CheckService
from proxy.services.demand import Demand
from proxy.services.doubt import DoubtService
from proxy.services.failing_providers import FailingProviders
from proxy.services.finished import FinishedAnswers
from proxy.services.identity import IdentityService
from proxy.services.inventory import InventoryService
from proxy.services.mirror import MirrorService
from proxy.services.numbers import Numbers
from proxy.services.orders import Orders
from proxy.services.passthrough import PassthroughService
from proxy.services.purge import PurgeService
from proxy.services.queue import QueueService
from proxy.services.release import ReleaseService
from proxy.services.review import ReviewService
from proxy.services.review_pages import ReviewPages
from proxy.services.scheduler import Scheduler
from proxy.services.store_admin import StoreAdmin
from proxy.services.stores import StoreService
from proxy.services.webhooks import WebhookService
from proxy.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
ACCESS = web.AppKey("access", AccessService)
DATABASE = web.AppKey("database", Database)
UPSTREAM = web.AppKey("upstream", Upstream)
METRICS = web.AppKey("metrics", Metrics)
HEALTH = web.AppKey("health", Health)
MATCHER = web.AppKey("matcher", Matcher)
FAILING_PROVIDERS = web.AppKey("failing_providers", FailingProviders)
LINKS = web.AppKey("links", LinkChecks)
RELEASES = web.AppKey("releases", ReleaseService)
INVENTORY = web.AppKey("inventory", InventoryService)
IDENTITIES = web.AppKey("identities", IdentityService)
PASSTHROUGH = web.AppKey("passthrough", PassthroughService)
NUMBERS = web.AppKey("numbers", Numbers)
PURGE = web.AppKey("purge", PurgeService)
QUEUE = web.AppKey("queue", QueueService)
FINISHED = web.AppKey("finished", FinishedAnswers)
CHANGES = web.AppKey("changes", Changes)
CHECKS = web.AppKey("checks", CheckService)
DOUBT = web.AppKey("doubt", DoubtService)
DEMAND = web.AppKey("demand", Demand)
SCHEDULER = web.AppKey("scheduler", Scheduler)
STORE_ADMIN = web.AppKey("store_admin", StoreAdmin)
ORDERS = web.AppKey("orders", Orders)
MIRROR = web.AppKey("mirror", MirrorService)
REVIEW = web.AppKey("review", ReviewService)
REVIEW_PAGES = web.AppKey("review_pages", ReviewPages)
STORES = web.AppKey("stores", StoreService)
WEBHOOKS = web.AppKey("webhooks", WebhookService)
"""Only where there is a receiver."""

SIBLINGS = web.AppKey("siblings", Siblings)
"""Only where several processes share the port."""

PROVIDER_SECRETS = web.AppKey[Secrets]("provider_secrets", dict)

TRACE = web.RequestKey("trace", Trace)
CALLER = web.RequestKey("caller", Caller)
"""Of the operators' paths: who is logged in."""
AUDITED = web.RequestKey[Mapping[str, object]]("audited", dict)
"""What a change did, beyond its path, for the line that the log keeps of it."""
DECISION = web.RequestKey("decision", Decision)
KIND = web.RequestKey("kind", str)
"""What was asked for, as a metric label: a bounded set."""
STORES_ASKED = web.RequestKey[Mapping[str, int]]("stores_asked", dict)
"""The stores that are asked for, in lower case, and how many calls a direct client would have needed for each."""
