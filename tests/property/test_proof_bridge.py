"""What is proved of `table bridge` is right: ours is proved, a damaged one refused, with a frame."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.pipeline import Build, build
from policyd.proof.cluster import Cluster
from policyd.proof.ports import Ports
from policyd.proof.prove import prove
from policyd.proof.result import Proof
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Accept, Rule, Table
from policyd_compiler.nft.packet import Arp, Packet
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace, print_rule
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.bridge import ALL4, ALL6, LINK6, MDNS4, MDNS6
from tests.cases.form import ingress, namespace, pod, pods
from tests.routes import not_proved, state_of
from tests.strategies.attachments import FOREIGN_PORT, UNKNOWN_PORT, UPLINK, attach_randomly
from tests.strategies.chooser import RandomChooser
from tests.strategies.clusters import Shape
from tests.strategies.damage import damaged
from tests.strategies.worlds import random_world

FRAMES = 1500
EXAMPLES = max(20, settings().max_examples // 3)
NODE = "n1"


def bridged(rng: random.Random) -> tuple[ClusterState, Options, Build]:
    """A node with pods on a bridge, some of which may be known by address alone; with tiers or without."""
    while True:
        world = random_world(rng, rng.choice((Shape(), Shape(tiers=3))))
        state = state_of(world, live=rng.random() < 0.5)
        state = replace(state, attachments=attach_randomly(RandomChooser(rng), world, NODE))
        options = Options(pod_interfaces=rng.choice(((), ("cni0", "veth*"), ("cali*", "vethx"))))
        built = build(state, NODE, options)
        if built.table.bridge is not None:
            return state, options, built


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
@example(seed=578)  # a named port of a pod decides what is sent to all with its address
@example(seed=3276568223)  # a block and a selector together allow all
def test_every_table_of_a_bridge_is_proved_as_it_is_printed(seed: int) -> None:
    state, options, built = bridged(random.Random(seed))
    printed = replace(built, table=parse_replace(print_replace(built.table)))
    assert not not_proved(state, NODE, printed, options)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
@example(seed=578)
@example(seed=780802)  # of a port whose pod has ended nobody knows who sends
@example(seed=916014675)
def test_a_damaged_table_is_refused_with_a_frame_that_shows_it(seed: int) -> None:
    """What is proved does the same with many frames; what is shown is what both tables do."""
    rng = random.Random(seed)
    state, options, built = bridged(rng)
    right, wrong, proof = with_damage(rng, state, options, built)
    for difference in proof.differences:
        verdicts = {"accept": "allow", "drop": "drop"}
        assert difference.family == "bridge"
        assert verdicts[wrong.evaluate(difference.packet).verdict] == difference.ruleset
        assert verdicts[right.evaluate(difference.packet).verdict] == difference.policies
        assert str(difference)
    # From whom frames are that come by any other port is not known: where they go on, either may be right.
    bound = Ports(Cluster(state, NODE, frozenset()), options).bound
    known = {(family, port) for family, pairs in bound.items() for port, _ in pairs}
    if proof.proved:
        for frame in some_frames(rng, state, built):
            if frame.hook == "prerouting" or (frame.family, frame.iifname) in known:
                assert wrong.evaluate(frame).verdict == right.evaluate(frame).verdict, frame


def with_damage(
    rng: random.Random, state: ClusterState, options: Options, built: Build
) -> tuple[Simulator, Simulator, Proof]:
    """The table as it should be, the same with a mistake, and what is said of it."""
    assert built.table.bridge is not None
    wrong = damaged(rng, built.table.bridge)
    closed = (over.policy for over in built.over)
    proof = prove(state, NODE, options, replace(built.table, bridge=wrong), closed)
    return Simulator(built.table.bridge), Simulator(wrong), proof


def test_most_of_what_changes_a_frames_fate_is_shown() -> None:
    """Else everything would be refused, or nothing, and the law above would say little."""
    rng = random.Random(11)
    proofs = [with_damage(rng, *bridged(rng))[2] for _ in range(40)]
    shown = sum(bool(proof.differences) for proof in proofs)
    assert shown > 20
    assert sum(bool(proof.unprovable) for proof in proofs) < shown / 4
    assert sum(proof.proved for proof in proofs) > 3


#: A rule of a table of a bridge that accepts instead, or is gone, and what the frame is that shows it.
MISTAKES = {
    "forged": ("goto from4-", "accept", "by veth1", "NP-162"),
    "tagged": ('drop comment "neither IPv4, IPv6 nor ARP: no policy could judge it"', "", "tagged", "NP-160"),
    "heard": ("oifname vmap @hears4", "accept", "out by veth1", "NP-161"),
    "arp": ("goto from-arp-", "accept", "ARP of ", "NP-162"),
    "router": ("icmpv6 type { 134, 137 } drop", "accept", "type 134", "NP-164"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_in_a_table_of_a_bridge_is_shown(name: str) -> None:
    """Two pods by their ports; the one may hear TCP 80 of the other."""
    rule, instead, shown, why = MISTAKES[name]
    state = state_of(
        [
            namespace("shop"),
            pod("shop/web", "10.244.1.10", "fd00::1:10"),
            pod("shop/db", "10.244.1.11", "fd00::1:11"),
            ingress("shop", "web", {"from": [pods(pod="db")], "ports": [{"port": 80}]}),
        ]
    )
    known = {
        "shop/web": Attachment("veth1", "cni0", 0x02 << 40 | 1),
        "shop/db": Attachment("veth2", "cni0", 0x02 << 40 | 2),
    }
    state = replace(state, attachments=Attachments(known, ("cni0",), ("veth1", "veth2"), ("eth1",)))
    built = build(state, NODE, Options())
    assert prove(state, NODE, Options(), built.table).proved
    wrong = with_mistake(built.table, rule, instead)
    proof = prove(state, NODE, Options(), wrong)
    texts = [str(difference) for difference in proof.differences]
    assert any(shown in text and why in text and "table bridge" in text for text in texts), texts


def with_mistake(table: Table, begins: str, instead: str) -> Table:
    """The same tables, but that the rules of the bridge's with this text are gone, or just accept."""
    assert table.bridge is not None
    chains = []
    for chain in table.bridge.chains:
        found = [(rule, begins in print_rule(rule)) for rule in chain.rules]
        rules = (
            Rule(Accept(), rule.matches) if meant else rule for rule, meant in found if instead or not meant
        )
        chains.append(replace(chain, rules=tuple(rules)))
    assert tuple(chains) != table.bridge.chains
    return replace(table, bridge=replace(table.bridge, chains=tuple(chains)))


