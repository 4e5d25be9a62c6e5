"""Large sets of ports that share what they hold are still the sets that they were."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Action, Endpoint, Host, Isolation, Origin, Peers, Rule, Snapshot, Stage, Tier
from policyd_compiler.lower.classes import Classes
from policyd_compiler.lower.port_chains import LARGE, choose_bases, count_runs, difference
from policyd_compiler.lower.port_masks import spread
from policyd_compiler.nft.ast import Goto, Table
from policyd_compiler.nft.expressions import Numbers
from policyd_compiler.options import Options
from policyd_compiler.ports import PortSet
from policyd_compiler.sim import Packet, Simulator
from tests.strategies.snapshots import V4, allows

BY = (Origin("NetworkPolicy", "ns", "p", "ingress[0]"),)
#: None beside another, so that each is a range of its own.
PORTS = tuple(range(101, 101 + 4 * LARGE, 2))
SPAN = 8

some_ports = st.sets(st.sampled_from(PORTS)).map(lambda found: tuple((port, port) for port in sorted(found)))
port_sets = st.builds(PortSet, tcp=some_ports, udp=some_ports, other=st.booleans())
places = st.tuples(st.integers(0, SPAN - 1), st.integers(0, SPAN - 1)).map(sorted)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A pod with many ports open to many, and rules that add some or, in another tier, take some."""
    many = PortSet(tcp=tuple((port, port) for port in PORTS))
    actions = st.sampled_from(list(Action))
    tiers = draw(st.sampled_from([(Tier.NETWORK_POLICY,), (Tier.ADMIN, Tier.NETWORK_POLICY)]))
    stages = []
    for tier in tiers:
        admin = tier is Tier.ADMIN
        rules = [
            Rule(draw(actions) if admin else Action.ACCEPT, Peers(v4=((V4 + low, V4 + high),)), ports, BY)
            for (low, high), ports in draw(st.lists(st.tuples(places, port_sets), max_size=5))
        ]
        if not admin:
            everywhere = Peers(v4=((V4, V4 + SPAN),))
            rules.append(Rule(Action.ACCEPT, everywhere, many, BY))
        stages.append(Stage(tier, tuple(rules), Action.PASS if admin else Action.DENY))
    host = Host(V4 + 100, None)
    return Snapshot("n1", (host,), (Endpoint("ns/p", host, Isolation("ingress", BY, tuple(stages)), None),))


def differences(table: Table) -> int:
    """How many chains are written as a difference from another."""
    return sum(
        chain.name.startswith("ports-") and isinstance(chain.rules[-1].action, Goto) for chain in table.chains
    )


@given(
    snapshot=snapshots(),
    deny=st.sampled_from(["drop", "reject"]),
    packets=st.lists(
        st.tuples(
            st.integers(-1, SPAN + 1), st.sampled_from(["tcp", "udp", "icmp"]), st.sampled_from([*PORTS, 100])
        ),
        min_size=5,
        max_size=20,
    ),
)
def test_a_difference_lets_the_same_ports_through(
    snapshot: Snapshot, deny: str, packets: list[tuple[int, str, int]]
) -> None:
    (endpoint,) = snapshot.endpoints
    simulator = Simulator(compile_snapshot(snapshot, Options(deny=deny)).table)  # type: ignore[arg-type]
    for offset, protocol, port in packets:
        trace = simulator.evaluate(Packet(4, V4 + offset, V4 + 100, protocol, port))
        expected = allows(endpoint.ingress, snapshot, 4, V4 + offset, protocol, port)
        assert (trace.verdict == "accept") == expected, "\n".join(trace.steps)


def overlapping(count: int) -> Snapshot:
    """Rules for all addresses but one, each with a port of its own."""
    rules = tuple(
        Rule(
            Action.ACCEPT,
            Peers(v4=((V4, V4 + 2 * n), (V4 + 2 * n + 2, V4 + 4 * count))),
            PortSet(tcp=((2 * n + 1, 2 * n + 1),)),
            BY,
        )
        for n in range(count)
    )
    host = Host(V4 - 1, None)
    isolation = Isolation("ingress", BY, (Stage(Tier.NETWORK_POLICY, rules, Action.DENY),))
    return Snapshot("n1", (host,), (Endpoint("ns/p", host, isolation, None),))


def ports_written(table: Table) -> int:
    """The ranges of ports in all port chains."""
    return sum(
        len(match.right.intervals)
        for chain in table.chains
        if chain.name.startswith("ports-")
        for rule in chain.rules
        for match in rule.matches
        if isinstance(match.right, Numbers)
    )


def test_overlapping_rules_are_written_in_the_length_of_the_rules() -> None:
    """Not of their square: each of these port sets is all ports but one."""
    for count in (50, 200):
        table = compile_snapshot(overlapping(count), Options()).table
        assert ports_written(table) <= 4 * count
        assert differences(table) >= count - 2


@given(st.lists(st.integers(0, (1 << 80) - 1), max_size=12))
@example([int("01" * 40, 2) ^ 1 << bit for bit in range(12)])
def test_a_difference_is_from_a_set_that_is_written_out_and_shorter(sets: list[int]) -> None:
    """A packet meets one chain more, never two."""
    classes = Classes((), tuple(((n, n), mask) for n, mask in enumerate(sets)), 0)
    bases = choose_bases(classes)
    for (_, mask), base in bases.items():
        assert spread(base) not in bases
        assert base in sets
        assert 2 * difference(mask, base) < count_runs(mask)
        assert count_runs(mask) >= LARGE
