"""Which policies isolate each pod of this node, by the ruleset in force: whom its maps lead where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from policyd.agent_api import GovernedPod
from policyd.node.attach import Address, KnownPods
from policyd_compiler.nft.ast import Goto, Jump, Table, Vmap
from policyd_compiler.nft.expressions import address_field
from policyd_compiler.nft.keys import Family

_Judges: TypeAlias = dict[Address, str]
_FAMILIES: tuple[Family, ...] = (4, 6)


def governed(
    pods: KnownPods, table: Table | None, owners: Mapping[str, frozenset[str]]
) -> Iterator[GovernedPod]:
    """Each pod of the node, by name, with the policies that isolate it; None in a direction that is open."""
    judges = {
        direction: _judges(table, side) for direction, side in (("egress", "saddr"), ("ingress", "daddr"))
    }
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


def _judges(table: Table | None, side: str) -> _Judges:
    """By address, the chain to which `forward` leads for those who send (saddr) or receive (daddr)."""
    found: _Judges = {}
    if table is None:
        return found
    maps = {part.name: part for part in table.maps}
    rules = [
        rule for c in table.chains if c.hook is not None and c.hook.hook == "forward" for rule in c.rules
    ]
    for family in _FAMILIES:
        field = address_field(family, "saddr" if side == "saddr" else "daddr")
        for rule in rules:
            if isinstance(rule.action, Vmap) and rule.action.field == field:
                for key, verdict in maps[rule.action.map].elements:
                    if isinstance(verdict, Goto | Jump) and isinstance(key, int):
                        found[family, key] = verdict.chain
    return found
