"""The elements of two tables that are the same but for elements: what differs, and what look-ups find."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Mapping
from itertools import zip_longest
from typing import TypeAlias

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Chain, Set, Table, Verdict, VerdictMap, have_same_elements
from policyd_compiler.nft.keys import KEY, Key, SetName
from policyd_compiler.walks import HELD, Answer

_Found: TypeAlias = dict[SetName, dict[int, tuple[Answer, Answer]]]


def differing_elements(
    old: Table, new: Table
) -> Mapping[SetName, Mapping[int, tuple[Answer, Answer]]] | None:
    """By part and key, what a look-up finds in each of two tables; None where more than that differs.

    Only elements of hash sets and maps of addresses may differ. Notes and tables' comments do not count.
    """
    if (old.name, old.family, old.counters) != (new.name, new.family, new.counters):
        return None
    if not all(_same_chain(a, b) for a, b in zip_longest(old.chains, new.chains)):
        return None
    if not _same_beside(old.bridge, new.bridge):
        return None
    if [part.name for part in old.parts] != [part.name for part in new.parts]:
        return None
    return differing_parts(old, new)


def differing_parts(old: Table, new: Table) -> Mapping[SetName, Mapping[int, tuple[Answer, Answer]]] | None:
    """The same of the sets and maps that both tables have; None where others than of addresses differ."""
    held = {part.name: part for part in old.parts}
    found: _Found = {}
    for after in new.parts:
        before = held.get(after.name)
        if before is None:
            continue
        if _declared(before) != _declared(after):
            return None
        if have_same_elements(before, after):
            continue
        if before.interval or before.key not in KEY.values():
            return None
        found[before.name] = _differing(before, after)
    return found


def same_but_for(names: Container[SetName], old: Table, new: Table) -> bool:
    """Whether two tables of family inet have the same chains and parts, but for the elements of these."""
    same = old.chains is new.chains
    if not (same or all(_same_chain(a, b) for a, b in zip_longest(old.chains, new.chains))):
        return False
    return all(
        before is after
        or (
            before is not None
            and after is not None
            and _declared(before) == _declared(after)
            and (before.name in names or have_same_elements(before, after))
        )
        for before, after in zip_longest(old.parts, new.parts)
    )


def _same_beside(old: Table | None, new: Table | None) -> bool:
    if old is None or new is None:
        return old is new
    return old is new or differing_elements(old, new) == {}


def _same_chain(old: Chain | None, new: Chain | None) -> bool:
    if old is None or new is None:
        return False
    same = old.rules is new.rules or old.rules == new.rules
    return same and (old.name, old.hook) == (new.name, new.hook)


def _declared(part: Set | VerdictMap) -> tuple[object, ...]:
    return type(part), part.name, part.key, part.interval, part.size


def _differing(old: Set | VerdictMap, new: Set | VerdictMap) -> dict[int, tuple[Answer, Answer]]:
    """Of two parts of addresses."""
    if isinstance(old, Set) and isinstance(new, Set):
        before, after = set(old.elements), set(new.elements)
        gone = {key: (HELD, None) for key in before - after if isinstance(key, int)}
        return gone | {key: (None, HELD) for key in after - before if isinstance(key, int)}
    answers, others = _verdicts(old), _verdicts(new)
    pairs = ((key, answers.get(key), others.get(key)) for key in answers | others)
    return {key: (one, other) for key, one, other in pairs if one is not other and one != other}


def _verdicts(part: Set | VerdictMap) -> dict[int, Verdict]:
    elements = part.elements if isinstance(part, VerdictMap) else ()
    return {key: verdict for key, verdict in elements if isinstance(key, int)}


class HeldTable:
    """What look-ups find in a table. Elements are sorted, so nothing has to be indexed."""

    def __init__(self, table: Table) -> None:
        self._sets = {part.name: part for part in table.sets}
        self._maps = {part.name: part for part in table.maps}

    def find(self, name: SetName, key: int) -> Answer:
        """What a look-up of an address finds. Raises KeyError for a name that is not there."""
        if (part := self._sets.get(name)) is not None:
            at = bisect_right(part.elements, key, key=_low) - 1
            return HELD if at >= 0 and key <= _high(part.elements[at]) else None
        elements = self._maps[name].elements
        at = bisect_right(elements, key, key=lambda element: _low(element[0])) - 1
        return elements[at][1] if at >= 0 and key <= _high(elements[at][0]) else None

    def count(self, name: SetName) -> int:
        """How many elements a set or map has. Raises KeyError for a name that is not there."""
        return len((self._sets.get(name) or self._maps[name]).elements)


def _low(key: Key) -> int:
    return _bound(key, 0)


def _high(key: Key) -> int:
    return _bound(key, 1)


def _bound(key: Key, end: int) -> int:
    """One end of an interval of addresses; an address is both of its ends."""
    bound = key[end] if isinstance(key, tuple) else key
    if isinstance(bound, int):
        return bound
    raise CompilerBug(f"no address: {key!r}")
