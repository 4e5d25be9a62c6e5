"""What of a ruleset its hooks meet before policies are asked, as a value that is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policyd.proof.differing import asked_by, led_to, named
from policyd.proof.space import ADDRESSES, Unprovable
from policyd.proof.walk import leads_to_chains
from policyd_compiler.nft.ast import Chain, Hook, Rule, Set, Table, VerdictMap, Vmap
from policyd_compiler.nft.keys import KEY, Family


@dataclass(frozen=True)
class Near:
    """Chains that base chains lead to, what they ask, and who is in maps that say what policies do."""

    chains: tuple[tuple[str, Hook | None, tuple[Rule, ...]], ...]
    parts: tuple[tuple[str, object, object], ...]
    asked: tuple[tuple[str, int], ...]
    #: The maps themselves; what they say of whom is compared elsewhere.
    asked_parts: tuple[VerdictMap, ...] = field(compare=False)

    def asked_of(self, family: Family) -> Iterator[tuple[VerdictMap, int]]:
        """The maps of a family that say what policies do, each with the side of its key."""
        sides = dict(self.asked)
        yield from ((part, sides[str(part.name)]) for part in self.asked_parts if part.key is KEY[family])


def near_of(table: Table) -> Near:
    """What hooks meet. Raises Unprovable where that cannot be followed."""
    chains, maps = named(table), {str(part.name): part for part in table.maps}
    parts = {str(part.name): part for part in table.parts}
    met: dict[str, Chain] = {}
    asked: dict[str, int] = {}
    waiting = [str(chain.name) for chain in table.chains if chain.hook is not None]
    while waiting:
        name = waiting.pop()
        if name in met:
            continue
        if name not in chains:
            raise Unprovable(f"there is no chain {name}")
        met[name] = chains[name]
        for rule in chains[name].rules:
            side = _side(rule, maps)
            if side is None:
                waiting.extend(led_to(rule, maps))
            elif asked.setdefault(str(rule.action.map), side) != side:  # type: ignore[union-attr]
                raise Unprovable("a map is asked for senders and for receivers")
    used = sorted({part for chain in met.values() for rule in chain.rules for part in asked_by(rule)})
    if missing := [name for name in used if name not in parts]:
        raise Unprovable(f"there is no set {missing[0]}")
    return Near(
        tuple((name, met[name].hook, met[name].rules) for name in sorted(met)),
        tuple(_as_met(parts[name], is_asked=name in asked) for name in used),
        tuple(sorted(asked.items())),
        tuple(maps[name] for name in sorted(asked)),
    )


def _side(rule: Rule, maps: Mapping[str, VerdictMap]) -> int | None:
    """The side of which a map says what policies do; None where a rule asks no such map."""
    if not isinstance(rule.action, Vmap) or rule.action.field not in ADDRESSES:
        return None
    part = maps.get(str(rule.action.map))
    if part is None or part.key not in KEY.values() or not leads_to_chains(part):
        return None
    return ADDRESSES[rule.action.field][1]


def _as_met(part: Set | VerdictMap, *, is_asked: bool) -> tuple[str, object, object]:
    """What hooks see of a set or map; of one that is asked not to which chain somebody is sent."""
    of = part.key, part.interval
    if is_asked and isinstance(part, VerdictMap):
        return str(part.name), of, tuple((key, type(verdict)) for key, verdict in part.elements)
    return str(part.name), of, part.elements
