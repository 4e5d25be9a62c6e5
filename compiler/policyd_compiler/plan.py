"""plan(actual, desired): the transactions that lead from what the kernel holds to what it should hold.

A packet reads the rules of one generation from the base chain on, but asks the kernel for the generation
again at every look-up in a set (DESIGN, "How a ruleset replaces another"). So what a packet may be walking on
is never changed: a plan *stages* what is new beside it, *commits* by giving the base chains other rules, in
one transaction, and *sweeps* what is left over once no packet can be in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from policyd_compiler.apart import apart
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Chain, ChainName, Counter, Hook, Set, Table, VerdictMap
from policyd_compiler.nft.commands import (
    ChainRule,
    Change,
    WholeTable,
    add,
    delete,
    flush,
    print_changes,
)
from policyd_compiler.nft.json_parser import NOT_OURS
from policyd_compiler.nft.keys import SetName
from policyd_compiler.nft.printer import print_replace

#: How the kernel is changed; `elements`: in place, which no plan does (`delta`).
StepKind: TypeAlias = Literal["replace", "stage", "commit", "sweep", "elements"]
Item: TypeAlias = Set | VerdictMap | Chain | Counter
Part = TypeVar("Part", Set, VerdictMap)
Named = TypeVar("Named", Set, VerdictMap, Chain, Counter)


@dataclass(frozen=True, slots=True)
class Step:
    """One nft transaction: `changes`, or with "replace" the whole of `desired`.

    `bridge` are changes of the table in family bridge, in the same transaction.
    """

    kind: StepKind
    desired: Table
    changes: tuple[Change, ...] = ()
    bridge: tuple[Change, ...] = ()

    @property
    def script(self) -> str:
        """The text for nft, printed when asked for: many plans are only compared, or not run to their end."""
        name = self.desired.name
        beside = print_changes(name, self.bridge, "bridge")
        if self.kind == "replace":
            return f"{print_replace(self.desired)}{beside}"
        return f"{print_changes(name, self.changes, self.desired.family)}{beside}"


@dataclass(frozen=True, slots=True)
class Transaction:
    """Steps to run in order; if one is refused the rest must not run. Without steps nothing differs.

    `brings` is what is in force then: what was desired, in part by other names where it would have changed
    what a packet may be walking on (`apart`). The next plan leads from there to the plain names.
    """

    steps: tuple[Step, ...]
    brings: Table


def plan(actual: Table | None, desired: Table) -> Transaction:
    """The steps from `actual` to `desired`, both in canonical order.

    `actual` is None where there is no table, or one that holds what is not ours: both mean one `replace`.
    The table's comment does not count: nothing but a replacement changes it, and it has no effect on packets.
    """
    if actual is None or not _alike(actual, desired):
        gone = (_REMOVED,) if actual is not None and actual.bridge and desired.bridge is None else ()
        return Transaction((Step("replace", desired, bridge=gone),), desired)
    desired = apart(actual, desired)
    scripts = zip(_KINDS, _changes(actual, desired), _bridge(actual.bridge, desired.bridge), strict=True)
    return Transaction(
        tuple(
            Step(kind, desired, tuple(changes), tuple(beside))
            for kind, changes, beside in scripts
            if changes or beside
        ),
        desired,
    )


#: The steps of a plan that is no replacement, each once or not at all, but for two sweeps.
_KINDS: tuple[StepKind, ...] = ("stage", "commit", "sweep", "sweep")
_ADDED, _REMOVED = add(WholeTable()), Change("delete", WholeTable())


def _changes(actual: Table, desired: Table) -> tuple[list[Change], ...]:
    """The changes of each step for one table."""
    return (_stage(actual, desired), _commit(actual, desired), *_sweep(actual, desired))


def _bridge(actual: Table | None, desired: Table | None) -> tuple[list[Change], ...]:
    """The changes of each step for the table beside, which comes and goes with pods on bridges."""
    match actual, desired:
        case None, None:
            return [], [], [], []
        case _, None:
            return [], [_REMOVED], [], []
        case None, Table():
            stage, commit, *_ = _changes(replace(desired, sets=(), maps=(), chains=(), counters=()), desired)
            return [_ADDED, *stage], commit, [], []
        case Table(), Table() if _alike(actual, desired):
            return _changes(actual, desired)
        case _, Table():  # somebody else's: in the place of what it was, in one transaction
            stage, commit, *_ = _changes(replace(desired, sets=(), maps=(), chains=(), counters=()), desired)
            return [], [_REMOVED, _ADDED, *stage, *commit], [], []
        case _:
            raise CompilerBug("no table")


def same_rules(actual: Table, desired: Table) -> bool:
    """Whether two tables are the same to the kernel: notes and the table's comment do not count."""
    return not plan(actual, desired).steps


def _alike(actual: Table, desired: Table) -> bool:
    """Whether a plan in steps is possible: base chains are the same, and what both have is declared alike."""
    if (actual.family, actual.name) != (desired.family, desired.name):
        return False
    hooks = _hooks(actual)
    if any(hooks.get(name) != hook for name, hook in _hooks(desired).items()):
        return False
    held, wanted = _declarations(actual), _declarations(desired)
    return all(held.get(name, declaration) == declaration for name, declaration in wanted.items())


def _hooks(table: Table) -> dict[ChainName, Hook]:
    return {chain.name: chain.hook for chain in table.chains if chain.hook is not None}


def _declarations(table: Table) -> dict[SetName, tuple[object, ...]]:
    """What cannot be changed under the same name: sets and maps share their names."""
    return {part.name: (type(part), part.key, part.interval, part.size) for part in table.parts}


