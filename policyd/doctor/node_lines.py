"""Facts of a node as lines for `policyd doctor`: what is wrong and, where nothing is, how it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from policyd.agent_api import API_VERSION
from policyd.kube.syntax import printable
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6, Facts
from policyd.node.findings import judge, pod_bridges, pod_links
from policyd.node.networks import networks_of
from policyd.node.placement import patterns, place

#: `unseen`: it could not be looked at.
State: TypeAlias = Literal["ok", "warn", "FAIL", "unseen"]

#: A table of connections that is fuller than this will soon be full.
_NEARLY_FULL = 0.9
#: Names in a line; the rest is counted.
_NAMED = 4
#: The line in which a finding stands.
_TOPICS = {
    "forwarding-off": "forwarding",
    "bridge-netfilter-off": "bridges",
    "pods-unseen": "interfaces",
    "pods-uncovered": "interfaces",
    "second-engine": "engines",
    "flowtable": "flowtables",
    "connections-unlisted": "connections",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: how it is, and what to do where it is not well."""

    name: str
    state: State
    text: str


def print_lines(lines: tuple[Line, ...]) -> str:
    """A line for each, for a person."""
    return "".join(f"{line.state:6}  {line.name:11}  {printable(line.text)}\n" for line in lines)


def print_json(lines: tuple[Line, ...]) -> str:
    """The same for programs."""
    found = {
        "apiVersion": API_VERSION,
        "kind": "Examination",
        "lines": [asdict(line) for line in lines],
    }
    return json.dumps(found, indent=2) + "\n"


def node_lines(
    facts: Facts,
    pod_interfaces: Collection[str],
    other_engines: Collection[str] = (),
    inside: Collection[str] = (),
) -> Iterator[Line]:
    """A line for each topic, or for each thing that is wrong in it.

    `inside`: addresses of pods that are judged in their own network namespaces.
    """
    findings = judge([facts], pod_interfaces, other_engines, inside=inside)
    for topic in dict.fromkeys(_TOPICS.values()):
        wrong = [finding for finding in findings if _TOPICS[finding.name] == topic]
        for finding in wrong:
            yield Line(topic, "FAIL" if finding.degraded else "warn", finding.text)
        if not wrong:
            yield _well(topic, facts, pod_interfaces)


def network_line(facts: Facts, plugins: Collection[str]) -> Line:
    """Which networks of docs/networks.md the node has, and what that page says is to be set."""
    found = networks_of(facts, plugins)
    if not found:
        called = f" (the runtime calls {', '.join(plugins)})" if plugins else ""
        return Line("network", "ok", f"none that docs/networks.md names shows here{called}")
    rows = (f"{network.name} ({network.to_set()})" for network in found)
    return Line("network", "ok", f"{'; '.join(rows)}: docs/networks.md")


def _well(topic: str, facts: Facts, pod_interfaces: Collection[str]) -> Line:
    match topic:
        case "forwarding":
            return _forwarding(facts)
        case "bridges":
            return _bridges(facts, pod_interfaces)
        case "interfaces":
            return _interfaces(facts, pod_interfaces)
        case "connections":
            return _connections(facts)
        case "engines" if facts.tables is not None:
            return Line(topic, "ok", _engines(facts))
        case "flowtables" if facts.tables is not None:
            return Line(topic, "ok", "none")
        case _:
            return Line(topic, "unseen", "only root may read it")


def _interfaces(facts: Facts, pod_interfaces: Collection[str]) -> Line:
    """Behind which interfaces pods are, and by what names the next ones are told apart."""
    names = [link.name for link in pod_links(facts, pod_interfaces)]
    if not names:
        return Line("interfaces", "ok", "no pod is known here")
    placed = place(facts.links, facts.ways).values()
    links = {found.interface for found in placed if found.kind == "link"}
    bridges = {found.interface for found in placed if found.kind == "bridge"}
    ways = [f"on the bridge {summarise_names(bridges)}"] if bridges else []
    ways += [f"routed, each behind a link of its own: {', '.join(patterns(links))}"] if links else []
    return Line("interfaces", "ok", "; ".join((f"pods are behind {summarise_names(names)}", *ways)))


def _engines(facts: Facts) -> str:
    if not facts.engines:
        return "no other engine of NetworkPolicy shows in nftables"
    return f"{summarise_names(facts.engines)} enforces policies here, too, as other_engines says"


def _forwarding(facts: Facts) -> Line:
    off = [name for name in (FORWARD4, FORWARD6) if facts.sysctls[name] == "0"]
    if off:
        return Line("forwarding", "warn", f"{', '.join(off)}: 0, so this node routes no packets of pods")
    return Line("forwarding", "ok", "this node forwards, in both families")


def _bridges(facts: Facts, pod_interfaces: Collection[str]) -> Line:
    names = [bridge.name for bridge, _ in pod_bridges(facts, pod_interfaces)]
    if names:
        return Line("bridges", "ok", f"rules see what pods on {summarise_names(names)} send each other")
    off = [name for name in (BRIDGE4, BRIDGE6) if facts.sysctls[name] != "1"]
    masters = {link.master for link in facts.links if link.kind == "veth"}
    others = [link.name for link in facts.links if link.kind == "bridge" and link.index in masters]
    if others and off:
        bridges = summarise_names(others)
        text = f"rules do not see what is bridged on {bridges} ({', '.join(off)}): are these pods?"
        return Line("bridges", "warn", text)
    return Line("bridges", "ok", "no pod is known to be on a bridge")


def _connections(facts: Facts) -> Line:
    found = facts.connections
    if found is None:
        return Line("connections", "unseen", "only root may read it")
    text = f"{found.tracked} of at most {found.most} are tracked"
    if found.tracked < found.most * _NEARLY_FULL:
        return Line("connections", "ok", text)
    remedy = "the next ones are dropped when it is full: raise net.netfilter.nf_conntrack_max"
    return Line("connections", "warn", f"{text}; {remedy}")


def summarise_names(names: Collection[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more
