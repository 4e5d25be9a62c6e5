"""plan(actual, desired): the transactions that lead from what the kernel holds to what it should hold.

A packet reads the rules of one generation from the base chain on, but asks the kernel for the generation
again at every look-up in a set (DESIGN, "How a ruleset replaces another"). So what a packet may be walking on
is never changed: a plan *stages* what is new beside it, *commits* by giving the base chains other rules, in
one transaction, and *sweeps* what is left over once no packet can be in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from policyd_compiler.apart import apart
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Chain, Counter, Set, Table, VerdictMap
from policyd_compiler.nft.commands import ChainRule, Change, WholeTable, add, delete, flush, print_changes
from policyd_compiler.nft.json_parser import FOREIGN_RULE
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp, unstamp
from policyd_compiler.ruleset import (
    Difference,
    Part,
    PartId,
    Ruleset,
    are_alike,
    compare,
    compare_tables,
    id_of,
    with_others,
)

#: How the kernel is changed; `elements`: in place, which no plan does (`delta`).
StepKind: TypeAlias = Literal["replace", "stage", "commit", "sweep", "elements"]


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
    what a packet may be walking on (`apart`). The next plan leads from there to the plain names. `leaves` is
    what the kernel holds before it is swept: the same, and what nothing refers to any more.
    """

    steps: tuple[Step, ...]
    brings: Table
    leaves: Table

    @property
    def is_swap(self) -> bool:
        """Whether anything differs but leftovers."""
        return any(step.kind != "sweep" for step in self.steps)


def plan(actual: Table | None, desired: Table, generation: int | None = None) -> Transaction:
    """The steps from `actual` to `desired`, both in canonical order.

    `actual` is None where there is no table, or one that holds what is not ours: both mean one `replace`.
    The table's comment does not count: nothing but a replacement changes it, and it has no effect on packets.
    With a `generation` the ruleset bears that, but if nothing else differs: then it keeps the one it has.
    """
    if generation is not None:
        desired = stamp(desired, generation)
    if actual is None or not _alike(actual, desired):
        gone = (_REMOVED,) if actual is not None and actual.bridge and desired.bridge is None else ()
        return Transaction((Step("replace", desired, bridge=gone),), desired, desired)
    desired = apart(actual, desired)
    differs = compare_tables(actual, desired)
    beside = _bridge(actual.bridge, desired.bridge)
    if generation is not None and not differs.new and len(differs.changed) < 2 and not any(beside[:2]):
        kept = stamp(desired, unstamp(actual)[1])
        but_for_it = compare_tables(actual, kept)
        if not but_for_it.changed:
            desired, differs = kept, but_for_it
    scripts = zip(_KINDS, _changes(differs), beside, strict=True)
    steps = tuple(
        Step(kind, desired, tuple(changes), tuple(others))
        for kind, changes, others in scripts
        if changes or others
    )
    return Transaction(steps, desired, _leaves(actual, desired))


#: The steps of a plan that is no replacement, each once or not at all, but for two sweeps.
_KINDS: tuple[StepKind, ...] = ("stage", "commit", "sweep", "sweep")
_ADDED, _REMOVED = add(WholeTable()), Change("delete", WholeTable())


def _changes(differs: Difference) -> tuple[list[Change], ...]:
    """The changes of each step for one table."""
    return (_stage(differs.new), _commit(differs), *_sweep(differs.gone))


def _bridge(actual: Table | None, desired: Table | None) -> tuple[list[Change], ...]:
    """The changes of each step for the table beside, which comes and goes with pods on bridges."""
    match actual, desired:
        case None, None:
            return [], [], [], []
        case _, None:
            return [], [_REMOVED], [], []
        case None, Table():
            stage, commit, *_ = _changes(compare({}, Ruleset(desired)))
            return [_ADDED, *stage], commit, [], []
        case Table(), Table() if _alike(actual, desired):
            return _changes(compare_tables(actual, desired))
        case _, Table():  # somebody else's: in the place of what it was, in one transaction
            stage, commit, *_ = _changes(compare({}, Ruleset(desired)))
            return [], [_REMOVED, _ADDED, *stage, *commit], [], []
        case _:
            raise CompilerBug("no table")


