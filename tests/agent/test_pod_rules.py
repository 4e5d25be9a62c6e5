"""Pods that are judged in their own namespaces by Services' addresses wait until these are known."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.agent.known_services import KnownServices
from policyd.agent.pod_rules import PodRules
from policyd.agent.pod_table import Way
from policyd.agent.reporting.status import AgentStatus
from policyd.cluster.events import Synced
from policyd.config import load_settings
from policyd.kube.registry import SERVED
from policyd.netlink.inside import Inside
from policyd.node.attach import KnownPod
from policyd.obs.metrics import Metrics
from tests.cases.form import egress, namespace, pod
from tests.fakes.fake_nft import FakeNft
from tests.routes import compile_world

PODS: Mapping[str, KnownPod] = {"x/a": KnownPod("uid", frozenset({(4, 0x0AF40101)}), netns="/run/netns/none")}


async def test_nothing_is_in_force_before_services_are_known() -> None:
    """A rule by addresses alone would let a pod ask what its policies do not allow."""
    status = AgentStatus()
    status.table = compile_world([namespace("x"), pod("x/a", "10.244.1.1"), egress("x", "a")], "n1").table
    status.pods = PODS
    way = Way(lambda _: FakeNft(), Inside())
    rules = PodRules(
        load_settings({"node": "n1", "placement": "pod"}, {}).settings, status, lambda: PODS, way, Metrics()
    )
    services = KnownServices()
    rules.judge_by(services)
    said = services.beside(lambda _: None)
    for missing in SERVED.names:
        await rules.look()
        [condition] = rules.conditions()
        assert condition.name == "pods-open"
        assert condition.degraded
        assert "has not listed Services and EndpointSlices yet" in condition.text
        assert rules.in_force() == {}
        said([Synced(missing)])
    await rules.look()  # this pod's namespace is not there, which is now what is wrong
    [condition] = rules.conditions()
    assert "Services" not in condition.text
    assert "/run/netns/none" in condition.text
