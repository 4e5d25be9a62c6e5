"""What it takes to end the connections that a change denies, counted on connections that a kernel tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest

from policyd.agent.connections import revoker as revoker_room
from policyd.agent.connections.judge import denied
from policyd.agent.connections.revoker import LOOK_SECONDS, WATCH_SECONDS, Revoker
from policyd.agent.reporting.status import Swap
from policyd.lab.namespace import Namespace
from policyd.netlink.conntrack import Conntrack, Flow
from policyd.obs.metrics import Metrics
from policyd.pipeline import build
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator
from tests.cases.form import ingress, namespace, pod
from tests.reliability.states import decoded
from tests.support.counting import lines_run

pytestmark = pytest.mark.kernel

WEB, DB, OTHERS = "10.0.0.1", "10.0.0.2", "10.9.9.9"
#: Connections of others, and from how many ports the pod was asked at how many of its own.
MANY, ASKING, ASKED = 3000, 20, 5
NUMBER = int(ip_address(WEB))


def table(*ports: int) -> Table:
    """Both pods are isolated; `web` is open at these ports, `db` at none."""
    rules = [{"ports": [{"port": port, "protocol": "UDP"} for port in ports]}] if ports else []
    world = [namespace("x"), pod("x/web", WEB), pod("x/db", DB)]
    world += [ingress("x", "web", *rules, name="web"), ingress("x", "db", name="db")]
    return build(decoded(world), "n1", Options()).table


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node that tracks many connections of others, and some to each pod."""
    made = Namespace("node")
    lines = [tracked("10.8.8.8", OTHERS, port) for port in range(1, MANY + 1)]
    lines += [
        tracked(f"10.7.7.{source}", pod_address, port)
        for source in range(1, ASKING + 1)
        for pod_address in (WEB, DB)
        for port in range(80, 80 + ASKED)
    ]
    done = made.run(["conntrack", "--load-file", "-"], "\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    yield made
    made.close()


def tracked(source: str, target: str, port: int) -> str:
    """A connection of UDP, as a line that conntrack loads."""
    return f"-A -p udp -s {source} -d {target} --sport {20_000 + port} --dport {port} --timeout 600"


class Counted(Conntrack):
    """The kernel's connections, and how often they were listed."""

    dumps = 0

    def list(self, addresses: Mapping[int, frozenset[int]]) -> list[Flow]:  # type: ignore[override]
        Counted.dumps += sum(map(bool, addresses.values()))
        return super().list(addresses)


async def test_a_change_costs_some_listings_and_judges_who_is_concerned(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listings do not grow with connections; nobody else's connection is judged, and each kind once."""
    judged = 0
    evaluate = Simulator.evaluate

    def counted(self: Simulator, *arguments: object) -> object:
        nonlocal judged
        judged += 1
        return evaluate(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Counted, "dumps", 0)
    monkeypatch.setattr(revoker_room, "Conntrack", Counted)
    monkeypatch.setattr(Simulator, "evaluate", counted)
    revoker = Revoker(Metrics())
    revoker.note(Swap(table(*range(80, 80 + ASKED)), table(80), 2))
    with node.entered():  # threads begin where they are made
        ended = await revoker.settle()
        left = listed(WEB), listed(DB)
    assert (ended, *map(len, left)) == (ASKING * (ASKED - 1), ASKING, ASKING * ASKED)
    assert judged == ASKING * ASKED
    assert Counted.dumps <= 2 + WATCH_SECONDS / LOOK_SECONDS


def listed(address: str) -> list[Flow]:
    conntrack = Conntrack()
    try:
        return conntrack.list({4: {int(ip_address(address))}})
    finally:
        conntrack.close()


def test_connections_of_others_are_not_read(node: Namespace) -> None:
    with node.entered():
        count = lines_run(lambda: listed(WEB))
    assert MANY < count < 30 * MANY


def test_connections_that_differ_by_the_port_of_who_asks_are_judged_once() -> None:
    flow = Flow(4, 17, int(ip_address(DB)), 1, NUMBER, 80, dnat=False, icmp_type=None, name=b"")
    found = table(81)

    def work(count: int) -> int:
        flows = [replace(flow, source_port=port) for port in range(count)]
        return lines_run(lambda: denied(flows, found, {4: frozenset(), 6: frozenset()}))

    assert (work(2000) - work(1000)) / 1000 < 80
