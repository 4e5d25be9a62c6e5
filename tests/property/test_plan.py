"""Plans arrive, change meaning in one transaction only, and never touch what a packet may be walking on.

In both families: pods on bridges come and go, and with them the table beside.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.nft.ast import Chain, Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp, unstamp
from policyd_compiler.plan import differences, plan
from tests.fakes.fake_nft import FakeNft
from tests.property.holding import held, held_is
from tests.strategies.tables import TABLES, damaged

BASE = {"inet": {"forward", "input", "output"}, "bridge": {"prerouting", "forward"}}


@given(st.lists(TABLES, min_size=1, max_size=4))
def test_plans_arrive(states: list[Table]) -> None:
    """From any table to any other: after the steps the kernel holds what was wanted, and nothing else."""
    nft = FakeNft()
    actual: Table | None = None
    for number, state in enumerate(states, start=1):
        desired = stamp(state, number)
        planned = plan(actual, desired)
        for step in planned.steps:
            if step.kind == "sweep":
                assert held_is(nft, planned.leaves)
                break
            asyncio.run(nft.run(step.script))
        for step in planned.steps:
            if step.kind == "sweep":
                asyncio.run(nft.run(step.script))
        assert held_is(nft, planned.brings)
        actual = planned.brings
    if actual is not None:
        assert held_is(nft, settled(nft, actual, stamp(states[-1], len(states))))


def settled(nft: FakeNft, found: Table, desired: Table) -> Table:
    """One more plan leads from other names to the plain ones; gives what is in force then."""
    planned = plan(found, desired)
    for step in planned.steps:
        asyncio.run(nft.run(step.script))
    assert planned.brings == desired
    return desired


@given(TABLES, TABLES, st.data())
def test_plans_arrive_from_what_others_left(old: Table, new: Table, data: st.DataObject) -> None:
    """A bridge table that is gone, somebody else's, or half of what it was; all that differs is said."""
    found = data.draw(damaged(old))
    nft = FakeNft()
    asyncio.run(nft.run(print_replace(found)))
    assert differences(found, old) == () or found.bridge != old.bridge
    assert (differences(found, old) == ()) == (found == old)
    planned = plan(found, new)
    for step in planned.steps:
        asyncio.run(nft.run(step.script))
    assert held_is(nft, planned.brings)
    assert held_is(nft, settled(nft, planned.brings, new))


def names(table: Table | None, family: str = "inet") -> set[tuple[str, str]]:
    """What the sets, maps and chains of both tables are called, with their families."""
    if table is None:
        return set()
    own = {*(p.name for p in table.sets), *(p.name for p in table.maps), *(c.name for c in table.chains)}
    return {(family, name) for name in own} | names(table.bridge, "bridge")


def named(script: str) -> set[tuple[str, str]]:
    """What a script names, with its family; a whole table has no name of its own."""
    lines = [line.split() for line in script.splitlines() if line[:1] not in ("\t", "}")]
    return {(line[2], line[4] if len(line) > 4 else "") for line in lines}


@given(TABLES, TABLES)
def test_only_the_commit_touches_what_is_in_use(old: Table, new: Table) -> None:
    """Staging adds under new names, the commit gives base chains other rules, sweeping removes the rest."""
    used = names(old)
    comes, goes = old.bridge is None, new.bridge is None
    planned = plan(old, stamp(new, 2))
    for step in planned.steps:
        assert step.kind != "replace", "two tables of ours never need a replacement"
        found = named(step.script)
        match step.kind:
            case "stage":
                assert not found & used
                assert (("bridge", "") in found) == (comes and not goes)
            case "commit":
                assert ("inet", "forward") in found
                assert found <= {
                    *(("inet", name) for name in BASE["inet"]),
                    *(("bridge", name) for name in ("", *BASE["bridge"])),
                }
                assert (("bridge", "") in found) == (goes and not comes)
            case "sweep":
                assert not found & names(planned.brings)
                assert ("bridge", "") not in found
            case _:
                raise AssertionError(step.kind)


def base_chains(table: Table | None) -> list[tuple[str, Chain]]:
    """What packets meet first, in both families."""
    if table is None:
        return []
    found = [(table.family, replace(chain, notes=())) for chain in table.chains if chain.hook is not None]
    return [*found, *base_chains(table.bridge)]


@given(TABLES, TABLES)
def test_both_families_change_in_one_transaction(old: Table, new: Table) -> None:
    """A table beside comes, changes or goes in the commit: before it all is as it was, behind it as it is."""
    planned = plan(old, stamp(new, 2))
    nft = FakeNft()
    asyncio.run(nft.run(print_replace(old)))
    assert [step.kind for step in planned.steps].count("commit") == 1
    for step in planned.steps:
        asyncio.run(nft.run(step.script))
        met = base_chains(old if step.kind == "stage" else planned.brings)
        assert base_chains(held(nft)) == met


@settings(max_examples=50)
@given(TABLES)
def test_the_same_table_needs_no_step(table: Table) -> None:
    assert plan(table, table).steps == ()


@given(TABLES, TABLES, st.integers(1, 1000))
def test_a_generation_is_counted_only_with_what_it_counts(old: Table, new: Table, number: int) -> None:
    """A plan to the next one is that to the ruleset which bears its number; leftovers alone are no other."""
    held = stamp(old, number)
    swapped = plan(held, new, number + 1)
    if plan(held, stamp(new, number)).is_swap:
        assert swapped == plan(held, stamp(new, number + 1))
    else:
        assert swapped == plan(held, stamp(new, number))
    assert unstamp(swapped.brings)[1] == number + swapped.is_swap
    left = plan(held, plan(held, new, number + 1).brings).leaves
    again = plan(left, swapped.brings, number + 2)
    assert {step.kind for step in again.steps} <= {"sweep"}


@settings(max_examples=50)
@given(TABLES, st.integers(1, 10**12))
def test_a_generation_is_read_back(table: Table, generation: int) -> None:
    assert unstamp(stamp(table, generation)) == (table, generation)
    assert unstamp(table) == (table, 0)


@settings(max_examples=50)
@given(TABLES)
def test_the_first_apply_is_what_compile_prints(table: Table) -> None:
    (step,) = plan(None, stamp(table, 1)).steps
    assert step.script == print_replace(stamp(table, 1))
