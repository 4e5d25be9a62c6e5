"""A node on which policies are not true is never silent: readiness, metrics, log; and it is noticed again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from policyd.agent.node_watch import NodeWatch, pod_addresses
from policyd.applier.backend import NftRefused
from policyd.applier.program import NftProgram
from policyd.cluster.state import ClusterState
from policyd.config import load_settings
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import NodePlan, PodPlan, Routed
from policyd.manifests.load import load_manifest
from policyd.netlink.bridges import show_packets
from policyd.netlink.links import Link
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6, read_facts
from policyd.node.findings import STEADY_LOOKS
from tests.agent.agents import WORLD, nft, policy, run, running, write
from tests.agent.asking import ask
from tests.fakes.fake_nft import FakeNft
from tests.node.ebpf import attach, load_redirect_peer, send
from tests.support.setting_back import setting_back
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

BRIDGE = [
    "link add cni0 type bridge",
    "link add veth1 type veth peer name eth0",
    "link set veth1 master cni0",
    "link set cni0 up",
    "link set veth1 up",
    "addr add 10.0.0.254/24 dev cni0",
    "addr add fd00::fe/64 dev cni0 nodad",
]
ON = {BRIDGE4: "1", BRIDGE6: "1", FORWARD4: "1", FORWARD6: "1"}


@pytest.fixture
def node() -> Iterator[Namespace]:
    made = Namespace("node")
    made.ip(BRIDGE)
    made.set_sysctls(ON)
    yield made
    made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", WORLD)
    write(made, "web.yaml", policy("web", "web", 80))
    return made


@pytest.mark.slow
def test_a_bridge_that_hides_packets_is_reported_everywhere(node: Namespace, directory: Path) -> None:
    with running(node, directory) as agent:
        until(lambda: ask(node, "/readyz")[0] == 200)
        until(lambda: shows(node))
        node.set_sysctls({BRIDGE4: "0"})
        with setting_back(node):
            until(lambda: ask(node, "/readyz")[0] == 503)
            assert "[-] bridge-netfilter-off: what pods on the bridge cni0" in ask(node, "/readyz")[1]
            metrics = ask(node, "/metrics")[1]
            assert 'policyd_condition{condition="bridge-netfilter-off"} 1.0' in metrics
            assert "policyd_enforcing 0.0" in metrics
            until(lambda: agent.says("a condition began"))
        until(lambda: ask(node, "/readyz") == (200, "ok\n"))
        assert "policyd_enforcing 1.0" in ask(node, "/metrics")[1]
        until(lambda: agent.says("a condition is over"))
        began = {
            (line["condition"], line["level"])
            for line in agent.log()
            if line.get("event") == "condition.began"
        }
        assert began == {("bridge-netfilter-off", "error"), ("pods-unbound", "warning")}


def test_an_agent_is_not_ready_on_a_bridge_that_hides_packets(node: Namespace, directory: Path) -> None:
    """It has the bridge show them by its own option, and is ready then; while that is set back it is not."""
    node.set_sysctls({BRIDGE6: "0"})
    with setting_back(node), running(node, directory):
        until(lambda: BRIDGE6 in ask(node, "/readyz")[1])
        assert ask(node, "/readyz")[0] == 503
    with running(node, directory):
        until(lambda: ask(node, "/readyz")[0] == 200)
        assert shows(node)


def shows(node: Namespace) -> bool:
    """Whether the bridge shows its packets to IP by its own options."""
    done = node.run(["ip", "-d", "link", "show", "cni0"])
    assert done.returncode == 0, done.stderr
    return "nf_call_iptables 1 " in done.stdout and "nf_call_ip6tables 1 " in done.stdout


def watch(
    node: Namespace,
    nft: FakeNft | NftProgram,
    *texts: str,
    show: Callable[[Link], None] = show_packets,
) -> NodeWatch:
    objects = [item for text in texts for item in load_manifest(text.encode(), "x")[0]]
    settings = load_settings({"node": "n1"}, {}).settings
    return NodeWatch(nft, settings, ClusterState.of(objects).pods.values, every=0.01, show=show)


def look(watched: NodeWatch, node: Namespace) -> list[str]:
    """Look once, from within the namespace; the names of what holds then."""
    with node.entered():  # threads begin where they are made
        asyncio.run(watched._look())
    return [condition.name for condition in watched.conditions()]


def test_a_bridge_shows_its_packets_whatever_becomes_of_the_sysctls(node: Namespace) -> None:
    watched = watch(node, FakeNft(), WORLD)
    assert look(watched, node) == []
    node.set_sysctls({BRIDGE4: "0", BRIDGE6: "0"})
    assert look(watched, node) == []
    node.ip(["link set cni0 type bridge nf_call_iptables 0"])
    assert (look(watched, node), look(watched, node)) == (["bridge-netfilter-off"], [])


def forbidden(bridge: Link) -> None:
    raise PermissionError(f"{bridge.name} is somebody else's")


def test_what_flips_back_is_noticed_each_time(node: Namespace) -> None:
    watched = watch(node, FakeNft(), WORLD, show=forbidden)
    for _ in range(2):
        assert look(watched, node) == []
        node.set_sysctls({BRIDGE4: "0", BRIDGE6: "0"})
        assert look(watched, node) == ["bridge-netfilter-off"]
        node.set_sysctls(ON)
    node.set_sysctls({FORWARD6: "0"})
    assert look(watched, node) == ["forwarding-off"]


class Refusing(FakeNft):
    """A kernel that lacks something, until it has it."""

    lacks = True
    asked = 0

    async def check(self, script: str) -> None:
        self.asked += 1
        if self.lacks:
            raise NftRefused("Could not process rule: No such file or directory")


def test_a_kernel_that_lacks_something_is_reported_and_asked_until_it_has_it(node: Namespace) -> None:
    nft = Refusing()
    watched = watch(node, nft)
    assert look(watched, node) == look(watched, node) == ["kernel-unfit"]
    assert watched.conditions()[0].degraded
    nft.lacks = False
    assert look(watched, node) == look(watched, node) == []
    assert nft.asked == 3


def test_an_nft_that_does_not_answer_leaves_it_open(node: Namespace) -> None:
    watched = watch(node, NftProgram(program="no-such-nft"))
    assert look(watched, node) == ["node-unexamined"]
    assert "no-such-nft" in watched.conditions()[0].text


def test_only_pods_that_stay_are_looked_for() -> None:
    text = WORLD + (
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: gone, namespace: shop}\n"
        "spec: {nodeName: n1}\nstatus: {phase: Succeeded, podIP: 10.0.0.7}\n"
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: going, namespace: shop, "
        'deletionTimestamp: "2026-01-01T00:00:00Z"}\n'
        "spec: {nodeName: n1}\nstatus: {phase: Running, podIP: 10.0.0.8}\n"
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: proxy, namespace: shop}\n"
        "spec: {nodeName: n1, hostNetwork: true}\nstatus: {phase: Running, podIP: 192.0.2.1}\n"
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: far, namespace: shop}\n"
        "spec: {nodeName: n2}\nstatus: {phase: Running, podIP: 10.0.1.1}\n"
    )
    state = ClusterState.of(load_manifest(text.encode(), "x")[0])
    assert len(state.pods) == 6
    assert pod_addresses(state.pods.values(), "n1") == ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2")


@pytest.mark.slow
def test_a_node_that_is_blind_is_reported_everywhere(tmp_path: Path) -> None:
    """An eBPF program hands what a pod sends to its neighbour past every hook, as Cilium's do."""
    pods = (PodPlan("shop/web", ("10.0.0.1", "fd00::1")), PodPlan("shop/db", ("10.0.0.2", "fd00::2")))
    directory = tmp_path / "manifests"
    directory.mkdir()
    write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 80)}")
    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), pods, Routed())]) as lab:
        node, sender = lab.nodes["n1"], lab.pods["shop/web"]
        assert node.run(["tc", "qdisc", "add", "dev", sender.device, "clsact"]).returncode == 0
        with node.entered():
            program = load_redirect_peer(socket.if_nametoindex(lab.pods["shop/db"].device))
            attach(program, socket.if_nametoindex(sender.device))
            os.close(program)
        with running(node, directory) as agent:
            until(lambda: "policyd-witness" in nft(node, "list", "tables"))
            assert ask(node, "/readyz")[0] == 200, "nothing was sent, so nothing is known"

            def is_unready() -> bool:
                send(sender.namespace, "10.0.0.2", 10)
                return ask(node, "/readyz")[0] == 503

            until(is_unready)
            assert "[-] pods-unseen: eBPF programs are first to see" in ask(node, "/readyz")[1]
            metrics = ask(node, "/metrics")[1]
            assert 'policyd_condition{condition="pods-unseen"} 1.0' in metrics
            assert "policyd_enforcing 0.0" in metrics
            said = run(node, "status")
            assert (said.returncode, "DEGRADED: pods-unseen: " in said.stdout) == (1, True)
            assert "FAIL    agent        eBPF programs" in run(node, "doctor").stdout
            until(lambda: [line for line in agent.log() if line.get("condition") == "pods-unseen"])
            agent.kill(signal.SIGTERM)
            assert "witness" not in nft(node, "list", "tables")


def test_blind_stays_blind_until_packets_are_seen_again(node: Namespace) -> None:
    """That nothing is sent for a while shows nothing."""
    watch = NodeWatch(FakeNft(), load_settings({"node": "n1"}, {}).settings, tuple)
    pod, host = Link(4, "lxc4", "veth", peer=2, netns=0), Link(7, "cilium_host", "veth")
    with node.entered():
        facts = read_facts()
    sent = seen = 0
    found = []
    for more, witnessed in ((0, 0), (50, 0), *[(0, 0)] * 2 * STEADY_LOOKS, (500, 500)):
        sent, seen = sent + more, seen + witnessed
        watch.take(replace(facts, links=(host, replace(pod, received=sent)), seen={"lxc4": seen}))
        found.append([c.degraded for c in watch.conditions() if c.name == "pods-unseen"])
    assert found == [[False], *[[True]] * (2 * STEADY_LOOKS + 1), [False]]
