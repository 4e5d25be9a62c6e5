"""Which pods of this node its own stack may not see, and why: those belong into their own namespaces.

What is only suspected counts: rules inside a pod are beside the node's, and cost nothing but memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policyd.errors import EnvironmentRefused
from policyd.netlink.links import Link, Way, read_links, read_programmed, read_ways
from policyd.netlink.tcx import read_tcx
from policyd.node.blind import network_of
from policyd.node.facts import BRIDGE4, BRIDGE6, read_sysctl
from policyd.node.placement import SEEN_KINDS


@dataclass(frozen=True, slots=True)
class Ways:
    """How pods' packets come and go. `programmed`: links with eBPF; `shows`: br_netfilter is loaded."""

    links: Mapping[int, Link]
    ways: Mapping[str, Way]
    programmed: frozenset[int]
    shows: bool


def unseen_reason(address: str, found: Ways, interface: str | None = None) -> str:
    """Why this node may not see packets of the pod with this address; empty if it sees them.

    `interface`: the node's link that the pod is known to be behind.
    """
    if network := network_of(found.links.values()):
        return f"eBPF programs of {network} are first to see its packets"
    way = found.ways.get(address)
    own = next((link for link in found.links.values() if link.name == interface), None)
    if own is not None and own.index in found.programmed:
        return f"an eBPF program on {own.name} is first to see its packets"
    if way is None:
        return "no route of this node leads to it"
    link = found.links.get(way.link)
    if way.gateway or link is None:
        return "its packets go by a gateway, and not by a link of this node"
    if link.kind not in SEEN_KINDS:
        return f"it is behind {link.name}, which is no link to a pod"
    if link.index in found.programmed:
        return f"an eBPF program on {link.name} is first to see its packets"
    if link.kind == "bridge" and not found.shows:
        return f"nothing shows to IP what is bridged on {link.name} (br_netfilter is not loaded)"
    return ""


def read_unseen(addresses: Iterable[str]) -> Ways:
    """Look at how this node reaches these addresses. Raises EnvironmentRefused."""
    try:
        links, ways = read_links(), read_ways(addresses)
        ends = [link for link in links if link.kind == "veth"]
        programmed = read_programmed(ends) | read_tcx(link.index for link in ends)
        shows = all(read_sysctl(name) is not None for name in (BRIDGE4, BRIDGE6))
    except OSError as error:
        raise EnvironmentRefused(f"this node cannot be examined: {error.strerror or error}") from error
    return Ways({link.index: link for link in links}, ways, programmed, shows)
