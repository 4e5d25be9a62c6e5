"""Plans arrive, change meaning in one transaction only, and never touch what a packet may be walking on."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.applier.fake import FakeNft
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp, unstamp
from policyd_compiler.options import Options
from policyd_compiler.plan import committed, plan
from tests.property.holding import held_is
from tests.strategies.snapshots import snapshots

options = st.builds(
    Options,
    pod_interfaces=st.sampled_from([(), ("veth*",), ("cali*", "eth1")]),
    node_egress=st.sampled_from(["enforce", "exempt"]),
    hairpin=st.sampled_from(["allow", "evaluate"]),
    deny=st.sampled_from(["drop", "reject"]),
)
tables = st.builds(lambda s, o: compile_snapshot(s, o).table, snapshots(), options)


@given(st.lists(tables, min_size=1, max_size=4))
def test_plans_arrive(states: list[Table]) -> None:
    """From any table to any other: after the steps the kernel holds what was wanted, and nothing else."""
    nft = FakeNft()
    actual: Table | None = None
    for number, state in enumerate(states, start=1):
        desired = stamp(state, number)
        steps = plan(actual, desired).steps
        for step in steps:
            if step.kind == "sweep":
                assert held_is(nft, committed(actual, desired))
                break
            asyncio.run(nft.run(step.script))
        for step in steps:
            if step.kind == "sweep":
                asyncio.run(nft.run(step.script))
        assert held_is(nft, desired)
        actual = desired


def names(table: Table) -> set[str]:
    """What the table's sets, maps and chains are called."""
    return {s.name for s in table.sets} | {m.name for m in table.maps} | {c.name for c in table.chains}


@given(tables, tables)
def test_only_the_commit_touches_what_is_in_use(old: Table, new: Table) -> None:
    """Staging adds under new names, the commit gives base chains other rules, sweeping removes the rest."""
    base = {"forward", "input", "output"}
    used = names(old)
    for step in plan(old, stamp(new, 2)).steps:
        assert step.kind != "replace", "two tables of ours never need a replacement"
        named = {line.split()[4] for line in step.script.splitlines() if line[:1] not in ("\t", "}")}
        match step.kind:
            case "stage":
                assert not named & used
            case "commit":
                assert named == {"forward"} | (named & base)
            case "sweep":
                assert not named & names(new)


@settings(max_examples=50)
@given(tables)
def test_the_same_table_needs_no_step(table: Table) -> None:
    assert plan(table, table).steps == ()


@settings(max_examples=50)
@given(tables, st.integers(1, 10**12))
def test_a_generation_is_read_back(table: Table, generation: int) -> None:
    assert unstamp(stamp(table, generation)) == (table, generation)
    assert unstamp(table) == (table, 0)


@settings(max_examples=50)
@given(tables)
def test_the_first_apply_is_what_compile_prints(table: Table) -> None:
    (step,) = plan(None, stamp(table, 1)).steps
    assert step.script == print_replace(stamp(table, 1))
