"""Elements of peers that change together with chains: written before the swap, or after it.

Before: when chains are staged, to some of which they may lead.

Mostly one pod of the node came or went: it has chains of its own, and is a peer of others'. If elements only
narrow, they can be changed before the swap, if they only widen, after it. In between each chain's verdict is
the old one or the new one, and what lags is the stricter of its two: so a packet that passes would pass in
the end, or did so at the beginning, and one that is denied was denied then, or will be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from policyd_compiler.delta import Changes, Delta, Order, OrderOf
from policyd_compiler.elements import HeldTable, differing_parts
from policyd_compiler.nft.ast import Set, Table, VerdictMap
from policyd_compiler.nft.keys import KeyType
from policyd_compiler.schedule import Place
from policyd_compiler.walks import Judge, Walks

When: TypeAlias = Literal["before", "after"]
Part = TypeVar("Part", Set, VerdictMap)


@dataclass(frozen=True, slots=True)
class Around:
    """`delta` comes before the swap or after it; `between` is the ruleset in between."""

    when: When
    delta: Delta
    between: Table


def around(held: Table, desired: Table, order_of: OrderOf, changes: Changes | None = None) -> Around | None:
    """How elements that cannot be changed alone are changed next to a swap; None where no way is safe.

    None, too, if no part has other elements under the same name. `changes`: these, where they are known.
    """
    changes = differing_parts(held, desired) if changes is None else changes
    if not changes:
        return None
    lagging = _with_elements_of(desired, held, changes)
    leading = _with_elements_of(held, desired, changes)
    before, after = order_of(held), order_of(lagging)
    moved = _moved(before.walks, after.walks)
    ways: tuple[tuple[When, Order, Table, Table], ...] = (
        ("before", before, held, leading),
        ("after", after, lagging, lagging),
    )
    for when, order, source, between in ways:
        delta = order.delta(changes, HeldTable(source))
        if delta is None or len(delta.steps) != 1 or _concerns(order.walks, moved, changes):
            continue
        effect = order.effect(changes, HeldTable(source))
        if not (effect.widens if when == "before" else effect.narrows):
            return Around(when, delta, between)
    return None


def _with_elements_of(table: Table, other: Table, changes: Changes) -> Table:
    return replace(
        table, sets=_taken(table.sets, other.sets, changes), maps=_taken(table.maps, other.maps, changes)
    )


def _taken(parts: tuple[Part, ...], others: tuple[Part, ...], changes: Changes) -> tuple[Part, ...]:
    elsewhere = {part.name: part for part in others if part.name in changes}
    return tuple(elsewhere.get(part.name, part) for part in parts)


def _moved(old: Walks, new: Walks) -> Mapping[Place, bool]:
    """The addresses that have other judges than before; whether each had some before, and has some now."""
    before, after = _stages(old), _stages(new)
    moved: set[Place] = set()
    for stage in before.keys() | after.keys():
        one, other = before.get(stage, {}), after.get(stage, {})
        others = (a for a in one.keys() | other.keys() if _name(one.get(a)) != _name(other.get(a)))
        moved.update((stage.key, address) for address in others)
    return {place: _is_judged(place, before) and _is_judged(place, after) for place in moved}


class _Stage(NamedTuple):
    """Where packets are judged: in which of the ways for addresses of a kind, and at which place there."""

    key: KeyType
    way: int
    place: int
    side: str


def _stages(walks: Walks) -> dict[_Stage, Mapping[int, Judge]]:
    return {
        _Stage(key, way, place, stage.side): stage.judges
        for key, roads in walks.roads.items()
        for way, road in enumerate(roads)
        for place, stage in enumerate(road)
    }


def _name(judge: Judge | None) -> str | None:
    return None if judge is None else judge.name


def _is_judged(place: Place, stages: Mapping[_Stage, Mapping[int, Judge]]) -> bool:
    key, address = place
    return any(address in judges for stage, judges in stages.items() if stage.key == key)


def _concerns(walks: Walks, moved: Mapping[Place, bool], changes: Changes) -> bool:
    """Whether a judge of an address that moves asks for what changes.

    But for the address itself where it comes or goes: what a pod sends to itself does not leave it.
    """
    for (key, address), stays in moved.items():
        own = set() if stays else {address}
        for stage in (stage for road in walks.roads.get(key, ()) for stage in road):
            if (judge := stage.judges.get(address)) is not None:
                asked = {ask.part for ask in judge.asks if ask.part is not None} & changes.keys()
                if any(changes[part].keys() - own for part in asked):
                    return True
    return False
