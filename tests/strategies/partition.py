"""What an isolation says of every packet there can be: peers and ports, cut wherever any rule cuts them.

Within an atom no rule tells two addresses, or two ports, apart. So two readings mean the same exactly if they
allow the same port atoms to each address atom.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from policyd_compiler.addr import BITS
from policyd_compiler.ir import Action, Isolation, Rule, Snapshot
from policyd_compiler.ports import PortSet
from tests.strategies.snapshots import is_peer

#: By family, for each address atom the mask of the port atoms that are allowed.
Partition: TypeAlias = dict[int, tuple[int, ...]]
FAMILIES = (4, 6)
PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Atoms:
    """The first address of each atom by family, and the first port of each by protocol; the last is ICMP."""

    addresses: dict[int, tuple[int, ...]]
    ports: tuple[tuple[str, int], ...]

    def mask(self, ports: PortSet) -> int:
        """The port atoms in a port set."""
        return sum(1 << n for n, (protocol, port) in enumerate(self.ports) if ports.allows(protocol, port))

    def find(self, family: int, address: int) -> int:
        """The number of the atom that holds an address."""
        return bisect_right(self.addresses[family], address) - 1

    def find_port(self, protocol: str, port: int) -> int:
        """The number of the atom that holds a port."""
        if protocol not in PROTOCOLS:
            return len(self.ports) - 1
        return max(n for n, (name, first) in enumerate(self.ports) if name == protocol and first <= port)


def atoms_of(*snapshots: Snapshot) -> Atoms:
    """The atoms of all rules and hosts of these snapshots together."""
    addresses: dict[int, set[int]] = {family: {0} for family in FAMILIES}
    ports: dict[str, set[int]] = {protocol: {0} for protocol in PROTOCOLS}
    for snapshot in snapshots:
        for host in snapshot.hosts:
            for family in FAMILIES:
                if (address := host.address(family)) is not None:
                    addresses[family] |= {address, address + 1}
        for rule in _rules(snapshot):
            for family in FAMILIES:
                addresses[family] |= {a for low, high in rule.peers.ranges(family) for a in (low, high + 1)}
            for protocol in PROTOCOLS:
                bounds = getattr(rule.ports, protocol)
                ports[protocol] |= {p for low, high in bounds for p in (low, high + 1)}
    # What begins behind the last address, or the last port, is none.
    return Atoms(
        {f: tuple(sorted(a for a in found if a < 1 << BITS[f])) for f, found in addresses.items()},
        (*((name, p) for name, found in ports.items() for p in sorted(found) if p < 1 << 16), ("icmp", 0)),
    )


def partition(isolation: Isolation | None, snapshot: Snapshot, atoms: Atoms) -> Partition:
    """What an isolation allows, read rule by rule; without one everything."""
    everything = (1 << len(atoms.ports)) - 1
    return {
        family: tuple(
            everything if isolation is None else _allowed(isolation, snapshot, family, address, atoms)
            for address in atoms.addresses[family]
        )
        for family in FAMILIES
    }


def _allowed(isolation: Isolation, snapshot: Snapshot, family: int, address: int, atoms: Atoms) -> int:
    allowed, left = 0, (1 << len(atoms.ports)) - 1
    claimant = 0
    for stage in isolation.stages:
        if stage.claimant != claimant:
            allowed, left, claimant = 0, allowed | left, stage.claimant
        passed = 0
        for rule in stage.rules:
            if not is_peer(rule.peers, snapshot, family, address):
                continue
            hit = left & atoms.mask(rule.ports)
            left ^= hit
            allowed |= hit if rule.action is Action.ACCEPT else 0
            passed |= hit if rule.action is Action.PASS else 0
        left = passed | (left if stage.otherwise is Action.PASS else 0)
    return allowed | left


def _rules(snapshot: Snapshot) -> Iterable[Rule]:
    for endpoint in snapshot.endpoints:
        for isolation in (endpoint.ingress, endpoint.egress):
            if isolation is not None:
                yield from (rule for stage in isolation.stages for rule in stage.rules)
