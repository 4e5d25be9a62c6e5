"""Changes for one address within judges: what belongs together, and in how many steps it is safe.

A judge's verdict is that of its first look-up that finds the address. A packet that is met by a transaction
between two look-ups has missed what was not there yet, and misses what is not there any more. It gets another
verdict than the old and the new one only if the new one is found earlier than the old one was, and not by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import SetName
from policyd_compiler.walks import Answer, Judge

Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Op:
    """What a look-up of an address in a part finds before and after."""

    part: SetName
    before: Answer
    after: Answer


@dataclass(frozen=True, slots=True)
class Turn:
    """What a judge makes of a look-up that changes, before and after; None: the next question."""

    part: SetName
    before: Verdict | None
    after: Verdict | None


@dataclass(frozen=True, slots=True)
class Unit:
    """Parts that depend on each other: in which of `length` steps each is changed."""

    steps: Mapping[SetName, int]
    length: int


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that some judge asks one after another. `doubts`: the judges for which one step may be unsafe.

    `careful` is always safe; None where judges ask for the parts in contrary orders.
    """

    parts: tuple[SetName, ...]
    doubts: tuple[Judge, ...]
    careful: Unit | None


def at_once(group: Group) -> Unit:
    """All of a group in one step."""
    return Unit(dict.fromkeys(group.parts, 0), 1)


def turns(judge: Judge, ops: Mapping[SetName, Op]) -> tuple[Turn, ...]:
    """The look-ups of a judge that change, in order."""
    return tuple(
        Turn(op.part, ask.answer(op.before), ask.answer(op.after))
        for ask in judge.asks
        if ask.part is not None and (op := ops.get(ask.part)) is not None
    )


def are_safe(of: Sequence[Turn]) -> bool:
    """Whether one transaction is safe, whatever else the judge finds.

    Where the first had an answer, that or an earlier one was the old verdict, and no packet comes to look
    further. Where all gain the same answer it does not matter by which of them a packet finds it.
    """
    first = of[0]
    return first.before is not None or all(t.before is None and t.after == first.after for t in of)


def divide(parts: Iterable[SetName], of: Mapping[Judge, Sequence[Turn]]) -> tuple[Group, ...]:
    """Divide the parts that change into groups."""
    groups = {part: [part] for part in parts}
    for one in of.values():
        for turn in one[1:]:
            first, second = groups[one[0].part], groups[turn.part]
            if first is not second:
                first.extend(second)
                groups.update(dict.fromkeys(second, first))
    found = []
    for group in {id(group): group for group in groups.values()}.values():
        inside = {judge: one for judge, one in of.items() if groups[one[0].part] is group}
        doubts = tuple(judge for judge, one in inside.items() if not are_safe(one))
        found.append(Group(tuple(group), doubts, _carefully(group, list(inside.values()))))
    return tuple(found)


def _carefully(group: Sequence[SetName], of: Sequence[Sequence[Turn]]) -> Unit | None:
    """First what gains or changes its answer, in the order in which it is asked, then what loses it.

    What gains and is asked first gives the new verdict, unless an old one is found before it. What comes last
    loses what is not found any more, or was the old verdict.
    """
    steps = dict.fromkeys(group, 0)
    gains = [[turn for turn in one if turn.after is not None] for one in of]
    orders = {(a.part, b.part, int(a.after != b.after)) for one in gains for a, b in pairwise(one)}
    if not settle(steps, orders):
        return None
    losing = {turn.part for one in of for turn in one if turn.after is None}
    last = max(steps.values()) + (0 < len(losing) < len(group))
    steps.update(dict.fromkeys(losing, last))
    return Unit(steps, last + 1)


def settle(numbers: dict[Node, int], orders: Iterable[tuple[Node, Node, int]]) -> bool:
    """Raise numbers until each second is at least its first and so much more; False if that never ends."""
    kept = tuple(orders)
    for _ in range(len(numbers) + 1):
        raised = False
        for first, second, more in kept:
            if numbers[second] < numbers[first] + more:
                numbers[second], raised = numbers[first] + more, True
        if not raised:
            return True
    return False
