"""What is read of a node is so: real namespaces, bridges, sysctls, tables, connections, programs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from policyd.applier.program import NftProgram
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed, Wiring
from policyd.netlink.links import Way
from policyd.node.blind import measure
from policyd.node.facts import BRIDGE4, BRIDGE6, Facts, read_facts
from policyd.node.findings import STEADY_LOOKS, Finding, judge, pod_links
from policyd.node.witness import Witness, script
from tests.node.ebpf import attach, load_pass, load_redirect_peer

pytestmark = pytest.mark.kernel

A, B = "10.0.0.1", "10.0.0.2"
PODS = (PodPlan("shop/a", (A, "fd00::1")), PodPlan("shop/b", (B, "fd00::2")))
ADDRESSES = tuple(address for pod in PODS for address in pod.addresses)


def build(wiring: Wiring) -> Lab:
    return Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), PODS, wiring)])


@pytest.fixture(params=[Routed(), Bridged(("10.0.0.254", "fd00::fe"))], ids=["routed", "bridged"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with build(request.param) as built:
        yield built


@pytest.fixture
def bridged() -> Iterator[Namespace]:
    with build(Bridged(("10.0.0.254", "fd00::fe"))) as built:
        yield built.nodes["n1"]


@pytest.fixture
def empty() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def look(node: Namespace, addresses: tuple[str, ...] = ADDRESSES) -> Facts:
    with node.entered():
        return read_facts(addresses)


def nft(node: Namespace, script: str) -> None:
    done = node.run(["nft", "-f", "-"], script)
    assert done.returncode == 0, done.stderr


def test_pods_are_found_behind_their_interfaces_and_nothing_is_wrong(lab: Lab) -> None:
    found = look(lab.nodes["n1"])
    assert set(found.ways) == set(ADDRESSES)
    names = {link.name for link in pod_links(found)}
    assert names == (
        {"cni0"} if lab.pods["shop/a"].device.startswith("veth") else {p.device for p in lab.pods.values()}
    )
    assert judge([found] * STEADY_LOOKS) == ()


@pytest.mark.parametrize("sysctl", [BRIDGE4, BRIDGE6])
def test_a_sysctl_of_the_bridge_that_flips_is_seen(bridged: Namespace, sysctl: str) -> None:
    bridged.set_sysctls({sysctl: "0"})
    [finding] = judge([look(bridged)])
    assert (finding.name, finding.degraded) == ("bridge-netfilter-off", True)
    assert f"cni0 send each other passes no rule (not 1: {sysctl})" in finding.text
    bridged.ip([f"link set cni0 type bridge nf_call_{sysctl.rpartition('-')[2]} 1"])
    assert judge([look(bridged)]) == (), "the bridge's own option does the same"
    bridged.ip([f"link set cni0 type bridge nf_call_{sysctl.rpartition('-')[2]} 0"])
    assert judge([look(bridged)]) != ()
    bridged.set_sysctls({sysctl: "1"})
    assert judge([look(bridged)]) == ()


def test_isolated_ports_are_seen(bridged: Namespace) -> None:
    bridged.set_sysctls({BRIDGE4: "0"})
    ports = [link.name for link in look(bridged).links if link.master]
    assert len(ports) == len(PODS)
    bridged.ip([f"link set {port} type bridge_slave isolated on" for port in ports])
    assert judge([look(bridged)]) == ()


def test_a_pod_that_the_node_reaches_like_a_stranger_is_seen(lab: Lab) -> None:
    """As with macvlan: the node has no interface to it, and sends to the network."""
    found = look(lab.nodes["n1"], (*ADDRESSES, "198.51.100.9", "2001:db8:9::9"))
    assert [f.name for f in judge([found])] == ["pods-unseen"]
    assert "(198.51.100.9, 2001:db8:9::9)" in judge([found])[0].text


def test_a_node_that_does_not_forward_is_seen(lab: Lab) -> None:
    lab.nodes["n1"].set_sysctls({"net.ipv4.ip_forward": "0"})
    assert [f.name for f in judge([look(lab.nodes["n1"])])] == ["forwarding-off"]


@pytest.mark.parametrize(
    ("script", "sign"),
    [
        ("add table ip calico", "Calico enforces policies here, too (table ip calico)"),
        ("add table inet kindnet-network-policies", "kindnet"),
        ("add table ip filter\nadd chain ip filter WEAVE-NPC", "weave-npc enforces policies here"),
        ("add table ip filter\nadd chain ip filter KUBE-FORWARD", None),
        ("add table inet policyd", None),
    ],
)
def test_another_engine_is_seen_by_its_names(empty: Namespace, script: str, sign: str | None) -> None:
    nft(empty, f"{script}\n")
    found = judge([look(empty, ())])
    assert [f.name for f in found] == (["second-engine"] if sign else [])
    assert all(sign is not None and sign in f.text for f in found)


def test_tables_are_named_by_family(empty: Namespace) -> None:
    nft(empty, "add table inet policyd\nadd table ip6 other\nadd table bridge b\n")
    assert look(empty).tables == ("bridge b", "inet policyd", "ip6 other")
    assert look(empty).flowtables == ()


def test_connections_are_counted(lab: Lab) -> None:
    node = lab.nodes["n1"]
    chain = "add chain ip t c { type filter hook forward priority 0; }"
    nft(node, f"add table ip t\n{chain}\nadd rule ip t c ct state new\n")
    before = look(node).connections
    send(lab, 3)
    after = look(node).connections
    assert before is not None
    assert after is not None
    assert (after.tracked - before.tracked, after.most >= 1024) == (3, True)


def test_the_search_for_flowtables_finds_one(empty: Namespace) -> None:
    empty.ip(["link add v0 type veth peer name v1"])
    script = (
        "add table inet fast\nadd flowtable inet fast ft { hook ingress priority 0 ; devices = { v0 } ; }\n"
    )
    if empty.run(["nft", "-f", "-"], script).returncode:
        pytest.skip("this kernel has no flowtables (CONFIG_NF_FLOW_TABLE)")
    assert look(empty).flowtables == ("inet fast ft",)


async def test_programs_that_carry_packets_past_ip_are_seen_and_found_out() -> None:
    with build(Routed()) as lab:
        node = lab.nodes["n1"]
        a, b = (next(x for x in look(node).links if x.name == lab.pods[f"shop/{n}"].device) for n in "ab")
        send(lab, 200)
        assert judge([look(node)]) == (), "without a program every packet is routed"
        with node.entered():
            witness = Witness(NftProgram(node.path), "policyd")

            async def watched() -> Facts:
                facts = look(node)
                return replace(facts, seen=await witness.read())

            assert (await watched()).seen is None
            assert (await witness.begin(), await witness.begin()) == (True, False)
            assert node.run(["tc", "qdisc", "add", "dev", a.name, "clsact"]).returncode == 0
            send(lab, 200)
            passing = load_pass()
            attach(passing, a.index)
            os.close(passing)
            before = [await watched()]
            assert names(judge(before)) == [("pods-unseen", False)], "nobody knows yet"
            send(lab, 200)
            assert names(judge([*before, await watched()])) == [("pods-unseen", False)], "all are seen"
            assert measure([*before, await watched()]).sight == "seeing"
            assert node.run(["tc", "filter", "del", "dev", a.name, "ingress"]).returncode == 0
            program = load_redirect_peer(b.index)
            attach(program, a.index)
            os.close(program)
            before = [await watched()]
            send(lab, 200)
            [finding] = judge([*before, await watched()])
            assert (finding.name, finding.degraded) == ("pods-unseen", True)
            assert re.search(rf"netfilter saw 0 of 20\d by {a.name}", finding.text)  # some ARP among them
            await witness.end()
            assert "policyd-witness" not in str(look(node).tables)


def names(found: Sequence[Finding]) -> list[tuple[str, bool]]:
    return [(finding.name, finding.degraded) for finding in found]


def send(lab: Lab, count: int) -> None:
    """Send datagrams from one pod to the other, each of a connection of its own."""
    with lab.pods["shop/a"].namespace.entered():
        for _ in range(count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
                opened.sendto(b"x", (B, 9))


def test_without_privileges_one_sees_less_and_says_so(bridged: Namespace) -> None:
    """By a process that gives up its capabilities: a thread would take them back."""
    code = (
        "import os; from policyd.node.facts import read_facts; os.setresuid(65534, 65534, 65534); "
        f"f = read_facts(['{A}']); print(f.tables, f.connections, f.ways['{A}'].gateway, len(f.links) > 1)"
    )
    with bridged.entered():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("None None False True", "")


def test_ways_are_what_the_kernel_would_take(empty: Namespace) -> None:
    empty.ip(
        [
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "addr add 10.1.0.1/24 dev v0",
            "route add 10.2.0.0/16 via 10.1.0.9",
            "route add unreachable 10.3.0.0/16",
            "route add blackhole 10.4.0.0/16",
        ]
    )
    [v0] = [link for link in look(empty).links if link.name == "v0"]
    asked = ("10.1.0.7", "10.2.0.7", "10.3.0.7", "10.4.0.7", "10.5.0.7", "10.1.0.1", "fd00::9")
    assert look(empty, asked).ways == {"10.1.0.7": Way(v0.index), "10.2.0.7": Way(v0.index, gateway=True)}


def test_what_the_witness_writes_can_be_read_by_older_programs() -> None:
    """nft 1.0.6, and kube-proxy with it, dies of sets that nft 1.1.3 declares by `type`."""
    declared = [line.split() for line in script("policyd-witness").splitlines()]
    assert ["typeof", "iifname"] in declared
    assert not any(words[0] == "type" and words[1] != "filter" for words in declared if words)
