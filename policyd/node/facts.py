"""What this node is like, read in one place and kept as a value. Judges nothing (`findings.py` does).

Reads this network namespace and changes nothing. What cannot be read is None: unknown is not absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from policyd.errors import EnvironmentRefused
from policyd.netlink.links import Link, Way, read_links, read_programmed, read_ways
from policyd.netlink.netfilter import chain_exists, count_connections, flowtable_names, table_names

FORWARD4, FORWARD6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
BRIDGE4, BRIDGE6 = "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"
SYSCTLS = (FORWARD4, FORWARD6, BRIDGE4, BRIDGE6)

#: What other engines of NetworkPolicy leave in nftables: a table, or a chain in one. Read in their sources.
_ENGINE_TABLES = {
    "ip calico": "Calico",
    "ip kube-router-filter-ipv4": "kube-router",
    "inet kube-network-policies": "kube-network-policies",
    "inet kindnet-network-policies": "kindnet",
}
_ENGINE_CHAINS = {"cali-FORWARD": "Calico", "KUBE-ROUTER-FORWARD": "kube-router", "WEAVE-NPC": "weave-npc"}
#: Their names, as the setting `other_engines` has them.
ENGINES = frozenset((*_ENGINE_TABLES.values(), *_ENGINE_CHAINS.values()))


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections the kernel tracks, and how many it may."""

    tracked: int
    most: int


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at the node.

    `ways` leads from addresses of pods to links; who is not among its keys is not reached. `programmed` are
    indexes of links with an eBPF program, as far as one sees. `engines` are other engines, each with the sign
    of it. `seen` counts the packets that netfilter saw, by interface; None if nobody counts them.
    """

    sysctls: Mapping[str, str | None]
    links: tuple[Link, ...]
    addresses: tuple[str, ...]
    ways: Mapping[str, Way]
    programmed: frozenset[int]
    tables: tuple[str, ...] | None
    flowtables: tuple[str, ...] | None
    engines: Mapping[str, str]
    connections: Connections | None
    seen: Mapping[str, int] | None = None


def read_facts(addresses: Iterable[str] = ()) -> Facts:
    """Look at the node, and at how it reaches these addresses of its pods. Raises EnvironmentRefused."""
    wanted = tuple(addresses)
    try:
        links = read_links()
        ways = read_ways(wanted)
        reached = {way.link for way in ways.values()}
        tables, flowtables, engines = _read_nftables()
        return Facts(
            sysctls={name: read_sysctl(name) for name in SYSCTLS},
            links=links,
            addresses=wanted,
            ways=ways,
            programmed=read_programmed(link for link in links if link.index in reached),
            tables=tables,
            flowtables=flowtables,
            engines=engines,
            connections=_read_connections(),
        )
    except OSError as error:
        raise EnvironmentRefused(f"this node cannot be examined: {error.strerror or error}") from error


def read_sysctl(name: str) -> str | None:
    """The value of a sysctl of this network namespace; None if there is none. Raises OSError."""
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _read_nftables() -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, dict[str, str]]:
    try:
        tables, flowtables = table_names(), flowtable_names()
        engines = {engine: f"table {table}" for table, engine in _ENGINE_TABLES.items() if table in tables}
        if "ip filter" in tables:  # where iptables keeps its rules, in its nftables form
            for chain, engine in _ENGINE_CHAINS.items():
                if chain_exists("ip", "filter", chain):
                    engines[engine] = f"chain {chain} in table ip filter"
    except OSError:  # no privilege, or no nftables
        return None, None, {}
    return tables, flowtables, engines


def _read_connections() -> Connections | None:
    try:
        return Connections(*count_connections())
    except OSError:  # no privilege, or no nf_conntrack_netlink
        return None