def _alike(actual: Table, desired: Table) -> bool:
    """Whether a plan in steps is possible: base chains are the same, and what both have is declared alike."""
    if (actual.family, actual.name) != (desired.family, desired.name):
        return False
    hooks = {chain.name: chain.hook for chain in Ruleset(actual).hooks}
    if any(hooks.get(chain.name) != chain.hook for chain in Ruleset(desired).hooks):
        return False
    held = {part.name: part for part in actual.parts}  # sets and maps share their names
    both = ((held[part.name], part) for part in desired.parts if part.name in held)
    return all(old is new or (id_of(old) == id_of(new) and are_alike(old, new)) for old, new in both)


def _stage(new: tuple[Part, ...]) -> list[Change]:
    """Add what is new, each before what refers to it: chains without rules, and these at last."""
    chains = [part for part in new if isinstance(part, Chain) and part.hook is None]
    return [
        *(add(part) for part in new if isinstance(part, Counter)),
        *(add(Chain(chain.name)) for chain in chains),
        *(add(replace(part, notes=())) for part in new if isinstance(part, Set | VerdictMap)),
        *(add(ChainRule(chain.name, rule)) for chain in chains for rule in chain.rules),
    ]


def _commit(differs: Difference) -> list[Change]:
    """Change what has a fixed name: the rules of base chains.

    Other chains are named by their content, and differ under the same name only where somebody tampered with
    them; sets and maps are put beside then.
    """
    chains = [new for _, new in differs.changed if isinstance(new, Chain)]
    hooks = [part for part in differs.new if isinstance(part, Chain) and part.hook is not None]
    return [
        *(flush("chain", chain.name) for chain in chains),
        *(add(Chain(chain.name, hook=chain.hook)) for chain in hooks),
        *(add(ChainRule(chain.name, rule)) for chain in (*chains, *hooks) for rule in chain.rules),
    ]


#: What refers is removed before what it refers to.
_LAST_TO_FIRST = ("chain", "map", "set", "counter")


def _sweep(gone: tuple[Part, ...]) -> tuple[list[Change], list[Change]]:
    """Remove what is not wanted: first empty what refers, then remove what was referred to.

    Kernels before 6.2 hold a chain a moment longer than the last map element that led to it, so these are two
    transactions. Join them when 6.2 is the floor.
    """
    names = sorted(map(id_of, gone), key=lambda part: _LAST_TO_FIRST.index(part.kind))
    filled = {id_of(part) for part in gone if _refers(part)}
    return [flush(*part) for part in names if part in filled], [delete(*part) for part in names]


def _refers(part: Part) -> bool:
    """Whether it may hold others: rules or elements of a map do."""
    return bool(part.rules if isinstance(part, Chain) else isinstance(part, VerdictMap) and part.elements)


def _leaves(actual: Table, brought: Table) -> Table:
    """What the kernel holds once a plan is committed, and not swept yet."""
    beside = brought.bridge
    if beside is not None and actual.bridge is not None and _alike(actual.bridge, beside):
        beside = _leaves(actual.bridge, beside)
    return replace(with_others(brought, actual), bridge=beside)


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
    for kind in ("counter", "set", "map", "chain"):
        of_kind = [{k: p for k, p in Ruleset(table).items() if k.kind == kind} for table in (actual, wanted)]
        found.extend(_of_kind(*of_kind))
    return tuple(found)


def _of_kind(actual: Mapping[PartId, Part], wanted: Mapping[PartId, Part]) -> Iterator[str]:
    """The sentences about parts of one kind."""
    differs = compare(actual, wanted)
    yield from (f"{kind} {name} is gone" for kind, name in map(id_of, differs.new))
    yield from (f"{kind} {name} is not ours" for kind, name in map(id_of, differs.gone))
    for old, new in differs.changed:
        kind, name = id_of(new)
        yield f"{kind} {name} was changed{_foreign_rule(old)}"


def _foreign_rule(part: Part) -> str:
    rules = part.rules if isinstance(part, Chain) else ()
    foreign = [rule.comment for rule in rules if rule.comment.startswith(FOREIGN_RULE)]
    return f": {foreign[0]}" if foreign else ""
