"""Whose policy differs between two tables: read from the dispatch maps and from what these lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from policyd_compiler.delta import Changes
from policyd_compiler.leads import dispatch_maps
from policyd_compiler.nft.ast import Action, Goto, Jump, Rule, Set, Table, Verdict, VerdictMap, Vmap
from policyd_compiler.nft.expressions import ADDRESS_FIELDS, Field, InSet, Match
from policyd_compiler.nft.keys import KEY, Family, KeyType, SetName
from policyd_compiler.ruleset import part_of

Part = TypeVar("Part", Set, VerdictMap)
_OF_KEY: Mapping[KeyType, Family] = {key: family for family, key in KEY.items()}
_Dispatch: TypeAlias = dict[Field, VerdictMap]


def changed_addresses(
    old: Table | None, new: Table, changes: Changes | None = None
) -> dict[int, frozenset[int]]:
    """Addresses of isolated endpoints, by family, that are judged otherwise than before, in any direction.

    And addresses that are no longer among the peers of a chain, or are others there: their connections, too.
    What an address may do under a chain of the same name is the same but for these, and so it is under one of
    another name that asks the same of the same. Who is not isolated any more, or is let in by more, is not
    among them: nothing of theirs is denied.

    `changes`: all elements that differ, where it is known that nothing else does.
    """
    if changes is not None:
        return _changed_by(changes, new)
    before: _Dispatch = {} if old is None else _dispatch(old)
    same = _Same(old, new)
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for field, part in _dispatch(new).items():
        held = before.get(field)
        if held is not None and held.elements is part.elements:
            continue
        known = {} if held is None else dict(held.elements)
        changed = (a for a, verdict in part.elements if not same.verdicts(known.get(a), verdict))
        found[ADDRESS_FIELDS[field][0]].update(a for a in changed if isinstance(a, int))
    if old is not None:
        for family, addresses in (*_peers(old.sets, new.sets), *_peers(old.maps, new.maps)):
            found[family].update(addresses)
    return {family: frozenset(addresses) for family, addresses in found.items()}


class _Same:
    """Whether what two tables have by other names is the same, as where sets were put beside (`apart`)."""

    def __init__(self, old: Table | None, new: Table) -> None:
        tables = [table for table in (old, new) if table is not None]
        self._chains = [{chain.name: chain for chain in table.chains} for table in tables]
        self._parts = [{part.name: part for part in table.parts} for table in tables]
        self._known: dict[tuple[str, str], bool] = {}

    def verdicts(self, old: Verdict | None, new: Verdict) -> bool:
        """Of two packets with these verdicts, whether the same becomes."""
        if isinstance(old, Jump | Goto) and isinstance(new, Jump | Goto) and type(old) is type(new):
            return self._same_chain(old, new)
        return old == new

    def _same_chain(self, old: Jump | Goto, new: Jump | Goto) -> bool:
        if old.chain == new.chain:  # it bears its content in its name
            return True
        names = old.chain, new.chain
        if names not in self._known:
            before, after = (chains[name].rules for chains, name in zip(self._chains, names, strict=True))
            same = len(before) == len(after) and all(map(self._same_rule, before, after))
            self._known[names] = same
        return self._known[names]

    def _same_rule(self, old: Rule, new: Rule) -> bool:
        if len(old.matches) != len(new.matches) or old.statements != new.statements:
            return False
        return all(map(self._same_match, old.matches, new.matches)) and self._same_action(
            old.action, new.action
        )

    def _same_match(self, old: Match, new: Match) -> bool:
        if isinstance(old.right, InSet) and isinstance(new.right, InSet):
            alike = (old.field, old.negated) == (new.field, new.negated)
            return alike and self._same_part(old.right.set, new.right.set)
        return old == new

    def _same_action(self, old: Action, new: Action) -> bool:
        if isinstance(old, Vmap) and isinstance(new, Vmap):
            return old.field == new.field and self._same_part(old.map, new.map)
        if isinstance(old, Vmap) or isinstance(new, Vmap):
            return False
        return self.verdicts(old, new)

    def _same_part(self, old: SetName, new: SetName) -> bool:
        if old == new:  # elements are compared one by one (`_peers`)
            return True
        match [parts.get(name) for parts, name in zip(self._parts, (old, new), strict=True)]:
            case Set() as before, Set() as after:
                return before.elements == after.elements
            case VerdictMap() as before, VerdictMap() as after if len(before.elements) == len(after.elements):
                pairs = zip(before.elements, after.elements, strict=True)
                return all(one == other and self.verdicts(v, w) for (one, v), (other, w) in pairs)
            case _:
                return False


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


def _changed_by(changes: Changes, table: Table) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for name, of_part in changes.items():
        part = part_of(table, name)
        lost = (a for a, (_, after) in of_part.items() if after is None or isinstance(part, VerdictMap))
        found[_OF_KEY[part.key]].update(lost)
    return {family: frozenset(addresses) for family, addresses in found.items()}


def _dispatch(table: Table) -> _Dispatch:
    """The maps that the hook `forward` asks, by what it asks for."""
    maps = {part.name: part for part in table.maps}
    rules = (rule for chain in table.chains if chain.is_at("forward") for rule in chain.rules)
    return {field: maps[name] for field, name in dispatch_maps(rules) if name in maps}
