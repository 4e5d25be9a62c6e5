"""What may become of a packet on its way while a transaction comes into force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from policyd_compiler.delta import Order
from policyd_compiler.nft.ast import Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.commands import Change, Elements
from policyd_compiler.nft.keys import Key
from policyd_compiler.sim import Outcome, Packet, Simulator

#: Order changes for a kernel whose look-ups always find a key that is replaced, and for one that may miss it.
ATOMIC = partial(Order, replaces_are_atomic=True)
OLDER = partial(Order, replaces_are_atomic=False)


def outcomes(before: Simulator, after: Simulator, packet: Packet) -> frozenset[Outcome]:
    """All verdicts on a packet that walks the rules of `before`, wherever the transaction meets it."""
    found: set[Outcome] = set()
    switch = 0
    while True:
        trace = before.evaluate(packet, after, switch)
        found.add(trace.verdict)
        if switch >= trace.lookups:
            return frozenset(found)
        switch += 1


def ends(before: Simulator, after: Simulator, packet: Packet) -> frozenset[Outcome]:
    """The verdicts of both tables, each as a whole."""
    return frozenset(one.evaluate(packet).verdict for one in (before, after))


def applied(table: Table, changes: Iterable[Change]) -> Table:
    """The table after a transaction that changes elements only, as the kernel does it."""
    sets = {part.name: set(part.elements) for part in table.sets}
    maps = {part.name: dict(part.elements) for part in table.maps}
    for change in changes:
        match change.verb, change.part:
            case "add", Set(name) as part:
                assert sets[name].isdisjoint(part.elements)
                sets[name].update(part.elements)
                assert len(sets[name]) <= part.size
            case "add", VerdictMap(name) as part:
                assert maps[name].keys().isdisjoint(key for key, _ in part.elements)
                maps[name].update(part.elements)
                assert len(maps[name]) <= part.size
            case "delete", Elements(name, _, keys) if name in sets:
                assert sets[name].issuperset(keys)
                sets[name].difference_update(keys)
            case "delete", Elements(name, _, keys):
                for key in keys:
                    del maps[name][key]
            case _:
                raise AssertionError(f"no change of elements: {change}")
    return replace(
        table,
        sets=tuple(replace(p, elements=tuple(sorted(sets[p.name], key=_in_order))) for p in table.sets),
        maps=tuple(replace(p, elements=tuple(sorted(maps[p.name].items(), key=_by_key))) for p in table.maps),
    )


def _in_order(key: Key) -> tuple[str, Key]:
    return type(key).__name__, key


def _by_key(element: tuple[Key, Verdict]) -> tuple[str, Key]:
    return _in_order(element[0])
