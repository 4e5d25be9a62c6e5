"""Whose policy differs between two tables: read from the dispatch maps, as names tell contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from policyd_compiler.nft.ast import Set, Table, Verdict, VerdictMap, Vmap
from policyd_compiler.nft.expressions import Field, address_field
from policyd_compiler.nft.keys import KEY, Family, KeyType

Part = TypeVar("Part", Set, VerdictMap)
_OF_KEY: Mapping[KeyType, Family] = {key: family for family, key in KEY.items()}
_Dispatch: TypeAlias = dict[Field, Mapping[object, Verdict]]
_FAMILIES: Mapping[Field, Family] = {
    address_field(4, "saddr"): 4,
    address_field(4, "daddr"): 4,
    address_field(6, "saddr"): 6,
    address_field(6, "daddr"): 6,
}


def changed_addresses(old: Table | None, new: Table) -> dict[int, frozenset[int]]:
    """Addresses of isolated endpoints, by family, that another chain judges than before, in any direction.

    And addresses that are no longer among the peers of a chain, or are others there: their connections, too.
    What an address may do under the same chain is the same but for these, as a chain's name holds its
    content. Who is not isolated any more, or is let in by more, is not among them: nothing of theirs is
    denied.
    """
    before: _Dispatch = {} if old is None else _dispatch(old)
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for field, elements in _dispatch(new).items():
        known = before.get(field, {})
        changed = (a for a, verdict in elements.items() if known.get(a) != verdict)
        found[_FAMILIES[field]].update(a for a in changed if isinstance(a, int))
    if old is not None:
        for family, addresses in (*_peers(old.sets, new.sets), *_peers(old.maps, new.maps)):
            found[family].update(addresses)
    return {family: frozenset(addresses) for family, addresses in found.items()}


def _peers(old: Iterable[Part], new: Iterable[Part]) -> Iterator[tuple[Family, set[int]]]:
    """By family, addresses that left sets of the same names, or have another verdict in a map."""
    held = {part.name: part for part in old}
    for part in new:
        before, family = held.get(part.name), _OF_KEY.get(part.key)
        if before is None or family is None or before.elements is part.elements:
            continue
        if isinstance(part, Set):
            changed = set(before.elements) - set(part.elements)
        else:
            # What is added may narrow, too: before, ranges or another set may have answered.
            changed = {key for key, _ in set(before.elements) ^ set(part.elements)}
        yield family, {address for address in changed if isinstance(address, int)}


def _dispatch(table: Table) -> _Dispatch:
    """The maps that the hook `forward` asks, by what it asks for."""
    maps = {part.name: part for part in table.maps}
    found: _Dispatch = {}
    for rule in (rule for chain in table.chains if chain.is_at("forward") for rule in chain.rules):
        match rule.action:
            case Vmap(field, name) if name in maps and field in _FAMILIES:
                found[field] = dict(maps[name].elements)
            case _:
                pass
    return found
