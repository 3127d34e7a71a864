"""Whose a credential is: asked once at Discogs, behind the request that wondered, and kept for a while."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from proxy.adapters.upstream import Answer, Call, Trace, Upstream, checked_json
from proxy.domain.budget import Lane
from proxy.domain.credentials import UserCredential
from proxy.domain.visibility import Using
from proxy.errors import ProxyError, UpstreamBroken
from proxy.services.behind import Behind

KNOWN_FOR_S = 3600.0
"""Also that Discogs refuses it: who shows it is forwarded, and Discogs says so itself."""

FAILED_FOR_S = 30.0
"""After a failure it is not asked again for so long."""

KNOWN_MAX = 10_000
LOOK_UPS_PER_MINUTE = 10
"""They are calls that no direct client makes; whoever comes later is forwarded until there is room."""

PATIENCE_S = 30.0
"""How long a look-up waits for budget."""

REFUSALS = (401, 403)

log = structlog.get_logger()


@dataclass(slots=True)
class IdentityService:
    """Credentials are known by a keyed hash; they themselves are held by the look-up alone, while it runs."""

    upstream: Upstream
    clock: Callable[[], float] = time.monotonic
    known_max: int = KNOWN_MAX
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _known: OrderedDict[bytes, _Known] = field(default_factory=OrderedDict)
    _looking: Behind = field(default_factory=lambda: Behind("identity"))
    _began: deque[float] = field(default_factory=deque)

    def username_of(self, credential: UserCredential, request_id: str) -> str | None:
        """None while it is not known, and where Discogs refuses it; a look-up is begun where there may be one."""
        digest = credential.digest(self._key)
        known = self._known.get(digest)
        if known is not None and self.clock() < known.until:
            self._known.move_to_end(digest)
            return known.username
        if digest not in self._looking and self._may_look_up():
            self._looking.begin(digest, lambda: self._look_up(digest, credential, request_id))
        return None

    async def look_up(self, credential: UserCredential, request_id: str) -> str | None:
        """As `username_of`, once it is known; for those for whom nobody waits."""
        if (username := self.username_of(credential, request_id)) is None:
            await self._looking.settled()
            username = self.username_of(credential, request_id)
        return username

    async def stop(self) -> None:
        await self._looking.stop()

    def _may_look_up(self) -> bool:
        now = self.clock()
        while self._began and self._began[0] <= now - 60.0:
            self._began.popleft()
        if len(self._began) >= LOOK_UPS_PER_MINUTE:
            return False
        self._began.append(now)
        return True

    async def _look_up(self, digest: bytes, credential: UserCredential, request_id: str) -> None:
        username, for_s = None, FAILED_FOR_S
        try:
            answer = await self.upstream.fetch(_call(credential), Trace(request_id))
            username, for_s = username_in(answer), KNOWN_FOR_S
        except ProxyError as error:
            log.warning("not known whose a credential is", request_id=request_id, error=str(error))
        except Exception:
            log.exception("not known whose a credential is", request_id=request_id)
        self._remember(digest, _Known(username, self.clock() + for_s))

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > self.known_max:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """`username` None: refused, or not to be asked again before `until` (seconds of the service's clock)."""

    username: str | None
    until: float


def _call(credential: UserCredential) -> Call:
    authorization = credential.authorization(int(time.time()), secrets.token_hex(16))
    return Call(
        "GET", "/oauth/identity", Lane.REFRESH, Using.CALLER, authorization=(authorization,), patience_s=PATIENCE_S
    )


def username_in(answer: Answer) -> str | None:
    """None where Discogs refuses the credential. Raises UpstreamBroken for what says nothing of it."""
    if answer.status in REFUSALS:
        return None
    body = checked_json(answer)
    username = body.get("username") if isinstance(body, dict) else None
    if answer.status != 200 or not isinstance(username, str) or not username:
        raise UpstreamBroken(f"Discogs answered {answer.status}, which names nobody.")
    return username
