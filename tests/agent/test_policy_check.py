"""Policies are looked over when they change, and only then; what is found is counted, named and told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from policyd.agent.policy_check import PolicyCheck
from policyd.agent.sparing import REST_SECONDS, SHARE
from policyd.cluster.events import Delete, Synced, Upsert
from policyd.kube.decode import decode_live
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.lint.certain import certain_findings
from policyd.lint.finding import Finding
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics
from tests.cases.form import ingress, namespace, pod, pods
from tests.oracle import Manifest
from tests.support.clock import TurnedClock


def upsert(manifest: Manifest) -> Upsert:
    item = decode_live(manifest).item
    assert item is not None
    return Upsert(KINDS.key(item), item)


def slip(name: str) -> Manifest:
    return ingress("x", "a", {"from": [pods(pod="wbe")]}, name=name)


class Watched:
    """A store, a check of it, and how often it looked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.store = ObjectStore("n1", asyncio.Event())
        self.metrics = Metrics()
        self.turned = TurnedClock()
        self.looks = 0
        self.seconds = seconds
        self.check = PolicyCheck(
            self.store.policy_changes, self.store.state, self.metrics, self.turned.clock, self.look
        )

    def look(self, objects: Iterable[KubeObject]) -> tuple[Finding, ...]:
        self.looks += 1
        self.turned.skip(self.seconds)
        return certain_findings(objects)

    def say(self, *events: Upsert | Delete | Synced) -> None:
        self.store.apply(events)

    def sync(self) -> None:
        self.say(*(Synced(name) for name in KINDS.names))

    def metric(self, rule: str) -> float | None:
        return self.metrics.registry.get_sample_value("policyd_findings", {"rule": rule})


@asynccontextmanager
async def running(watched: Watched) -> AsyncIterator[None]:
    task = asyncio.create_task(watched.check.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_what_an_annotation_switches_off_is_no_finding() -> None:
    objects = [namespace("x"), pod("x/a", "10.0.0.1"), pod("x/web", "10.0.0.2")]
    loud = slip("loud")
    quiet = {**loud, "metadata": {**loud["metadata"], "annotations": {"policyd.io/lint-ignore": "NP102"}}}
    found = [
        certain_findings(item for each in (*objects, policy) if (item := decode_live(each).item))
        for policy in (loud, quiet)
    ]
    assert [[finding.rule for finding in each] for each in found] == [["NP102"], []]


async def test_it_looks_when_a_policy_has_changed_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    assert watched.metric("NP102") == 0
    watched.say(upsert(namespace("x")), upsert(pod("x/a", "10.0.0.1")), upsert(pod("x/web", "10.0.0.2")))
    watched.say(upsert(slip("p")))
    with caplog.at_level(logging.WARNING):
        async with running(watched):
            await watched.turned.turn(REST_SECONDS)
            assert watched.looks == 0, "not everything is known"
            watched.sync()
            await watched.turned.turn(REST_SECONDS)
            await until_looks(watched, 1)
            assert watched.metric("NP102") == 1
            state = watched.check.state()
            assert state["count"] == 1
            assert "did you mean web?" in str(state["named"])
            watched.say(upsert(pod("x/b", "10.0.0.3")))
            await watched.turned.turn(10 * REST_SECONDS)
            assert watched.looks == 1, "a pod is no reason"
            watched.say(upsert(slip("q")))
            await watched.turned.turn(REST_SECONDS)
            await until_looks(watched, 2)
            assert watched.metric("NP102") == 2
            watched.say(Delete("NetworkPolicy", "x/p"), Delete("NetworkPolicy", "x/q"))
            await watched.turned.turn(REST_SECONDS)
            await until_looks(watched, 3)
            assert watched.metric("NP102") == 0
            assert watched.check.state() == {"count": 0, "named": []}
    told = [r for r in caplog.records if getattr(r, "event", "") == "policy.suspicious"]
    assert [(r.rule, r.policy) for r in told] == [("NP102", "x/p"), ("NP102", "x/q")]  # type: ignore[attr-defined]


async def test_it_takes_a_hundredth_of_a_processor_at_most() -> None:
    watched = Watched(seconds=2.0)
    watched.sync()
    async with running(watched):
        await until_looks(watched, 1)
        watched.say(upsert(slip("p")))
        await watched.turned.turn(2.0 * SHARE - 5)
        assert watched.looks == 1
        await watched.turned.turn(10)
        await until_looks(watched, 2)


async def until_looks(watched: Watched, count: int) -> None:
    for _ in range(500):
        if watched.looks >= count and watched.check.state()["count"] is not None:
            await asyncio.sleep(0.02)
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{watched.looks} looks")
