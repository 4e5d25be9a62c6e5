"""What the base chains ask: the maps that lead a packet to its endpoint's chain, and the sets next to them.

Named by content like everything else, so that a new generation can be put next to the old one, and a swap is
nothing but other names in the base chains (DESIGN, "How a ruleset replaces another").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policyd_compiler.ir import Direction, Snapshot
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import FAMILIES, Family, SetName
from policyd_compiler.options import Options

#: For each direction and family, the addresses of endpoints that are isolated, and the chain for each.
Dispatch = Mapping[tuple[Direction, Family], list[tuple[int, Verdict]]]


@dataclass(frozen=True, slots=True)
class Roots:
    """Names by family; what would be empty is not there, and no packet asks it.

    `egress`, `ingress`: address → chain; `egress_answers`, `ingress_answers`: the same for packets that
    answer (NP-165). `itself`: addresses under any policy, as pairs of equal addresses, for hairpins.
    """

    egress: Mapping[Family, SetName]
    ingress: Mapping[Family, SetName]
    egress_answers: Mapping[Family, SetName]
    ingress_answers: Mapping[Family, SetName]
    itself: Mapping[Family, SetName]

    @property
    def govern(self) -> bool:
        """Whether any pod of the node is under any policy."""
        return bool(self.egress or self.ingress)


def lower_roots(
    snapshot: Snapshot, asking: Dispatch, answering: Dispatch, options: Options, objects: Objects
) -> Roots:
    """Make the maps and sets of the base chains."""
    itself: dict[Family, SetName] = {}
    for family in FAMILIES:
        holders = [(a, e) for e in snapshot.endpoints if (a := e.host.address(family)) is not None]
        isolated = tuple(sorted(a for a, e in holders if e.ingress or e.egress))
        if isolated and options.hairpin == "allow":
            itself[family] = objects.add_pair_set(f"itself{family}", family, tuple((a, a) for a in isolated))
    return Roots(
        _maps("egress", "egress", asking, objects),
        _maps("ingress", "ingress", asking, objects),
        _maps("egress", "egress-answers", answering, objects),
        _maps("ingress", "ingress-answers", answering, objects),
        itself,
    )


def _maps(direction: Direction, prefix: str, dispatch: Dispatch, objects: Objects) -> dict[Family, SetName]:
    found: dict[Family, SetName] = {}
    for family in FAMILIES:
        elements = dispatch.get((direction, family))
        if elements:
            ordered = tuple(sorted(elements, key=lambda element: element[0]))
            found[family] = objects.add_host_map(f"{prefix}{family}", family, ordered)
    return found
