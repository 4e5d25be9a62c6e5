"""Whose policy differs between two tables: read from the dispatch maps, as names tell contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from policyd_compiler.nft.ast import ChainName, Table, Verdict, Vmap
from policyd_compiler.nft.expressions import Field, address_field
from policyd_compiler.nft.keys import Family

_Dispatch: TypeAlias = dict[Field, Mapping[object, Verdict]]
_FAMILIES: Mapping[Field, Family] = {
    address_field(4, "saddr"): 4,
    address_field(4, "daddr"): 4,
    address_field(6, "saddr"): 6,
    address_field(6, "daddr"): 6,
}


def changed_addresses(old: Table | None, new: Table) -> dict[int, frozenset[int]]:
    """Addresses of isolated endpoints, by family, that another chain judges than before, in any direction.

    What an address may do is the same under the same chain, because a chain's name holds its content and that
    of all it refers to. Who is not isolated any more is not among them: nothing of theirs is denied.
    """
    before: _Dispatch = {} if old is None else _dispatch(old)
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for field, elements in _dispatch(new).items():
        known = before.get(field, {})
        changed = (a for a, verdict in elements.items() if known.get(a) != verdict)
        found[_FAMILIES[field]].update(a for a in changed if isinstance(a, int))
    return {family: frozenset(addresses) for family, addresses in found.items()}


def _dispatch(table: Table) -> _Dispatch:
    """The maps that the hook `forward` asks, by what it asks for."""
    maps = {part.name: part for part in table.maps}
    forward = next((chain for chain in table.chains if chain.name == ChainName("forward")), None)
    found: _Dispatch = {}
    for rule in forward.rules if forward else ():
        match rule.action:
            case Vmap(field, name) if name in maps and field in _FAMILIES:
                found[field] = dict(maps[name].elements)
            case _:
                pass
    return found
