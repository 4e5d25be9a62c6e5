"""Tables as nodes have them, with or without one beside in family bridge, and what others make of these."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.nft.ast import Accept, Chain, ChainName, Hook, Rule, Set, Table
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.options import Options
from tests.strategies.attachments import linked
from tests.strategies.snapshots import snapshots

OPTIONS = st.builds(
    Options,
    pod_interfaces=st.sampled_from([(), ("veth*",), ("cali*", "eth1")]),
    node_egress=st.sampled_from(["enforce", "exempt"]),
    hairpin=st.sampled_from(["allow", "evaluate"]),
    deny=st.sampled_from(["drop", "reject"]),
)
TABLES = st.builds(
    lambda snapshot, options: compile_snapshot(snapshot, options).table,
    st.one_of(snapshots(), snapshots().flatmap(linked)),
    OPTIONS,
)
_FOREIGN_CHAIN = Chain(ChainName("foreign"), (Rule(Accept()),), Hook("output", 7))
_FOREIGN_SET = Set(SetName("foreign"), KeyType.ETHER, (1, 2))


@st.composite
def damaged(draw: DrawFn, table: Table) -> Table:
    """The same table, with what somebody may have made of the one beside."""
    beside = table.bridge
    empty = Table(table.name, family="bridge")
    foreign = replace(empty, chains=(_FOREIGN_CHAIN,), sets=(_FOREIGN_SET,))
    if beside is None:
        return replace(table, bridge=draw(st.sampled_from([None, empty, foreign])))
    kind = draw(st.sampled_from(["whole", "gone", "empty", "foreign", "beside", "half", "less", "open"]))
    changed: dict[str, Table | None] = {
        "whole": beside,
        "gone": None,
        "empty": empty,
        "foreign": foreign,
        "beside": replace(beside, chains=_sorted((*beside.chains, _FOREIGN_CHAIN))),
        "half": replace(beside, chains=tuple(c for c in beside.chains if c.name != "prerouting")),
        "less": replace(beside, sets=tuple(replace(s, elements=s.elements[1:]) for s in beside.sets)),
        "open": replace(beside, chains=tuple(replace(c, rules=()) for c in beside.chains)),
    }
    return replace(table, bridge=changed[kind])


def _sorted(chains: tuple[Chain, ...]) -> tuple[Chain, ...]:
    return tuple(sorted(chains, key=lambda chain: chain.name))