def _stage(actual: Table, desired: Table) -> list[Change]:
    """Add what is new. Chains are declared before anything that names them."""
    chains = [chain for chain in _new(actual.chains, desired.chains) if chain.hook is None]
    return [
        *map(add, _new(actual.counters, desired.counters)),
        *(add(Chain(chain.name)) for chain in chains),
        *(add(_bare(part)) for part in _new(actual.sets, desired.sets)),
        *(add(_bare(part)) for part in _new(actual.maps, desired.maps)),
        *(add(ChainRule(chain.name, rule)) for chain in chains for rule in chain.rules),
    ]


def _commit(actual: Table, desired: Table) -> list[Change]:
    """Change what has a fixed name: the rules of base chains.

    Other chains are named by their content, and differ under the same name only where somebody tampered with
    them; sets and maps are put beside then.
    """
    chains = [new for old, new in _both(actual.chains, desired.chains) if _rules_differ(old, new)]
    changes: list[Change] = [flush("chain", chain.name) for chain in chains]
    hooks = [chain for chain in _new(actual.chains, desired.chains) if chain.hook is not None]
    changes.extend(add(Chain(chain.name, hook=chain.hook)) for chain in hooks)
    chains.extend(hooks)
    changes.extend(add(ChainRule(chain.name, rule)) for chain in chains for rule in chain.rules)
    return changes


def _rules_differ(old: Chain, new: Chain) -> bool:
    return old.rules is not new.rules and old.rules != new.rules


def _sweep(actual: Table, desired: Table) -> tuple[list[Change], list[Change]]:
    """Remove what is not wanted: first empty what refers, then remove what was referred to.

    Kernels before 6.2 hold a chain a moment longer than the last map element that led to it, so these are two
    transactions. Join them when 6.2 is the floor.
    """
    chains = _new(desired.chains, actual.chains)
    maps = _new(desired.maps, actual.maps)
    emptied: list[Change] = [
        *(flush("chain", chain.name) for chain in chains if chain.rules),
        *(flush("map", part.name) for part in maps if part.elements),
    ]
    removed: list[Change] = [
        *(delete("chain", chain.name) for chain in chains),
        *(delete("map", part.name) for part in maps),
        *(delete("set", part.name) for part in _new(desired.sets, actual.sets)),
        *(delete("counter", part.name) for part in _new(desired.counters, actual.counters)),
    ]
    return emptied, removed


def _bare(part: Part) -> Part:
    """Without notes: changes carry none."""
    return replace(part, notes=()) if part.notes else part


def committed(actual: Table | None, desired: Table) -> Table:
    """What the kernel holds once `plan(actual, desired)` is committed, and not swept yet."""
    if actual is None or not _alike(actual, desired):
        return desired
    desired = apart(actual, desired)
    beside = desired.bridge
    if beside is not None and actual.bridge is not None and _alike(actual.bridge, beside):
        beside = committed(actual.bridge, beside)
    return replace(
        desired,
        bridge=beside,
        sets=_beside(actual.sets, desired.sets),
        maps=_beside(actual.maps, desired.maps),
        chains=_beside(actual.chains, desired.chains),
        counters=_beside(actual.counters, desired.counters),
    )


def differences(actual: Table, wanted: Table) -> tuple[str, ...]:
    """What somebody changed in a table, or in the one beside it: a sentence for each set, map and chain."""
    found: list[str] = []
    match actual.bridge, wanted.bridge:
        case None, Table(name):
            found.append(f"table bridge {name} is gone")
        case Table(name), None:
            found.append(f"table bridge {name} is not ours")
        case Table() as held_beside, Table() as wanted_beside:
            found.extend(f"table bridge: {text}" for text in differences(held_beside, wanted_beside))
        case _:
            pass
    pairs: tuple[tuple[str, tuple[Item, ...], tuple[Item, ...]], ...] = (
        ("counter", actual.counters, wanted.counters),
        ("set", actual.sets, wanted.sets),
        ("map", actual.maps, wanted.maps),
        ("chain", actual.chains, wanted.chains),
    )
    for kind, held, right in pairs:
        by_name = {item.name: item for item in held}
        found.extend(f"{kind} {item.name} is gone" for item in right if item.name not in by_name)
        names = {item.name for item in right}
        found.extend(f"{kind} {item.name} is not ours" for item in held if item.name not in names)
        found.extend(
            f"{kind} {item.name} was changed{_foreign_rule(by_name[item.name])}"
            for item in right
            if item.name in by_name and _without_notes(by_name[item.name]) != _without_notes(item)
        )
    return tuple(found)


def _without_notes(item: Item) -> Item:
    return item if isinstance(item, Counter) else replace(item, notes=())


def _foreign_rule(item: Item) -> str:
    rules = item.rules if isinstance(item, Chain) else ()
    foreign = [rule.comment for rule in rules if rule.comment.startswith(NOT_OURS)]
    return f": {foreign[0]}" if foreign else ""


def _beside(old: tuple[Named, ...], new: tuple[Named, ...]) -> tuple[Named, ...]:
    left = _new(new, old)
    return tuple(sorted(new + tuple(left), key=lambda item: item.name))


def _new(old: Iterable[Named], new: Iterable[Named]) -> list[Named]:
    names = {item.name for item in old}
    return [item for item in new if item.name not in names]


def _both(old: Iterable[Named], new: Iterable[Named]) -> list[tuple[Named, Named]]:
    known = {item.name: item for item in old}
    return [(known[item.name], item) for item in new if item.name in known]
