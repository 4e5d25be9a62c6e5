"""Golden cases: the bytes of each ruleset, and what it does, as a person says it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.proof.prove import prove
from policyd_compiler.nft.packet import HookName
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.sim import Packet, Simulator
from tests.golden.golden import Golden, Row, cases
from tests.oracle import Oracle
from tests.routes import node_addresses, packet

CASES = cases()
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder.name)


def test_there_are_cases() -> None:
    assert len(CASES) >= 12


@each_case
def test_the_ruleset_is_the_one_that_was_reviewed(case: Golden) -> None:
    """`make golden` writes it again; the difference is what a reviewer reads."""
    assert case.expected.read_text() == case.script()


@each_case
def test_the_ruleset_does_what_the_verdicts_say(case: Golden) -> None:
    own = node_addresses(case.objects)
    simulators: dict[str, Simulator] = {}
    beside = case.table(case.node).bridge
    bridge = Simulator(beside) if beside is not None else None

    def passes(row: Row) -> bool:
        for node in row.probe.nodes or (case.node,):
            if node not in simulators:
                simulators[node] = Simulator(case.table(node))
            seen = packet(row.probe.connection, node, own)
            if seen is None:
                continue
            seen = replace(seen, iifname=row.iifname, oifname=row.oifname)
            if is_dropped_on_the_bridge(row, seen) or simulators[node].evaluate(seen).verdict == "drop":
                return False
        return True

    def is_dropped_on_the_bridge(row: Row, seen: Packet) -> bool:
        met: tuple[tuple[HookName, str], ...] = (("prerouting", row.by), ("forward", row.to))
        hooks = [hook for hook, port in met if port]
        ports = (replace(seen, hook=hook, iifname=row.by, oifname=row.to) for hook in hooks)
        return bridge is not None and any(bridge.evaluate(each).verdict == "drop" for each in ports)

    rows = list(case.rows())
    wrong = [f"line {row.line}: {row.probe.text}" for row in rows if passes(row) != row.probe.allowed]
    assert not wrong
    assert {row.probe.allowed for row in rows} == {True, False}


@each_case
def test_the_printed_ruleset_is_proved(case: Golden) -> None:
    table = parse_replace(case.expected.read_text())
    proof = prove(case.state(case.node), case.node, case.options, table)
    assert proof.proved, [*map(str, proof.differences), *proof.unprovable]
    assert proof.apart > 4


@each_case
def test_the_oracle_says_the_same(case: Golden) -> None:
    oracle = Oracle(
        case.objects,
        node_egress_exempt=case.options.node_egress == "exempt",
        evaluate_hairpin=case.options.hairpin == "evaluate",
    )
    judged = [row for row in case.rows() if not row.guard]
    wrong = [
        f"line {row.line}: {oracle.explain(row.probe.connection)}"
        for row in judged
        if oracle.verdict(row.probe.connection) != row.probe.allowed
    ]
    assert not wrong
    assert judged
