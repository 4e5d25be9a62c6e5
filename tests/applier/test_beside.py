"""The table in family bridge, through every backend: it comes back as it was sent, and plans arrive."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft, delete_tables
from policyd.applier.listing import list_tables
from policyd.cluster.attachments import Attachments
from policyd_compiler.nft.ast import Chain, ChainName, Hook, Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from policyd_compiler.plan import plan
from tests.oracle import Manifest
from tests.property.holding import bare
from tests.routes import compile_attached
from tests.strategies.attachments import attachments
from tests.strategies.tables import OPTIONS, TABLES, damaged
from tests.strategies.worlds import worlds

NAME = "policyd"
#: Three backends do each of these, one by starting nft for every transaction.
SLOW = settings(
    max_examples=max(20, settings().max_examples // 3),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


async def holds(nft: Nft, wanted: Table) -> bool:
    """Whether that is all there is, in both families."""
    held = await list_tables(nft, NAME)
    return held.table is not None and bare(held.table) == bare(wanted) and not held.foreign


@SLOW
@given(known=worlds().flatmap(lambda w: st.tuples(st.just(w), attachments(w, "n1"))), options=OPTIONS)
async def test_tables_of_nodes_with_bridges_come_back(
    nft: Nft, known: tuple[list[Manifest], Attachments], options: Options
) -> None:
    """Every field of a frame, every kind of key: what the kernel lists is what was sent."""
    await delete_tables(nft, NAME)
    table = compile_attached(known[0], "n1", known[1], options).table
    await nft.run(print_replace(table))
    assert await holds(nft, table)


@SLOW
@given(states=st.lists(TABLES, min_size=2, max_size=4))
async def test_plans_arrive_in_both_families(nft: Nft, states: list[Table]) -> None:
    """From any tables to any others, each step of which the kernel takes."""
    await delete_tables(nft, NAME)
    actual: Table | None = None
    for number, state in enumerate(states, start=1):
        desired = stamp(state, number)
        planned = plan(actual, desired)
        for step in planned.steps:
            await nft.run(step.script)
            if step.kind in ("commit", "replace"):
                assert await holds(nft, planned.leaves)
        assert await holds(nft, planned.brings)
        actual = planned.brings


@SLOW
@given(old=TABLES, new=TABLES, data=st.data())
async def test_the_applier_repairs_what_others_left_alongside(
    nft: Nft, old: Table, new: Table, data: st.DataObject
) -> None:
    """Gone, somebody else's, half, or without rules: another agent that starts brings it into force."""
    await delete_tables(nft, NAME)
    found = data.draw(damaged(stamp(old, 3)))
    await nft.run(print_replace(found))
    applier = Applier(nft, NAME)
    await applier.apply(new)
    await applier.sweep()
    if applier.lags:  # what others changed under our names stands beside, by another name
        await applier.apply(new)
        await applier.sweep()
    assert await holds(nft, stamp(new, applier.generation))
    assert await applier.verify() == ()


@SLOW
@given(old=TABLES, new=TABLES, data=st.data())
async def test_a_replacement_takes_away_what_nobody_wants(
    nft: Nft, old: Table, new: Table, data: st.DataObject
) -> None:
    """Where family inet cannot be brought there in steps, family bridge goes along."""
    await delete_tables(nft, NAME)
    odd = Chain(ChainName("forward"), (), Hook("forward", 5))
    found = Table(NAME, chains=(odd,), bridge=data.draw(damaged(old)).bridge)
    await nft.run(print_replace(found))
    wanted = data.draw(st.sampled_from([new, replace(new, bridge=None)]))
    [step] = plan(found, wanted).steps
    assert step.kind == "replace"
    await nft.run(step.script)
    assert await holds(nft, wanted)


@pytest.mark.parametrize("nft", ["program", "library"], indirect=True)
@pytest.mark.kernel
@SLOW
@given(old=TABLES, new=TABLES)
async def test_what_is_refused_changes_neither_family(nft: Nft, old: Table, new: Table) -> None:
    """One transaction: a mistake in the last line takes back all before it, beside and here."""
    await delete_tables(nft, NAME)
    await nft.run(print_replace(old))
    for step in plan(old, stamp(new, 2)).steps[:1]:
        for family in ("inet", "bridge"):
            with pytest.raises(Exception, match="No such file or directory"):
                await nft.run(f"{step.script}add rule {family} {NAME} none drop\n")
    assert await holds(nft, old)
