"""Forwarded packets with an address of the node as their source (NP-145): what a proof makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.result import Proof
from policyd_compiler.nft.ast import Chain, Rule, Table
from policyd_compiler.nft.expressions import Field, Match, Prefix
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import ingress, namespace, pod
from tests.routes import state_of

NODE, POD = "n1", 0x0A00_0001
OPTIONS = Options()
#: One pod under a policy that closes nothing, one under none.
STATE = state_of(
    [namespace("x"), pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.2"), ingress("x", "a", {}, name="open")]
)
TABLE = build(STATE, NODE, OPTIONS).table


def proof_of(table: Table) -> Proof:
    return prove(STATE, NODE, OPTIONS, table)


def changed(table: Table, change: Callable[[Rule], Rule | None]) -> Table:
    """Its `forward` chain with each rule that refuses forged senders changed, or left out."""

    def rules(chain: Chain) -> tuple[Rule, ...]:
        new = (change(rule) if _is_about_forged(rule) else rule for rule in chain.rules)
        return tuple(rule for rule in new if rule is not None)

    chains = (replace(c, rules=rules(c)) if c.name == "forward" else c for c in table.chains)
    found = replace(table, chains=tuple(chains))
    assert found != table
    return found


def _is_about_forged(rule: Rule) -> bool:
    return any(match.field is Field.FIB_SADDR_TYPE for match in rule.matches)


def unmapped(table: Table) -> Table:
    """It does not ask what policies say of the pod that is open."""
    maps = (
        replace(part, elements=tuple((key, verdict) for key, verdict in part.elements if key != POD))
        for part in table.maps
    )
    found = replace(table, maps=tuple(maps))
    assert found != table
    return found


def test_it_is_proved_as_it_is() -> None:
    assert proof_of(TABLE).proved


def test_who_is_open_may_be_left_out_where_forged_senders_are_refused_after_that() -> None:
    """Such a packet does not come from a pod: a pod's address is never the node's own."""
    proof = proof_of(unmapped(TABLE))
    assert (proof.differences, proof.unprovable) == ((), ())


def test_forged_senders_are_refused_to_whoever_is_under_a_policy() -> None:
    """Also if it closes nothing, and the ruleset does not ask what it says."""
    [shown] = [each for each in proof_of(sparing()).differences if each.packet.daddr == POD]
    assert (shown.packet.fib_local, shown.policies, shown.ruleset) == (True, "drop", "allow")
    assert Simulator(TABLE).evaluate(shown.packet).verdict == "drop"


def test_no_packet_is_shown_that_has_a_pods_address_and_the_nodes() -> None:
    for wrong in (changed(TABLE, lambda rule: None), sparing()):
        proof = proof_of(wrong)
        assert proof.differences
        for shown in proof.differences:
            assert shown.packet.fib_local
            assert shown.sender == "", shown


def sparing() -> Table:
    """It asks nothing of the pod that is open, and refuses forged senders to all but that."""
    spared = Match(Field.IP_DADDR, Prefix(POD, 32), negated=True)
    return changed(unmapped(TABLE), lambda rule: replace(rule, matches=(*rule.matches, spared)))
