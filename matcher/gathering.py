"""Asks the providers for a release's tracks, one after the other, until every track has a sure match."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from matcher.domain.urls import spelling
from matcher.domain.verdict import Thresholds, approved
from matcher.errors import Broken, DatabaseUnavailable, Unavailable, Unreachable
from matcher.matching import Matching
from matcher.models import NOTHING_SAID, Candidate, Match, Release, Said, Track

PROVIDER_S = 25.0
"""What one provider may take for a release."""

BROKEN_AGAIN_S = 60.0
"""When a provider is asked again that says nothing of it, as it took too long or stumbled over an answer."""


class Provider(Protocol):
    """A source of candidates for the tracks that are `wanted`: those that have no sure match yet.

    Raises Unavailable when it is throttled or failing, with when to ask again. One whose calls are few has an attribute
    `only_in_demand` that is true: it is asked only for releases that shoppers look at, and not while another is
    throttled, which may answer soon. One whose `asks_nobody` is true costs nothing: it is
    asked each time, for all tracks, and its answer is not kept. One that asks with what another knows names
    that as `uses`: what it answered while that was silent is no last word.
    """

    name: str

    async def candidates(
        self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
    ) -> Sequence[Candidate]: ...


class Told(StrEnum):
    """What came of one provider for one release."""

    FOUND = "found"
    NOTHING = "nothing"
    THROTTLED = "throttled"
    BROKEN = "broken"
    GIVEN_UP = "given_up"
    """It could not answer for too long: the release was decided without it."""
    SKIPPED = "skipped"
    """Every track had a sure match without it, or its few calls are kept for others."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A provider that could not answer now."""

    provider: str
    told: Told
    error: Exception
    retry_after_s: float
    is_awaited: bool = True
    """False: it was never heard, the release is decided without it."""


@dataclass(slots=True)
class Gathered:
    """What is known of a release so far."""

    said: Said = NOTHING_SAID
    """By people."""
    candidates: list[Candidate] = field(default_factory=list)
    matches: tuple[Match, ...] = ()
    answers: dict[str, Sequence[Candidate]] = field(default_factory=dict)
    """By provider; one that was asked and found nothing has an empty one."""
    missing: list[Missing] = field(default_factory=list)
    learnt: bool = False
    """Somebody found something that was not known before."""
    not_asked: list[str] = field(default_factory=list)
    """Wanted, but not for what nobody looks at, or not while another is throttled."""
    _matched: int = 0
    """So many of the candidates have been matched."""

    def take(self, provider: str, answer: Sequence[Candidate], playable: Sequence[Candidate]) -> None:
        self.answers[provider] = answer
        self.candidates += playable

    async def match(self, matching: Matching) -> None:
        """Of all that is known."""
        if self._matched < len(self.candidates):
            self._matched = len(self.candidates)
            # A box set takes seconds: shoppers must not wait for it.
            self.matches = await asyncio.to_thread(matching.match, tuple(self.candidates))

    @property
    def nobody_is_throttled(self) -> bool:
        return all(each.told is not Told.THROTTLED for each in self.missing)

    @property
    def silent(self) -> list[str]:
        """Whose word on this release is not known: what they said earlier still stands."""
        return [each.provider for each in self.missing] + self.not_asked


def _may_know_more(provider: Provider, known: Mapping[str, Sequence[Candidate]], so_far: Gathered) -> bool:
    """Whom it uses was silent when it answered, and has answered now."""
    uses = getattr(provider, "uses", None)
    return uses in so_far.answers and uses not in known


async def nothing_is_hidden(_: Collection[str]) -> frozenset[str]:
    return frozenset()


@dataclass(slots=True)
class Providers:
    """In the order in which they are asked. One that is throttled is not asked before it said, for any release."""

    providers: Sequence[Provider]
    thresholds: Thresholds
    provider_s: float = PROVIDER_S
    clock: Callable[[], float] = time.monotonic
    hidden: Callable[[Collection[str]], Awaitable[frozenset[str]]] = nothing_is_hidden
    """Of URLs, the spellings of those that are known not to play. Raises DatabaseUnavailable."""
    _rests_until: dict[str, float] = field(default_factory=dict)

    async def gather(
        self,
        release: Release,
        body: Mapping[str, object],
        *,
        in_demand: bool,
        known: Mapping[str, Sequence[Candidate]],
        until: float,
        tell: Callable[[str, Told], None],
        said: Said = NOTHING_SAID,
    ) -> Gathered:
        """`known` are answers to an earlier asking for the same release. Raises DatabaseUnavailable.

        Nobody is asked after `until`, by our clock.
        """
        so_far, matching = Gathered(said), Matching(release, said=said)
        for provider in self.providers:
            if provider.name in known:
                await self._take(so_far, provider.name, known[provider.name])
                if not _may_know_more(provider, known, so_far):
                    continue
            is_free = getattr(provider, "asks_nobody", False)
            wanted = release.tracks if is_free else await self._wanted(release, so_far, matching)
            if not wanted:
                tell(provider.name, Told.SKIPPED)
            elif getattr(provider, "only_in_demand", False) and not (in_demand and so_far.nobody_is_throttled):
                so_far.not_asked.append(provider.name)
                tell(provider.name, Told.SKIPPED)
            else:
                answer = await self._ask(provider, release, body, wanted, until)
                if isinstance(answer, Missing):
                    so_far.missing.append(answer)
                    so_far.answers.pop(provider.name, None)
                    tell(provider.name, answer.told)
                else:
                    tell(provider.name, Told.FOUND if answer else Told.NOTHING)
                    so_far.learnt |= bool(set(answer) - set(known.get(provider.name, ())))
                    await self._take(so_far, provider.name, answer)
                    if is_free:
                        del so_far.answers[provider.name]
        await so_far.match(matching)
        return so_far

    async def _wanted(self, release: Release, so_far: Gathered, matching: Matching) -> list[Track]:
        await so_far.match(matching)
        sure = {match.track for match in so_far.matches if approved(match, self.thresholds)}
        return [track for track in release.tracks if track not in sure and not so_far.said.settles(track)]

    async def _take(self, so_far: Gathered, provider: str, answer: Sequence[Candidate]) -> None:
        hidden = await self.hidden([each.url for each in answer])
        so_far.take(provider, answer, [each for each in answer if spelling(each.url) not in hidden])

    async def _ask(
        self, provider: Provider, release: Release, body: Mapping[str, object], wanted: Sequence[Track], until: float
    ) -> Sequence[Candidate] | Missing:
        """Whatever a provider does, the others are asked."""
        name = provider.name
        if (rest_s := self._rests_until.get(name, 0.0) - self.clock()) > 0:
            return Missing(name, Told.THROTTLED, Unavailable(f"{name}: throttled a moment ago", rest_s), rest_s)
        try:
            async with asyncio.timeout(max(0.0, min(self.provider_s, until - self.clock()))):
                return tuple(await provider.candidates(release, body, wanted))
        except DatabaseUnavailable:
            raise
        except TimeoutError:
            return Missing(name, Told.BROKEN, Broken(f"{name}: took too long", BROKEN_AGAIN_S), BROKEN_AGAIN_S)
        except Broken as error:
            return Missing(name, Told.BROKEN, error, error.retry_after_s, is_awaited=not isinstance(error, Unreachable))
        except Unavailable as error:
            self._rests_until[name] = self.clock() + error.retry_after_s
            return Missing(name, Told.THROTTLED, error, error.retry_after_s)
        except Exception as error:  # noqa: BLE001 - a provider that our code cannot read must not cost the others' matches
            return Missing(name, Told.BROKEN, error, BROKEN_AGAIN_S)
