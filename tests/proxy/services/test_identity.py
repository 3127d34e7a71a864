from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from proxy import keys
from proxy.domain.credentials import UserCredential
from proxy.services.identity import FAILED_FOR_S, KNOWN_FOR_S, LOOK_UPS_PER_MINUTE, IdentityService
from tests.conftest import StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs
from tests.simulated_discogs.faults import FaultKind

ANNA = UserCredential("annas-token")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def identities(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, clock: Clock
) -> AsyncIterator[IdentityService]:
    discogs.register_user("Anna", "annas-token")
    service = IdentityService((await start_proxy()).app[keys.UPSTREAM], clock=clock)
    yield service
    await service.stop()


async def looked_up(identities: IdentityService) -> None:
    await identities._looking.settled()


async def test_it_is_asked_behind_once_and_kept_for_an_hour(
    identities: IdentityService, discogs: SimulatedDiscogs, clock: Clock
) -> None:
    assert [identities.username_of(ANNA, "r") for _ in range(5)] == [None] * 5
    await looked_up(identities)
    assert [call.path for call in discogs.calls] == ["/oauth/identity"]
    clock.now += KNOWN_FOR_S - 1
    assert identities.username_of(ANNA, "r") == "Anna"
    clock.now += 2
    assert identities.username_of(ANNA, "r") is None
    await looked_up(identities)
    assert len(discogs.calls) == 2


async def test_an_oauth_user_is_known_by_what_stays_the_same(
    identities: IdentityService, discogs: SimulatedDiscogs
) -> None:
    discogs.register_consumer("ck", "cs")
    discogs.register_oauth_token("Anna", "at", "ts")
    credential = UserCredential("at", "ck", "cs&ts")
    assert identities.username_of(credential, "r") is None
    await looked_up(identities)
    assert identities.username_of(UserCredential("at", "ck", "cs&ts"), "r") == "Anna"
    assert identities.username_of(UserCredential("at", "ck", "cs&wrong"), "r") is None
    assert discogs.calls[0].credential == "oauth-plaintext"


async def test_a_refusal_is_remembered(identities: IdentityService, discogs: SimulatedDiscogs, clock: Clock) -> None:
    wrong = UserCredential("wrong")
    for _ in range(3):
        assert identities.username_of(wrong, "r") is None
        await looked_up(identities)
        clock.now += KNOWN_FOR_S / 4
    assert len(discogs.calls) == 1


@pytest.mark.parametrize("kind", ["html", "empty", "broken_json", "reset_before_headers"])
async def test_a_failure_is_remembered_briefly(
    identities: IdentityService, discogs: SimulatedDiscogs, clock: Clock, kind: FaultKind
) -> None:
    discogs.add_fault(Fault(kind=kind, status=200 if kind == "html" else None, times=2))
    identities.username_of(ANNA, "r")
    await looked_up(identities)
    discogs.clear_faults()
    failed = len(discogs.calls)
    identities.username_of(ANNA, "r")
    await looked_up(identities)
    assert len(discogs.calls) == failed
    clock.now += FAILED_FOR_S + 1
    identities.username_of(ANNA, "r")
    await looked_up(identities)
    assert identities.username_of(ANNA, "r") == "Anna"


async def test_look_ups_are_capped_per_minute(
    identities: IdentityService, discogs: SimulatedDiscogs, clock: Clock
) -> None:
    for number in range(3 * LOOK_UPS_PER_MINUTE):
        identities.username_of(UserCredential(f"stolen-{number}"), "r")
    await looked_up(identities)
    assert len(discogs.calls) == LOOK_UPS_PER_MINUTE
    identities.username_of(ANNA, "r")
    clock.now += 61
    identities.username_of(ANNA, "r")
    await looked_up(identities)
    assert identities.username_of(ANNA, "r") == "Anna"


async def test_only_so_many_are_remembered(identities: IdentityService) -> None:
    identities.known_max = 3
    for number in range(6):
        identities.username_of(UserCredential(f"token-{number}"), "r")
    await looked_up(identities)
    assert len(identities._known) == 3


async def test_no_token_is_in_its_memory_or_its_log(
    identities: IdentityService, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    discogs.add_fault(Fault(kind="broken_json"))
    identities.username_of(UserCredential("hunter2"), "r")
    assert "hunter2" not in repr(identities._known) + repr(identities._looking)
    await looked_up(identities)
    assert "hunter2" not in repr(logs) + repr(identities._known)
    assert any("whose a credential is" in event["event"] for event in logs)
