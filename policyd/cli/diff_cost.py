"""`policyd diff --cost`: what a change costs the kernel of each node. Pure.

What is added and removed is counted, by the way that the agent goes: elements in place where nothing else
differs, else a swap (DESIGN, "A ruleset is parts"). The time is an estimate from these numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from policyd.cli.compiled import Rulesets
from policyd.kube.syntax import printable
from policyd_compiler.delta import Order
from policyd_compiler.elements import HeldTable, differing_elements
from policyd_compiler.nft.ast import Chain, Counter, Table
from policyd_compiler.plan import plan
from policyd_compiler.ruleset import Part, Ruleset, compare

Way: TypeAlias = Literal["nothing", "elements", "swap"]
#: Microseconds in libnftables and the kernel, as measured on an idle machine (docs/questions.md).
TRANSACTION, CHAIN, RULE, ELEMENT = 500.0, 10.0, 8.0, 1.0
#: To remove something takes so much of that.
REMOVED = 1 / 3
#: An element that is changed in place, without libnftables.
IN_PLACE_TRANSACTION, IN_PLACE_ELEMENT = 100.0, 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a ruleset."""

    chains: int = 0
    rules: int = 0
    elements: int = 0

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.chains} chains, {self.rules} rules, {self.elements} elements"


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes one node to go from one ruleset to another."""

    node: str
    old: Size
    new: Size
    way: Way
    added: Size
    removed: Size
    milliseconds: float


def costs(old: Rulesets, new: Rulesets, nodes: Iterable[str]) -> Iterator[Cost]:
    """The cost on each of these nodes, which both worlds have."""
    for node in nodes:
        yield _cost(node, old.build(node).table, new.build(node).table)


def _cost(node: str, old: Table, new: Table) -> Cost:
    sizes = _size(Ruleset(old).values()), _size(Ruleset(new).values())
    changes = differing_elements(old, new)
    if changes is not None:
        held = HeldTable(old)
        delta = Order(old, replaces_are_atomic=True).delta(changes, held)
        if delta is not None:
            return _in_place(node, *sizes, changes, len(delta.steps))
    transaction = plan(old, new)
    differs = compare(Ruleset(old), Ruleset(transaction.brings))
    added = _size([*differs.new, *(after for _, after in differs.changed)])
    removed = _size([*differs.gone, *(before for before, _ in differs.changed)])
    micros = TRANSACTION * len(transaction.steps) + _micros(added) + REMOVED * _micros(removed)
    way: Way = "swap" if transaction.steps else "nothing"
    return Cost(node, *sizes, way, added, removed, micros / 1000)


def _micros(size: Size) -> float:
    return CHAIN * size.chains + RULE * size.rules + ELEMENT * size.elements


def _in_place(
    node: str, old: Size, new: Size, changes: Mapping[Any, Mapping[int, tuple[object, object]]], steps: int
) -> Cost:
    found = [pair for of_part in changes.values() for pair in of_part.values()]
    gone = sum(before is not None and before is not False for before, _ in found)
    come = sum(after is not None and after is not False for _, after in found)
    micros = IN_PLACE_TRANSACTION * steps + IN_PLACE_ELEMENT * (gone + come)
    way: Way = "elements" if steps else "nothing"
    return Cost(node, old, new, way, Size(elements=come), Size(elements=gone), micros / 1000)


def _size(parts: Iterable[Part]) -> Size:
    chains = rules = elements = 0
    for part in parts:
        if isinstance(part, Chain):
            chains, rules = chains + 1, rules + len(part.rules)
        elif not isinstance(part, Counter):
            elements += len(part.elements)
    return Size(chains, rules, elements)


def costs_json(found: Iterable[Cost]) -> list[dict[str, Any]]:
    """What a Difference has more with `--cost`."""
    return [
        {
            "node": cost.node,
            "way": cost.way,
            **{
                name: {"chains": size.chains, "rules": size.rules, "elements": size.elements}
                for name, size in (
                    ("old", cost.old),
                    ("new", cost.new),
                    ("added", cost.added),
                    ("removed", cost.removed),
                )
            },
            "milliseconds": round(cost.milliseconds, 1),
        }
        for cost in found
    ]


_WAYS = {"elements": "elements in place", "swap": "a swap"}


def cost_lines(found: Iterable[Cost]) -> Iterator[str]:
    """For people."""
    for cost in found:
        if cost.way == "nothing":
            yield printable(f"node {cost.node}: the kernel changes nothing ({cost.new.text})")
            continue
        yield printable(
            f"node {cost.node}: {cost.old.text} → {cost.new.text}; "
            f"{_WAYS[cost.way]}: {cost.added.text} added, {cost.removed.text} removed, "
            f"about {cost.milliseconds:.1f} ms"
        )
