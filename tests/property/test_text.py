"""Text: what is printed is read back as the same value, notes included."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.attachments import Attachments
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Snapshot
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.commands import Change, WholeTable, add, print_changes
from policyd_compiler.nft.parser import parse_changes, parse_replace, parse_script, parse_table
from policyd_compiler.nft.printer import print_replace, print_table
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from policyd_compiler.plan import plan
from tests.applier.commands import FOUNDATION, changes
from tests.oracle import Manifest
from tests.routes import compile_attached, compile_world
from tests.strategies.attachments import attachments, linked
from tests.strategies.snapshots import snapshots
from tests.strategies.worlds import worlds

options = st.builds(
    Options,
    pod_interfaces=st.sampled_from([(), ("veth*",), ("cali*", "eth1")]),
    node_egress=st.sampled_from(["enforce", "exempt"]),
    hairpin=st.sampled_from(["allow", "evaluate"]),
    deny=st.sampled_from(["drop", "reject"]),
)
nodes = st.sampled_from(["n1", "n2", "n3"])


def hold(table: Table) -> None:
    assert parse_replace(print_replace(table)) == table
    without_notes = replace(table, notes=(), bridge=None)
    assert parse_table(print_table(table)) == without_notes
    if table.bridge is not None:
        assert parse_table(print_table(table.bridge)) == table.bridge


@given(worlds(), nodes, options)
def test_tables_of_worlds_are_read_back(world: list[Manifest], node: str, how: Options) -> None:
    hold(stamp(compile_world(world, node, how).table, 7))


@given(worlds().flatmap(lambda w: st.tuples(st.just(w), attachments(w, "n1"))), options)
def test_tables_of_nodes_with_bridges_are_read_back(
    known: tuple[list[Manifest], Attachments], how: Options
) -> None:
    hold(stamp(compile_attached(known[0], "n1", known[1], how).table, 7))


@given(st.one_of(snapshots(), snapshots().flatmap(linked)), options)
def test_tables_of_all_tiers_are_read_back(snapshot: Snapshot, how: Options) -> None:
    hold(compile_snapshot(snapshot, how).table)


@given(st.lists(changes))
def test_changes_are_read_back(some: list[Change]) -> None:
    for script in (
        tuple(some),
        (*FOUNDATION, *some, add(WholeTable("a comment")), Change("delete", WholeTable())),
    ):
        assert parse_changes(print_changes("t", script)) == script


@given(worlds(), worlds(), nodes, options)
def test_plans_are_read_back(before: list[Manifest], after: list[Manifest], node: str, how: Options) -> None:
    """The steps from any table to any other are commands that print as the same text again."""
    old, new = (compile_world(world, node, how).table for world in (before, after))
    for step in plan(old, new).steps:
        assert print_changes(new.name, parse_changes(step.script)) == step.script


@given(st.lists(snapshots().flatmap(linked), min_size=2, max_size=2), options)
def test_plans_for_both_families_are_read_back(pair: list[Snapshot], how: Options) -> None:
    old, new = (compile_snapshot(snapshot, how).table for snapshot in pair)
    for step in plan(old, new).steps:
        statements = parse_script(step.script)
        assert [s.change for s in statements if s.family == "inet"] == list(step.changes)
        assert [s.change for s in statements if s.family == "bridge"] == list(step.bridge)
