"""Rulesets in force are proved next to the loop: the last one, when nothing has changed since, and seldom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from policyd.agent.compiling import CompileFailed
from policyd.agent.prover import (
    RELIED_ON_SECONDS,
    REST_SECONDS,
    SHARE,
    Answer,
    Claim,
    Prover,
    Proving,
    prove_apart,
)
from policyd.agent.reporting.status import AgentStatus, Enforced
from policyd.cluster.events import Synced, Upsert
from policyd.kube.decode import decode_live
from policyd.kube.registry import KINDS
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.cases.form import ingress, namespace, pod, pods
from tests.oracle import Manifest
from tests.strategies.damage import without_rules
from tests.support.clock import TurnedClock

PROVED = Answer((), (), 0.0)
#: When a clock that is turned begins.
AT = 1.7e9 + 1000.0


def upsert(manifest: Manifest) -> Upsert:
    item = decode_live(manifest).item
    assert item is not None
    return Upsert(KINDS.key(item), item)


class Enforcing:
    """A store, what is in force of it, and who proves that. By default the proof is the real one."""

    def __init__(self, proving: Proving | None = None) -> None:
        self.store = ObjectStore("n1", asyncio.Event())
        self.status, self.metrics, self.turned = AgentStatus(), Metrics(), TurnedClock()
        self.claims: list[Claim] = []
        self.answers: list[Answer] = []
        real = partial(prove_apart, "n1", Options())

        async def noting(claim: Claim, proved: Claim | None) -> Answer:
            self.claims.append(claim)
            self.answers.append(answer := await (proving or real)(claim, proved))
            return answer

        self.prover = Prover(self.store, self.status, noting, self.metrics, self.turned.clock)
        self.say(namespace("x"), pod("x/a", "10.0.0.1"), pod("x/web", "10.0.0.2"))
        self.say(ingress("x", "a", {"from": [pods(pod="web")], "ports": [{"port": 80}]}, name="p"))
        self.store.apply([Synced(name) for name in KINDS.names])

    def say(self, *manifests: Manifest) -> None:
        self.store.apply([upsert(manifest) for manifest in manifests])

    def enforce(self, *, damaged: bool = False) -> None:
        """Bring into force what was said so far, as the reconciler does."""
        self.store.take_changes()
        built = build(self.store.state(), "n1", Options())
        self.status.table = without_rules(built.table, "ports-") if damaged else built.table
        self.status.enforced = Enforced(7, 1.0, built.stats)
        self.prover.notice()

    async def rest(self, seconds: float) -> None:
        """Let so many seconds of a rest pass, once it has begun."""
        await self.turned.next()
        self.turned.skip(seconds)

    def metric(self) -> float | None:
        return self.metrics.registry.get_sample_value("policyd_proof")

    def proofs(self, extent: str) -> float | None:
        return self.metrics.registry.get_sample_value("policyd_proofs_total", {"extent": extent})

    async def prove(self, seconds: float, *manifests: Manifest, damaged: bool = False) -> Answer:
        """What comes of the next ruleset, after so many seconds of rest."""
        before = len(self.answers)
        self.say(*manifests)
        self.enforce(damaged=damaged)
        await self.rest(seconds)
        await until(lambda: len(self.answers) > before)
        return self.answers[-1]


@asynccontextmanager
async def running(enforcing: Enforcing) -> AsyncIterator[None]:
    task = asyncio.create_task(enforcing.prover.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], object]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def test_what_is_in_force_is_proved_and_what_is_not_is_a_condition(
    caplog: pytest.LogCaptureFixture,
) -> None:
    enforcing = Enforcing()
    async with running(enforcing):
        assert enforcing.prover.state() == {}
        enforcing.enforce()
        await until(enforcing.prover.state)
        state = dict(enforcing.prover.state())
        assert state == {"proved": True, "at": AT, "whole_at": AT, "generation": 7, "told": []}
        assert (enforcing.metric(), enforcing.prover.conditions()) == (1, ())
        enforcing.say(pod("x/b", "10.0.0.3"))
        with caplog.at_level(logging.ERROR):
            enforcing.enforce(damaged=True)
            await enforcing.rest(REST_SECONDS + 600)
            await until(lambda: enforcing.metric() == 0)
    [condition] = enforcing.prover.conditions()
    assert (condition.name, condition.degraded) == ("unproved", True)
    assert "x/web (10.0.0.2) → x/a (10.0.0.1) " in condition.text
    assert "policies drop: no ingress rule of x/p allows it" in condition.text
    [told] = [r for r in caplog.records if getattr(r, "event", "") == "ruleset.unproved"]
    assert told.generation == 7  # type: ignore[attr-defined]


async def test_a_ruleset_of_a_cluster_that_has_changed_since_is_not_looked_at() -> None:
    """It would be told to differ from policies of which it was not made."""
    enforcing = Enforcing()
    async with running(enforcing):
        enforcing.enforce()
        enforcing.say(pod("x/b", "10.0.0.3"))  # before the proof begins
        await asyncio.sleep(0.05)
        assert enforcing.claims == []
        enforcing.prover.notice()  # of what was there before, while this waits
        await asyncio.sleep(0.05)
        assert enforcing.claims == []
        enforcing.enforce()
        await until(enforcing.prover.state)
        assert enforcing.prover.state()["proved"] is True
        assert len(enforcing.claims[0].state.pods) == 3


async def test_quarantined_policies_allow_nothing() -> None:
    enforcing = Enforcing()
    enforcing.status.quarantined, enforcing.status.too_large = {"x/p": "why"}, {"x/q": "why"}
    async with running(enforcing):
        enforcing.enforce()
        await until(lambda: enforcing.claims)
        assert enforcing.claims[0].closed == {"x/p", "x/q"}
        await until(enforcing.prover.state)
        assert enforcing.prover.state()["proved"] is False, "it was made as if none were quarantined"


async def test_it_takes_a_hundredth_of_a_processor_at_most_and_proves_the_last() -> None:
    async def proving(claim: Claim, proved: Claim | None) -> Answer:
        return Answer((), (), 2.0)

    enforcing = Enforcing(proving)
    async with running(enforcing):
        enforcing.enforce()
        await until(lambda: len(enforcing.claims) == 1)
        for number in range(3):
            enforcing.say(pod("x/b", f"10.0.1.{number}"))
            enforcing.enforce()
        enforcing.prover.notice()
        await enforcing.rest(2.0 * SHARE - 5)
        await asyncio.sleep(0.05)
        assert len(enforcing.claims) == 1
        await enforcing.rest(10)
        await until(lambda: len(enforcing.claims) == 2)
        assert enforcing.claims[1].table is enforcing.status.table
        enforcing.prover.notice()
        await enforcing.rest(2.0 * SHARE + 5)
        await asyncio.sleep(0.05)
        assert len(enforcing.claims) == 2, "nothing has changed"


async def test_a_proof_that_fails_degrades_nothing() -> None:
    async def failing(claim: Claim, proved: Claim | None) -> Answer:
        raise CompileFailed("it took more than 60 s of a processor")

    enforcing = Enforcing(failing)
    async with running(enforcing):
        enforcing.enforce()
        await until(enforcing.prover.conditions)
    [condition] = enforcing.prover.conditions()
    assert (condition.name, condition.degraded) == ("unproved", False)
    assert "the proof failed: it took more than 60 s of a processor" in condition.text


async def test_what_was_proved_stays_so_until_something_else_is_in_force() -> None:
    enforcing = Enforcing()
    async with running(enforcing):
        enforcing.enforce()
        await until(enforcing.prover.state)
        enforcing.say(pod("x/b", "10.0.0.3"))
        await enforcing.rest(REST_SECONDS + 600)
        await asyncio.sleep(0.05)
        assert len(enforcing.claims) == 1
    assert enforcing.prover.conditions() == ()
    assert PROVED.proved


async def test_after_the_first_only_what_differs_is_compared_and_once_an_hour_all() -> None:
    enforcing = Enforcing()
    async with running(enforcing):
        enforcing.enforce()
        await until(enforcing.prover.state)
        assert enforcing.answers[0].whole
        changed = await enforcing.prove(
            600, pod("x/b", "10.0.0.3", node="n2", metadata={"labels": {"pod": "web"}})
        )
        assert (changed.proved, changed.whole) == (True, False)
        state = dict(enforcing.prover.state())
        assert (state["proved"], state["at"], state["whole_at"]) == (True, AT + 600, AT)
        assert (enforcing.proofs("all"), enforcing.proofs("changes")) == (1, 1)
        again = await enforcing.prove(RELIED_ON_SECONDS, pod("x/c", "10.0.0.4", node="n2"))
        assert (again.proved, again.whole) == (True, True)
        assert enforcing.prover.state()["whole_at"] == AT + 600 + RELIED_ON_SECONDS
        spent = enforcing.metrics.registry.get_sample_value("policyd_proof_cpu_seconds_total")
        assert spent == sum(answer.seconds for answer in enforcing.answers) > 0


async def test_what_is_wrong_is_found_by_comparing_all_and_no_proof_relies_on_it() -> None:
    enforcing = Enforcing()
    async with running(enforcing):
        enforcing.enforce()
        await until(enforcing.prover.state)
        wrong = await enforcing.prove(600, pod("x/b", "10.0.0.3"), damaged=True)
        assert (wrong.proved, wrong.whole) == (False, True)
        assert wrong.differences
        right = await enforcing.prove(600, pod("x/c", "10.0.0.4"))
        assert (right.proved, right.whole) == (True, True)
