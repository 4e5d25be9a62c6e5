"""The proof is right: every ruleset of ours is proved, a damaged one refused with a packet that shows it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.cluster.state import ClusterState
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.result import Proof
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.expressions import Numbers
from policyd_compiler.nft.packet import HookName
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.sim import Packet, Simulator
from tests.routes import not_proved
from tests.strategies.damage import damaged
from tests.strategies.scenes import any_scene

#: Enough that what no proof notices is mostly met by one of them.
PACKETS = 1500
EXAMPLES = max(20, settings().max_examples // 3)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
def test_every_ruleset_is_proved_as_it_is_printed(seed: int) -> None:
    """On bridges, routed, or with links that nobody knows; whatever the settings."""
    state, node, options = any_scene(random.Random(seed))
    built = build(state, node, options)
    printed = replace(built, table=parse_replace(print_replace(built.table)))
    assert not not_proved(state, node, printed, options)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 1 << 32))
def test_a_damaged_ruleset_is_refused_with_a_packet_that_shows_it(seed: int) -> None:
    """What is proved does the same with many packets; what is shown is what both rulesets do."""
    rng = random.Random(seed)
    state, node, options = any_scene(rng)
    table = build(state, node, options).table
    wrong = damaged(rng, table)
    proof = prove(state, node, options, wrong)
    right, broken = Simulator(table), Simulator(wrong)
    for difference in proof.differences:
        verdicts = {"accept": "allow", "drop": "drop"}
        assert verdicts[broken.evaluate(difference.packet).verdict] == difference.ruleset
        assert verdicts[right.evaluate(difference.packet).verdict] == difference.policies
        assert difference.ruleset != difference.policies
    if proof.proved:
        for packet in some_packets(rng, table, pods_of(state)):
            assert broken.evaluate(packet).verdict == right.evaluate(packet).verdict, packet


def test_most_of_what_changes_a_packets_fate_is_shown() -> None:
    """Else everything would be refused, or nothing, and the law above would say little."""
    rng = random.Random(7)
    proofs: list[Proof] = []
    for _ in range(60):
        state, node, options = any_scene(rng)
        proofs.append(prove(state, node, options, damaged(rng, build(state, node, options).table)))
    shown = sum(bool(proof.differences) for proof in proofs)
    assert shown > 25
    assert sum(bool(proof.unprovable) for proof in proofs) < shown / 4
    assert sum(proof.proved for proof in proofs) > 5


def pods_of(state: ClusterState) -> frozenset[int | None]:
    """The addresses of pods: none of them is also one of the node."""
    return frozenset(address for pod in state.pods.values() for address in (pod.v4, pod.v6))


def some_packets(rng: random.Random, table: Table, pods: frozenset[int | None]) -> Iterator[Packet]:
    """Packets at the edges of what a ruleset tells apart."""
    addresses, ports = _edges(table)
    for _ in range(PACKETS):
        family = rng.choice((4, 6))
        protocol = rng.choice(("tcp", "tcp", "udp", "sctp", "icmp" if family == 4 else "icmpv6", 2, 4, 47))
        hook: HookName = rng.choice(("forward", "forward", "input", "output"))
        source, target = rng.choice(addresses[family]), rng.choice(addresses[family])
        has_ports = protocol in ("tcp", "udp", "sctp")
        links = ("", "veth1", "cni0", "cali2", "eth0")
        yield Packet(
            4 if family == 4 else 6,
            source,
            source if rng.random() < 0.1 else target,
            protocol,
            rng.choice(ports) if has_ports else None,
            hook=hook,
            iifname="" if hook == "output" else rng.choice(links[1:]),
            oifname="" if hook == "input" else rng.choice(links[1:]),
            ct_state=rng.choice(("new", "new", "new", "invalid", "related", "untracked")),
            dnat=rng.random() < 0.2,
            fib_local=source not in pods and rng.random() < 0.1,
            tcp_syn=rng.random() < 0.6,
            icmp_type=rng.choice((8, 128, 130, 133, 134, 135, 143)) if "icmp" in str(protocol) else None,
            sport=rng.choice(ports) if has_ports else None,
            hop_limit=rng.choice((64, 255)),
            fib_daddr=rng.choice(("unicast", "broadcast", "local")),
        )


def _edges(table: Table) -> tuple[dict[int, list[int]], list[int]]:
    found: dict[int, set[int]] = {4: {0, 0x0808_0808, 0xE000_0001}, 6: {1, 1 << 125, (0xFF02 << 112) + 1}}
    keys = [key for part in table.sets for key in part.elements]
    keys += [key for part in table.maps for key, _ in part.elements]
    for key in keys:
        for number in key if isinstance(key, tuple) else (key,):
            if isinstance(number, int):
                found[6 if number >> 32 else 4].update((number, max(0, number - 1)))
    rights = (match.right for chain in table.chains for rule in chain.rules for match in rule.matches)
    bounds = [
        bound for right in rights if isinstance(right, Numbers) for both in right.intervals for bound in both
    ]
    ports = {0, 80, 65535, *bounds, *(max(0, bound - 1) for bound in bounds)}
    return {family: sorted(of) for family, of in found.items()}, sorted(ports)
