"""Whatever the hash of names does, no policy says what another says, and every swap arrives."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.ir import Snapshot
from policyd_compiler.lower.lower import lower
from policyd_compiler.names import Digest, Names, digest
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from policyd_compiler.plan import plan
from policyd_compiler.sim import Packet, Simulator
from tests.cases.form import block, namespace, pod, policy
from tests.fakes.fake_nft import FakeNft
from tests.property.holding import bare, held_is
from tests.routes import compile_world
from tests.strategies.snapshots import SPAN, V4, V6, allows, snapshots


def weak(content: bytes) -> str:
    """Two bits of a hash: most contents meet others."""
    return "abcd"[blake2b(content, digest_size=1).digest()[0] % 4]


def short(content: bytes) -> str:
    """The hash of earlier versions: 48 bits."""
    return blake2b(content, digest_size=6).hexdigest()


def lowered(snapshot: Snapshot, digest: Digest) -> Table:
    return lower(snapshot, Options(), Names(digest)).table


def test_a_published_collision_of_48_bits_stops_nothing() -> None:
    """One policy whose ingress and egress had one name for two sets; it ended every agent that met it."""
    blocks = (("10.1.145.2/32", "20.0.2.124/32"), ("10.1.166.116/32", "20.0.3.180/32"))
    inbound, outbound = ([block(cidr) for cidr in cidrs] for cidrs in blocks)
    world = [
        namespace("x"),
        pod("x/a", "10.244.1.1"),
        policy(
            "x",
            None,
            policyTypes=["Ingress", "Egress"],
            ingress=[{"from": inbound}],
            egress=[{"to": outbound}],
        ),
    ]
    snapshot = compile_world(world, "n1").snapshot
    for names, lengths in ((Names(), {len("ranges4-") + 32}), (Names(short), {8 + 12, 8 + 12 + 13})):
        sets = [
            part for part in lower(snapshot, Options(), names).table.sets if part.name.startswith("ranges4-")
        ]
        assert len({part.name for part in sets}) == len(sets) == 2
        assert {len(part.name) for part in sets} == lengths


@given(
    snapshot=snapshots(),
    family=st.sampled_from([4, 6]),
    ends=st.lists(st.tuples(st.integers(-1, SPAN), st.integers(-1, SPAN)), min_size=4, max_size=12),
    port=st.sampled_from([0, 79, 80, 81, 443, 450, 65535]),
)
def test_a_collision_changes_no_meaning(
    snapshot: Snapshot, family: int, ends: list[tuple[int, int]], port: int
) -> None:
    base = V4 if family == 4 else V6
    local = {e.host.address(family): e for e in snapshot.endpoints}
    simulator = Simulator(lowered(snapshot, weak))
    for source, destination in ((base + a, base + b) for a, b in ends):
        sender, receiver = local.get(source), local.get(destination)
        expected = allows(
            sender.egress if sender else None, snapshot, family, destination, "tcp", port
        ) and allows(receiver.ingress if receiver else None, snapshot, family, source, "tcp", port)
        trace = simulator.evaluate(Packet(family, source, destination, "tcp", port))  # type: ignore[arg-type]
        assert (trace.verdict == "accept") == expected, "\n".join(trace.steps)


@settings(max_examples=50)
@given(snapshots(), snapshots())
def test_what_changes_under_one_name_is_written(old: Snapshot, new: Snapshot) -> None:
    """From one colliding content to the other the name stays: the plan sees the content."""
    nft = FakeNft()
    found = None
    second = stamp(lowered(new, weak), 2)
    for desired in (stamp(lowered(old, weak), 1), second, second):
        planned = plan(found, desired)
        for step in planned.steps:
            asyncio.run(nft.run(step.script))
        assert held_is(nft, planned.brings)
        found = planned.brings
    assert found == second


@settings(max_examples=20)
@given(snapshots(), snapshots())
def test_a_ruleset_with_shorter_names_is_read_and_replaced(old: Snapshot, new: Snapshot) -> None:
    """An upgrade finds the names of the version before in the kernel and in the saved ruleset."""
    saved = stamp(lowered(old, short), 1)
    assert bare(parse_replace(print_replace(saved))) == bare(saved)
    nft = FakeNft()
    asyncio.run(nft.run(print_replace(saved)))
    desired = stamp(lowered(new, digest), 2)
    planned = plan(saved, desired)
    assert "replace" not in {step.kind for step in planned.steps}
    for step in planned.steps:
        asyncio.run(nft.run(step.script))
    assert held_is(nft, planned.brings)
