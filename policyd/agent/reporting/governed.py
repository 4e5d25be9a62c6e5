"""Which policies isolate each pod of this node, by the ruleset in force: whom its maps lead where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, get_args

from policyd.agent_api import GovernedPod
from policyd.node.attach import Address, KnownPods
from policyd_compiler.ir import Direction
from policyd_compiler.leads import Leads, read_leads
from policyd_compiler.nft.ast import Goto, Jump, Table
from policyd_compiler.nft.keys import FAMILIES
from policyd_compiler.ruleset import Ruleset

_Judges: TypeAlias = dict[Address, str]


def governed(
    pods: KnownPods, table: Table | None, owners: Mapping[str, frozenset[str]]
) -> Iterator[GovernedPod]:
    """Each pod of the node, by name, with the policies that isolate it; None in a direction that is open."""
    leads = {} if table is None else read_leads(Ruleset(table))
    judges = {direction: _judges(leads, direction) for direction in get_args(Direction)}
    names: dict[str, tuple[str, ...]] = {}
    for name in sorted(pods):
        found: dict[str, tuple[str, ...] | None] = {}
        for direction, chains in judges.items():
            here = sorted({chains[each] for each in pods[name].addresses if each in chains})
            for chain in here:
                if chain not in names:
                    names[chain] = tuple(sorted(owners.get(chain, ())))
            found[direction] = tuple(sorted({n for chain in here for n in names[chain]})) if here else None
        yield GovernedPod(name=name, egress=found["egress"], ingress=found["ingress"])


def _judges(leads: Leads, direction: Direction) -> _Judges:
    """By address, the chain that judges what it sends (egress) or receives (ingress)."""
    return {
        (family, address): verdict.chain
        for family in FAMILIES
        for address, verdict in leads.get(("asking", direction, family), {}).items()
        if isinstance(verdict, Goto | Jump)
    }
