"""`policyd apply` under a stream of packets: none leaks, none is lost. And what is denied now ends.

`nft -f` with the script of `policyd compile` over a ruleset in force loses and leaks packets; so this is the
command for reloading.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policyd.cli.apply import with_attachments
from policyd.cli.frame import run
from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from tests.agent.talk import Echo, Talk
from tests.cases.form import block, ingress, namespace, pod, pods, policy
from tests.kernel.stream import Stream
from tests.kernel.swaps import ALLOWED, DENIED, SECONDS, A, B, Meters, Road, establish, packets
from tests.oracle import Manifest
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

WORLD: tuple[Manifest, ...] = (
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}},
    namespace("x"),
    pod("x/a", *A),
    pod("x/b", *B),
)


def write(file: Path, *policies: Manifest) -> Path:
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*WORLD, *policies]}))
    return file


def apply(road: Road, file: Path, live_connections: str = "keep") -> None:
    """Run the command line in the node's network namespace."""
    flags = ["--node", "n1", "--live-connections", live_connections]
    with road.node.entered():
        assert run(["apply", "-f", str(file), *flags]) == 0


def world(rng: random.Random) -> tuple[Manifest, ...]:
    """Policies that let a reach b at the allowed port and no other, each time by other sets."""
    others = [{"from": [block(f"198.51.100.{rng.randrange(256)}/32")]} for _ in range(rng.randrange(1, 5))]
    peer = rng.choice(([pods(pod="a")], [pods(pod="a"), block("203.0.113.0/24")]))
    rule = {"from": peer, "ports": [{"protocol": "UDP", "port": ALLOWED}]}
    deny = [policy("x", name="deny", policyTypes=["Ingress"])] if rng.random() < 0.5 else []
    return ingress("x", "b", rule, *others, name=f"b{rng.randrange(3)}"), *deny


def test_no_packet_leaks_and_none_is_lost_while_manifests_are_applied_again(
    road: Road, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random("apply")
    files = [write(tmp_path / f"{number}.json", *world(rng)) for number in range(12)]
    apply(road, write(tmp_path / "open.json"))
    establish(road)
    meters = Meters(road)
    apply(road, files[0])
    applied = 0
    with Stream(road.sender, packets()):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or applied < 10:
            apply(road, rng.choice(files))
            applied += 1
    found = meters.read()
    record_property("packets", found["denied"] + found["allowed"] + found["established"])
    assert min(found["denied"], found["allowed"]) > 10_000, found
    assert (found["leaked"], found["lost"], found["cut"]) == (0, 0, 0), (applied, found)


@pytest.mark.parametrize("live_connections", ["cut", "keep"])
def test_a_connection_that_is_denied_now_is_ended_and_no_other(
    road: Road, tmp_path: Path, live_connections: str
) -> None:
    """An accepted connection is not judged again, so whoever swaps must end it (decisions 3)."""
    rule = {"from": [pods(pod="a")], "ports": [{"protocol": "UDP", "port": ALLOWED}]}
    denying = write(tmp_path / "denying.json", ingress("x", "b", rule, name="b"))
    apply(road, write(tmp_path / "open.json"))
    servers = [Echo(road.receiver, B[0], port) for port in (ALLOWED, DENIED)]
    denied = Talk(road.sender, socket.SOCK_DGRAM, B[0], DENIED)
    allowed = Talk(road.sender, socket.SOCK_DGRAM, B[0], ALLOWED)
    try:
        until(lambda: min(len(talk.answered) for talk in (denied, allowed)) > 10)
        apply(road, denying, live_connections)
        before = len(denied.answered), len(allowed.answered)
        until(lambda: len(allowed.answered) > before[1] + 20)
        goes_on = len(denied.answered) > before[0] + 1  # one answer may have been on its way
        assert goes_on == (live_connections == "keep")
    finally:
        for talk in (denied, allowed):
            talk.close()
        for server in servers:
            server.close()


def test_it_knows_the_interfaces_of_the_pods_as_the_agent_does(road: Road, tmp_path: Path) -> None:
    objects, _ = load_manifest(write(tmp_path / "world.json").read_bytes(), "world.json")
    with road.node.entered():
        found = with_attachments(ClusterState.of(objects), "n1").attachments.pods
        nobody = with_attachments(ClusterState.of(objects), "n2").attachments.pods
    assert (set(found), nobody) == ({"x/a", "x/b"}, {})
    assert len({attachment.interface for attachment in found.values()}) == 2
