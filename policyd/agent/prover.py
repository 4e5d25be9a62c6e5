"""Proves that rulesets in force are what the policies mean (`policyd/proof`), next to the loop.

In a copy of the process, so that enforcement waits for nothing, and at a hundredth of a processor at most: of
rulesets that follow each other quickly the last is proved. After the first only what differs from the last
one that was proved is compared, and once an hour all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.compiling import CompileFailed, Limits, compile_apart
from policyd.agent.reporting.conditions import Condition
from policyd.agent.reporting.status import AgentStatus
from policyd.cluster.state import ClusterState
from policyd.errors import PolicydError
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.proof.prove import prove
from policyd.proof.result import Proof
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options

log = logging.getLogger(__name__)

#: Between two proofs, in seconds; and so many times as long as the last one took of a processor.
REST_SECONDS = 10.0
SHARE = 99.0
#: What was proved is relied on for so many seconds, and then all of it is compared again.
RELIED_ON_SECONDS = 3600.0
#: More than this, in seconds of a processor, is no proof but a ruleset that it cannot follow.
MOST_SECONDS = 60.0
#: The least of all: whoever else has something to do goes first.
_NICE = 19
#: Differences that are named; all are shown by `policyd verify`.
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be proved: that this table is what the policies of this cluster mean."""

    state: ClusterState
    table: Table
    closed: frozenset[str]
    generation: int

    @property
    def given(self) -> Given:
        """What of it a proof is about."""
        return Given(self.state, self.table, self.closed)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a proof: packets that show a difference, what could not be followed, and its cost.

    `whole`: all was compared, and not only what differs from what was proved before. `plain`: see `Proof`.
    """

    differences: tuple[str, ...]
    unprovable: tuple[str, ...]
    seconds: float
    whole: bool = True
    plain: bool = False

    @property
    def proved(self) -> bool:
        return not self.differences and not self.unprovable


#: Proves a claim; with another that is proved, as far as both differ.
Proving: TypeAlias = Callable[[Claim, Claim | None], Awaitable[Answer]]


class Prover:
    """Called with each ruleset in force; `run` is its only task."""

    def __init__(
        self,
        store: ObjectStore,
        status: AgentStatus,
        proving: Proving,
        metrics: Metrics,
        clock: Clock = CLOCK,
    ) -> None:
        self._store, self._status, self._proving = store, status, proving
        self._metrics, self._clock = metrics, clock
        #: How often something had been said to the store when the last ruleset came into force.
        self._noticed = -1
        self._told = asyncio.Event()
        self._answer: Answer | None = None
        self._generation, self._at = 0, 0.0
        #: The last that was proved, if the next may be compared with it; and when all of one was.
        self._proved: Claim | None = None
        self._whole_at = self._relied_on_until = 0.0

    def notice(self) -> None:
        """A ruleset has been brought into force. One of a cluster that has changed since is not looked at."""
        if self._store.is_taken:
            self._noticed = self._store.said
            self._told.set()

    def conditions(self) -> tuple[Condition, ...]:
        """Whether the last ruleset that was looked at is not known to be what the policies mean."""
        answer = self._answer
        if answer is None or answer.proved:
            return ()
        told = (*answer.differences, *answer.unprovable)
        more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        text = f"the ruleset is not known to be what the policies mean: {'; '.join(told[:_TOLD])}{more}"
        return (Condition("unproved", f"{text}. Please report it", degraded=bool(answer.differences)),)

    def state(self) -> Mapping[str, object]:
        """For whoever asks the agent: what was proved when."""
        if self._answer is None:
            return {}
        told = (*self._answer.differences, *self._answer.unprovable)
        return {
            "proved": self._answer.proved,
            "at": self._at,
            "whole_at": self._whole_at,
            "generation": self._generation,
            "told": list(told[:_TOLD]),
        }

    async def run(self) -> None:
        """Prove the last ruleset, rest, and again, until cancelled."""
        proved = -1
        while True:
            await self._told.wait()
            self._told.clear()
            claim = self._claim()
            # What was said meanwhile brings another ruleset, or none where it changes nothing.
            if claim is None or self._noticed == proved:
                continue
            proved = self._noticed
            answer = await self._prove(claim)
            await self._clock.sleep(max(REST_SECONDS, answer.seconds * SHARE))

    def _claim(self) -> Claim | None:
        """What is in force, with the cluster of which it was made; None if that has changed meanwhile."""
        status = self._status
        if status.table is None or status.enforced is None or self._store.said != self._noticed:
            return None
        closed = frozenset((*status.quarantined, *status.too_large))
        return Claim(self._store.state(), status.table, closed, status.enforced.generation)

    async def _prove(self, claim: Claim) -> Answer:
        proved = self._proved if self._clock.now() < self._relied_on_until else None
        try:
            answer = await self._proving(claim, proved)
        except (PolicydError, OSError) as error:
            answer = Answer((), (f"the proof failed: {error}",), 0.0)
        first = self._answer is None or self._answer.proved
        self._answer, self._generation, self._at = answer, claim.generation, self._clock.wall()
        self._proved = claim if answer.proved and answer.plain else None
        if answer.whole:
            self._whole_at, self._relied_on_until = self._at, self._clock.now() + RELIED_ON_SECONDS
        self._metrics.proved.set(answer.proved)
        self._metrics.proof_time.set(self._at)
        self._metrics.proofs.labels("all" if answer.whole else "changes").inc()
        self._metrics.proof_seconds.inc(answer.seconds)
        if first and not answer.proved:
            fields = {
                "event": "ruleset.unproved",
                "generation": claim.generation,
                "reason": "; ".join((*answer.differences, *answer.unprovable)[:_TOLD]),
            }
            log.error("a ruleset is not known to be what the policies mean", extra=fields)
        return answer


async def prove_apart(node: str, options: Options, claim: Claim, proved: Claim | None = None) -> Answer:
    """Prove in a copy of this process, which has what was proved before as it is.

    Raises CompileFailed, and OSError if it cannot begin.
    """

    def work() -> tuple[str, ...]:
        os.nice(_NICE)
        began = time.process_time()
        found = _found(node, options, claim, proved)
        return (json.dumps([*found, time.process_time() - began]),)

    answered = await compile_apart(work, Limits(MOST_SECONDS))
    try:
        differences, unprovable, whole, plain, seconds = json.loads(answered[0])
    except (ValueError, IndexError):
        raise CompileFailed("the proof gave no answer") from None
    return Answer(tuple(differences), tuple(unprovable), seconds, whole, plain)


def _found(
    node: str, options: Options, claim: Claim, proved: Claim | None
) -> tuple[list[str], list[str], bool, bool]:
    """Differences, what could not be followed, whether all was compared, and whether it is plain."""
    if proved is not None and is_still_proved(proved.given, claim.given, node, options):
        return [], [], False, True
    proof: Proof = prove(claim.state, node, options, claim.table, claim.closed)
    return list(map(str, proof.differences)), list(proof.unprovable), True, proof.plain
