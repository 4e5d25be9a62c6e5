"""What a node's facts are judged to be: tables of facts, and of what must be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from policyd.config import Engine
from policyd.netlink.links import Link, Way
from policyd.node.blind import measure
from policyd.node.facts import BRIDGE4, BRIDGE6, ENGINES, FORWARD4, FORWARD6, Facts
from policyd.node.findings import NAMES, STEADY_LOOKS, Finding, judge
from tests.node.made import BRIDGE, PORTS, ROUTED, UPLINK, facts

POD4, POD6 = "10.0.0.1", "fd00::1"
BRIDGED = {POD4: Way(1), POD6: Way(1)}


def names(found: Sequence[Finding]) -> list[tuple[str, bool]]:
    return [(finding.name, finding.degraded) for finding in found]


def test_a_node_as_it_should_be_has_no_findings() -> None:
    assert judge([facts(BRIDGED)]) == ()
    assert judge([facts({POD4: Way(4), POD6: Way(4)}, bridge4="0", bridge6="0")]) == ()


OFF = [("bridge-netfilter-off", True)]


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (facts(BRIDGED, bridge4="0"), OFF),
        (facts(BRIDGED, bridge6="0"), OFF),
        (facts(BRIDGED, bridge4=None, bridge6=None), OFF),
        (facts({POD4: Way(1)}, bridge6="0"), []),  # no pod speaks IPv6
        (facts({POD6: Way(1)}, bridge4="0"), []),
        (facts({POD4: Way(4)}, bridge4="0"), []),  # the bridge is somebody else's
        (facts({}, bridge4="0"), []),  # nobody knows whose bridge it is
        (facts({POD4: Way(1)}, (BRIDGE, UPLINK), bridge4="0"), []),  # no pod hangs on it any more
    ],
)
def test_a_bridge_of_pods_must_show_its_packets_to_the_rules(
    node: Facts, found: list[tuple[str, bool]]
) -> None:
    assert names(judge([node])) == found


@pytest.mark.parametrize("pattern", ["cni0", "veth*", "veth1"])
def test_configured_interfaces_are_pods_before_any_pod_is_known(pattern: str) -> None:
    assert names(judge([facts({}, bridge4="0", bridge6="0")], [pattern])) == OFF
    assert judge([facts({}, bridge4="0")], ["eth*"]) == ()


def test_what_is_wrong_is_said_with_its_place_and_remedy() -> None:
    [finding] = judge([facts(BRIDGED, bridge4="0")])
    assert "bridge cni0" in finding.text
    assert f"`sysctl -w {BRIDGE4}=1`" in finding.text
    assert BRIDGE6 not in finding.text
    [finding] = judge([facts(BRIDGED, bridge4=None, bridge6=None)])
    assert "modprobe br_netfilter" in finding.text


def test_a_bridge_that_calls_the_hooks_by_its_own_option_is_well() -> None:
    own = replace(BRIDGE, calls_iptables=True, calls_ip6tables=True)
    assert judge([facts(BRIDGED, (own, *PORTS), bridge4="0", bridge6="0")]) == ()
    assert names(judge([facts(BRIDGED, (own, *PORTS), bridge4=None, bridge6=None)])) == OFF
    half = replace(BRIDGE, calls_iptables=True)
    assert names(judge([facts(BRIDGED, (half, *PORTS), bridge4="0", bridge6="0")])) == OFF


def test_ports_that_are_isolated_from_each_other_need_no_hooks_of_a_bridge() -> None:
    apart = tuple(replace(port, isolated=True) for port in PORTS)
    assert judge([facts(BRIDGED, (BRIDGE, *apart), bridge4="0")]) == ()
    # An isolated port still reaches one that is not.
    assert names(judge([facts(BRIDGED, (BRIDGE, apart[0], PORTS[1]), bridge4="0")])) == OFF


@pytest.mark.parametrize(
    ("way", "link"),
    [
        (Way(5), UPLINK),  # macvlan and ipvlan: pods are on the link of the node itself
        (Way(4, gateway=True), ROUTED),  # as behind Cilium's own interface, or on another node
        (Way(6), Link(6, "nk0", "netkit")),
        (Way(6), Link(6, "antrea-gw0", "openvswitch")),
    ],
)
def test_pods_past_the_hooks_are_reported_at_once_and_count_when_they_stay(way: Way, link: Link) -> None:
    """NP-150."""
    node = facts({POD4: way}, (ROUTED, UPLINK, link))
    assert names(judge([node])) == [("pods-unseen", False)]
    assert names(judge([node] * STEADY_LOOKS)) == [("pods-unseen", True)]


def test_a_pod_whose_route_is_late_is_not_unseen() -> None:
    late = facts({POD4: Way(5, gateway=True)})
    assert judge([late, facts({POD4: Way(4)}), *[late] * STEADY_LOOKS]) == ()
    assert judge([facts({}), late]) == (), "a pod that has just come"


def test_many_pods_are_counted_and_some_are_named() -> None:
    [finding] = judge([facts({f"10.0.0.{n}": Way(5) for n in range(1, 9)})])
    assert "(10.0.0.1, 10.0.0.2, 10.0.0.3 and 5 more)" in finding.text


def looks(
    sent: int, seen: int, network: tuple[Link, ...] = (), programmed: tuple[int, ...] = (4,)
) -> list[Facts]:
    """Two looks between which a pod sent so many packets, and netfilter saw so many of them."""
    pod = replace(ROUTED, peer=2, netns=0)
    first = facts({POD4: Way(4)}, (pod, UPLINK, *network))
    first = replace(first, programmed=frozenset(programmed))
    later = replace(pod, received=sent)
    return [first, replace(first, links=(later, UPLINK, *network), seen={pod.name: seen})]


CILIUM = (Link(7, "cilium_host", "veth"),)


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (looks(1000, 20), [("pods-unseen", True)]),
        (looks(1000, 1000), [("pods-unseen", False)]),
        (looks(1000, 980), [("pods-unseen", False)]),  # a few are no IP
        (looks(1000, 500), [("pods-unseen", True)]),  # some ways lead past, some do not
        (looks(19, 0), [("pods-unseen", False)]),  # too few to tell
        (looks(1000, 20, programmed=()), []),  # counters alone prove nothing
        (looks(1000, 20, CILIUM, ()), [("pods-unseen", True)]),
        (looks(0, 0, CILIUM, ()), [("pods-unseen", False)]),
        (looks(0, 0, (Link(7, "bpfin.cali", "veth"),), ()), [("pods-unseen", False)]),
    ],
)
def test_ebpf_on_pods_is_suspicious_and_counters_make_it_certain(
    node: list[Facts], found: list[tuple[str, bool]]
) -> None:
    assert names(judge(node)) == found


def test_what_counts_are_the_interfaces_of_pods_and_not_the_one_that_routes_lead_to() -> None:
    """Cilium with eBPF routing: all pods are routed to cilium_host, and none of their packets come by it."""
    host, net = Link(7, "cilium_host", "veth", received=5), Link(8, "cilium_net", "veth")
    pods = tuple(Link(n, f"lxc{n}", "veth", peer=2, netns=n) for n in (10, 11))
    first = replace(facts({POD4: Way(7)}, (host, net, *pods)), seen={"cilium_host": 0})
    busy = replace(pods[0], received=40)
    links = (replace(host, received=5000), net, busy, pods[1])
    blind = replace(first, links=links, seen={"cilium_host": 4995})
    assert names(judge([first, blind])) == [("pods-unseen", True)]
    assert "netfilter saw 0 of 40 by lxc10" in judge([first, blind])[0].text
    seeing = replace(blind, seen={"cilium_host": 4995, "lxc10": 40})
    assert names(judge([first, seeing])) == [("pods-unseen", False)]
    assert measure([first, blind]).sight == "blind"
    assert measure([first, seeing]).sight == "seeing"
    assert measure([first, first]).sight == measure([blind]).sight == "unknown"


@pytest.mark.parametrize(
    ("node", "remedy"),
    [
        (facts(BRIDGED, forward4="0"), f"`sysctl -w {FORWARD4}=1`"),
        (facts(BRIDGED, forward4="0", forward6="0"), f"`sysctl -w {FORWARD4}=1 {FORWARD6}=1`"),
        (facts({POD4: Way(4)}, forward6="0"), None),
        (facts({}, forward4="0"), None),
    ],
)
def test_a_node_with_pods_forwards(node: Facts, remedy: str | None) -> None:
    found = judge([node])
    assert names(found) == ([("forwarding-off", False)] if remedy else [])
    assert all(remedy is not None and remedy in finding.text for finding in found)


def test_others_at_work_are_reported() -> None:
    node = facts({})
    engine = replace(node, engines={"Calico": "table ip calico"})
    assert "Calico enforces policies here, too (table ip calico)" in judge([engine])[0].text
    assert names(judge([engine])) == [("second-engine", False)]
    assert names(judge([replace(node, flowtables=("inet f ft",))])) == [("flowtable", False)]


def test_an_engine_that_is_there_on_purpose_is_no_finding_and_another_is() -> None:
    node = replace(facts({}), engines={"Calico": "table ip calico", "kindnet": "table inet kindnet"})
    assert [f.text.split()[0] for f in judge([node], other_engines=["Calico"])] == ["kindnet"]
    assert judge([node], other_engines=["kindnet", "Calico"]) == ()


def test_every_engine_that_is_noticed_can_be_named_as_meant() -> None:
    assert set(get_args(Engine)) == ENGINES


def test_what_could_not_be_read_is_not_taken_for_absent() -> None:
    node = facts({})
    assert names(judge([replace(node, connections=None)])) == [("connections-unlisted", False)]
    unprivileged = replace(node, connections=None, tables=None, flowtables=None)
    assert judge([unprivileged]) == ()


def test_every_finding_has_a_name_in_the_list() -> None:
    wrong = facts(BRIDGED | {"10.0.0.9": Way(5), "10.0.0.8": Way(4)}, bridge4="0", forward4="0")
    wrong = replace(wrong, engines={"Calico": "x"}, flowtables=("x",), connections=None)
    assert {finding.name for finding in judge([wrong], ["net*"])} == set(NAMES)