def test_a_table_that_is_not_there_is_refused() -> None:
    state, options, built = bridged(random.Random(5))
    proof = prove(state, NODE, options, replace(built.table, bridge=None))
    assert {difference.family for difference in proof.differences} == {"bridge"}
    assert {difference.ruleset for difference in proof.differences} == {"allow"}
    other = Table(built.table.name, chains=(), family="bridge")
    assert not prove(state, NODE, options, replace(built.table, bridge=other)).proved


@pytest.mark.parametrize("there", [True, False])
def test_after_a_change_a_table_that_is_not_there_is_not_taken_for_proved(there: bool) -> None:
    """Nor is one that was not there before: nothing was compared then."""
    state, options, built = bridged(random.Random(5))
    given = Given(state, replace(built.table, bridge=None))
    other = Given(state, built.table) if there else given
    assert not is_still_proved(given, other, NODE, options)
    assert not is_still_proved(other, given, NODE, options)


def some_frames(rng: random.Random, state: ClusterState, built: Build) -> Iterator[Packet]:
    """Frames at the edges of what a table tells apart."""
    assert built.table.bridge is not None
    known = state.attachments
    ports = [a.interface for a in known.pods.values()] + [*known.ports, *known.others]
    ports += [UNKNOWN_PORT, UPLINK, FOREIGN_PORT, "lo"]
    macs = [0, 1, *(a.mac for a in known.pods.values() if a.mac is not None)]
    hosts = list(state.pods.values())
    ends = {
        4: [0, 1, 169 << 24 | 254 << 16 | 1, ALL4, MDNS4, *(p.v4 for p in hosts if p.v4 is not None)],
        6: [0, 1, LINK6 | 1, ALL6, MDNS6, *(p.v6 for p in hosts if p.v6 is not None)],
    }
    for _ in range(FRAMES):
        family = rng.choice((4, 6))
        source, target, mac = rng.choice(ends[family]), rng.choice(ends[family]), rng.choice(macs)
        network = rng.choice((None, None, None, None, 0x0806, 0x88CC)) if family == 4 else None
        is_arp = network == 0x0806
        yield Packet(
            4 if family == 4 else 6,
            source,
            target,
            rng.choice(("tcp", "udp", "udp", "sctp", 2, 47, "icmp" if family == 4 else "icmpv6")),
            rng.choice((53, 67, 80, 81, 8080, 9090, 65535)),
            hook=rng.choice(("prerouting", "forward")),
            iifname=rng.choice(ports),
            oifname=rng.choice(ports),
            icmp_type=rng.choice((8, 128, 130, 131, 133, 134, 135, 136, 137, 143)),
            hop_limit=rng.choice((64, 255)),
            target=rng.choice([0xFE << 120, *ends[6]]) if family == 6 else None,
            network=network,
            vlan=None if is_arp else rng.choice((None, None, None, 7)),
            ether_saddr=mac,
            pkttype=rng.choice(("host", "host", "broadcast", "multicast")),
            arp=Arp(source, target, 1, rng.choice(macs)) if is_arp else None,
        )
