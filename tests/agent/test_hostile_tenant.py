"""A tenant who writes whatever stops an engine, next to a neighbour who goes on: judged by real packets.

The agent is the real one, on a node with real pods. After each edit of the tenant's the neighbour edits his
own policy, and his verdict must become the one he wrote; the tenant's pods are never opened by what breaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import tenants
from policyd.lab.lab import Lab
from policyd.lab.plan import NodePlan, PodPlan
from policyd.lab.probes import Probe, probe_all
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.agent.agents import run, running, write
from tests.cases.form import block, ingress, pod, policy
from tests.oracle import Manifest
from tests.reliability.process import processor_seconds
from tests.reliability.states import decoded
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

PODS = {
    "shop/web": ("10.0.0.1", "fd00::1"),
    "shop/cart": ("10.0.0.2", "fd00::2"),
    "tenant/p1": ("10.244.0.1", "fd00:10:244::1"),
    "tenant/p2": ("10.244.0.2", "fd00:10:244::2"),
}
PORTS = (8080, 8081)
SECONDS = 1.1
MEBIBYTES = 400


def collision() -> list[Manifest]:
    """A policy whose two sets had one name in earlier versions, which ended every agent that met it."""
    inward, outward = ("10.1.145.2/32", "20.0.2.124/32"), ("10.1.166.116/32", "20.0.3.180/32")
    return [
        policy(
            tenants.SPACE,
            None,
            policyTypes=["Ingress", "Egress"],
            ingress=[{"from": [block(cidr) for cidr in inward]}],
            egress=[{"to": [block(cidr) for cidr in outward]}],
        )
    ]


def policies(objects: list[Manifest]) -> list[Manifest]:
    return [each for each in objects if each["kind"] == "NetworkPolicy"]


EDITS: dict[str, Callable[[], list[Manifest]]] = {
    "one policy": lambda: [ingress(tenants.SPACE, None)],
    "a collision": collision,
    "too large a policy": lambda: policies(tenants.nested(600)),
    "5000 policies": lambda: policies(tenants.one_rule_policies(5000)),
    "too large a policy beside small ones": lambda: policies(tenants.nested_for_many(600)),
    "one policy again": lambda: [ingress(tenants.SPACE, None)],
}


#: Small, so that what is over it is quickly written and read.
FLAGS = ("--policy-budget", "10000")
TOO_LARGE = ("too large a policy", "too large a policy beside small ones")


@pytest.fixture
def lab() -> Iterator[Lab]:
    pods = tuple(PodPlan(name, addresses) for name, addresses in PODS.items())
    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), pods)]) as built:
        for name, addresses in PODS.items():
            for address in addresses:
                for port in PORTS:
                    built.servers.listen(built.pods[name].namespace, "tcp", address, port)
        yield built


def allow(port: int) -> list[Manifest]:
    return [ingress("shop", "web", {"ports": [{"port": port}]}, name="web")]


def reached(lab: Lab, to: str) -> list[bool]:
    """Whether the cart reaches each port of each address of a pod."""
    source = lab.pods["shop/cart"].namespace
    probes = [Probe(source, address, "tcp", port) for address in PODS[to] for port in PORTS]
    return [outcome.reached for outcome in probe_all(probes, SECONDS)]


def peak(pid: int) -> int:
    """The most memory that a process held, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def named(lab: Lab) -> str:
    """What the agent says of itself."""
    return run(lab.nodes["n1"], "status").stdout


class Scene:
    """The neighbour's side: his policy allows one port or the other."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        directory.mkdir()
        self.lab, self.directory, self._turn = lab, directory, 0
        self.put("world.json", [pod(name, *addresses) for name, addresses in PODS.items()])
        self.put("tenant.json", EDITS["one policy"]())
        self.put("shop.json", allow(PORTS[0]))

    def put(self, name: str, objects: list[Manifest]) -> None:
        write(self.directory, name, json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def follow(self, edit: str) -> None:
        """The neighbour edits: what he wrote comes to hold, and the tenant's pods stay closed."""
        self._turn += 1
        self.put("shop.json", allow(PORTS[self._turn % 2]))
        right = [port == PORTS[self._turn % 2] for _ in range(2) for port in PORTS]
        until(lambda: reached(self.lab, "shop/web") == right, lambda: f"after {edit}")
        assert reached(self.lab, "tenant/p1") == [False] * 4, edit


@pytest.fixture
def scene(lab: Lab, tmp_path: Path) -> Scene:
    return Scene(lab, tmp_path / "manifests")


def test_a_neighbour_is_followed_whatever_a_tenant_writes(scene: Scene) -> None:
    """What is too large is closed and named; the agent lives, within its memory; in the end all is well."""
    with running(scene.lab.nodes["n1"], scene.directory, *FLAGS) as agent:
        for edit, objects in EDITS.items():
            scene.put("tenant.json", objects())
            scene.follow(edit)
            if edit in TOO_LARGE:
                until(lambda: "policy-too-large" in named(scene.lab), lambda: named(scene.lab))
        until(lambda: "policy-too-large" not in named(scene.lab))
        assert agent.process.poll() is None, agent.log()
        assert peak(agent.process.pid) < MEBIBYTES


@pytest.mark.parametrize("edit", ["a collision", "too large a policy", "5000 policies"])
def test_an_agent_begins_with_whatever_a_tenant_has_written(scene: Scene, edit: str) -> None:
    scene.put("tenant.json", EDITS[edit]())
    with running(scene.lab.nodes["n1"], scene.directory, *FLAGS) as agent:
        scene.follow(edit)
        assert peak(agent.process.pid) < MEBIBYTES


#: Just within the budgets, and the most that a change may take then: seconds of processors, those of the
#: worker among them. An idle machine takes less than half of it.
EDGES: dict[str, tuple[Callable[[int], list[Manifest]], int]] = {
    "one-rule policies": (tenants.one_rule_policies, 2400),
    "nested": (tenants.nested, 1600),
    "addresses": (tenants.disjoint, 25_000),
}
SECONDS_OF_PROCESSORS = 1.0
CHANGES = 6


@pytest.mark.parametrize("edge", EDGES)
def test_a_neighbours_change_takes_less_than_a_second_next_to_the_dearest_tenant(
    scene: Scene, edge: str
) -> None:
    """Processor time is counted, as the wall clock tells of others' work, too."""
    world, size = EDGES[edge]
    within, beyond = (build(decoded(world(count)), "n1", Options()) for count in (size, size * 5 // 4))
    assert (within.over, bool(beyond.over)) == ((), True), "it is no longer the edge"
    scene.put("tenant.json", policies(world(size)))
    # What is compared every so often has nothing to do with changes.
    with running(scene.lab.nodes["n1"], scene.directory, "--verify-interval", "3600") as agent:
        scene.follow(edge)
        before = processor_seconds(agent.process.pid)
        for _ in range(CHANGES):
            scene.follow(edge)
        taken = processor_seconds(agent.process.pid) - before
        assert taken / CHANGES < SECONDS_OF_PROCESSORS
        assert "policy-too-large" not in named(scene.lab)
