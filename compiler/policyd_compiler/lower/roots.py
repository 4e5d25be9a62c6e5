"""What the base chains ask: the maps that lead a packet to its endpoint's chain, and the sets beside them.

Named by content like everything else, so that a new generation can be put beside the old one, and a swap is
nothing but other names in the base chains (DESIGN, "How a ruleset replaces another").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policyd_compiler.ir import Direction, Snapshot
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import Family, SetName
from policyd_compiler.options import Options, covering

FAMILIES: tuple[Family, ...] = (4, 6)

#: For each direction and family, the addresses of endpoints that are isolated, and the chain for each.
Dispatch = Mapping[tuple[Direction, Family], list[tuple[int, Verdict]]]


@dataclass(frozen=True, slots=True)
class Roots:
    """Names by family; what would be empty is not there, and no packet asks it.

    `egress`, `ingress`: address → chain. `governed`: addresses under any policy. `itself`: the same as pairs
    of equal addresses, for hairpins. `known`: all addresses of this node's pods, with `interfaces` only.
    """

    egress: Mapping[Family, SetName]
    ingress: Mapping[Family, SetName]
    governed: Mapping[Family, SetName]
    itself: Mapping[Family, SetName]
    known: Mapping[Family, SetName]
    interfaces: SetName | None


def lower_roots(snapshot: Snapshot, dispatch: Dispatch, options: Options, objects: Objects) -> Roots:
    """Make the maps and sets of the base chains."""
    maps: dict[Direction, dict[Family, SetName]] = {"egress": {}, "ingress": {}}
    for (direction, family), elements in dispatch.items():
        if elements:
            ordered = tuple(sorted(elements, key=lambda element: element[0]))
            maps[direction][family] = objects.add_host_map(f"{direction}{family}", family, ordered)
    governed: dict[Family, SetName] = {}
    itself: dict[Family, SetName] = {}
    known: dict[Family, SetName] = {}
    for family in FAMILIES:
        holders = [(a, e) for e in snapshot.endpoints if (a := e.host.address(family)) is not None]
        isolated = tuple(sorted(a for a, e in holders if e.ingress or e.egress))
        if isolated:
            governed[family] = objects.add_host_set(f"governed{family}", family, isolated)
        if isolated and options.hairpin == "allow":
            itself[family] = objects.add_pair_set(f"itself{family}", family, tuple((a, a) for a in isolated))
        if options.pod_interfaces:  # also without elements: then every address is unknown
            addresses = tuple(sorted(a for a, _ in holders))
            known[family] = objects.add_host_set(f"known{family}", family, addresses)
    interfaces = (
        objects.add_interface_set("pod-interfaces", covering(options.pod_interfaces))
        if options.pod_interfaces
        else None
    )
    return Roots(maps["egress"], maps["ingress"], governed, itself, known, interfaces)
