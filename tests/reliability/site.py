"""A node with real pods, an agent on it, an API server that fails, and a judge of what the kernel does.

Before a packet is judged, one of its kind was sent the same way without rules and did arrive: so an absence
means a verdict.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from policyd.cli.apply import with_attachments
from policyd.cluster.state import ClusterState
from policyd.lab.lab import SPEAKER, Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import NodePlan, PodPlan
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing
from policyd_compiler.plan import differences
from tests.kernel.ground import nft
from tests.lab.packets import Protocol, Shot, craft
from tests.lab.wire import Arrival, Wire
from tests.oracle import Connection, Manifest, Oracle
from tests.reliability.churn import GUARDED, NODES, Churn
from tests.reliability.flows import Flows
from tests.reliability.kernel import TABLE, strip
from tests.reliability.process import Process
from tests.reliability.states import NODE, Pool, compiled
from tests.strategies.clusters import Shape
from tests.support.waiting import DEADLINE
from tests.watcher.emulator import Emulator
from tests.watcher.server import write_kubeconfig

SHAPE = Shape(pods=7, policies=6, conflicts=False)  # one address is in one namespace
SPARE = PodPlan("spare", ("10.244.1.99", "fd00:10:244:1::63"))
PROTOCOLS: dict[str, Protocol] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp", "ICMP": "icmp"}
CANDIDATES = 400
LISTING = ("nft", "--json", "--numeric-protocol", "--numeric-priority", "list", "table", "inet")


class Site:
    """What a run works with. Everything is in the node's network namespace, the API server included."""

    def __init__(self, lab: Lab, wire: Wire, pool: Pool, churn: Churn, agent: Process) -> None:
        self.lab, self.churn, self.agent = lab, churn, agent
        self.node = lab.nodes[NODE]
        self.judged = 0
        self.caught_up: list[float] = []
        self._wire, self._marks = wire, 0
        self._probes = [connection for connection, _ in pool.probes if _crosses(lab, connection)]
        self._fly([])  # so many packets wait for a neighbour's address that some are dropped
        arrived = self._fly([])
        self._probes = [probe for probe, came in zip(self._probes, arrived, strict=True) if came]
        assert len(self._probes) > 50, "hardly a packet arrives without rules"

    def held(self) -> Table | None:
        """What the kernel holds; None without a table, or with one that somebody else has changed oddly."""
        listing = self.node.run([*LISTING, TABLE])
        try:
            found = parse_listing(listing.stdout, TABLE) if listing.returncode == 0 else None
        except ForeignContent:
            return None
        return None if found is None else strip(found)

    async def settle(self) -> None:
        """Nothing changes or fails any more: the kernel must come to hold what a fresh start would bring."""
        began = time.monotonic()
        await self.settled(self.churn.state())
        self.caught_up.append(time.monotonic() - began)

    async def settled(self, state: ClusterState) -> None:
        """Wait until the kernel holds the ruleset of a state, with the links of the node as they are."""
        self.churn.emulator.faults.clear()
        with self.node.entered():
            wanted = compiled(with_attachments(state, NODE))
        end = time.monotonic() + DEADLINE
        while (found := await asyncio.to_thread(self._lacks, wanted)) is not None:
            assert self.agent.runs, f"the agent ended:\n{self.agent.told()[-4000:]}"
            assert time.monotonic() < end, f"not caught up: {found}\n{self.agent.told()[-4000:]}"
            await asyncio.sleep(0.02)

    def _lacks(self, wanted: Table) -> str | None:
        """What keeps a ruleset from being held by an agent that knows it."""
        found = differs(self.held(), wanted)
        return found if found or self.agent.enforces else "the agent has not said that it is in force"

    async def judge(self, objects: list[Manifest] | None = None) -> None:
        """Send every packet of the pool: it must do what the oracle says of these objects, or of all."""
        oracle = Oracle(self.churn.objects() if objects is None else objects, live=True)
        expected = [self._passes(oracle, connection) for connection in self._probes]
        arrived = await asyncio.to_thread(self._fly, expected)
        self.judged += len(arrived)
        wrong = [
            f"kernel {'passes' if came else 'drops'}: {oracle.explain(connection, NODE)}"
            for connection, came, right in zip(self._probes, arrived, expected, strict=True)
            if came != right
        ]
        assert wrong == []

    def _passes(self, oracle: Oracle, connection: Connection) -> bool:
        """What the policies say of a packet, and the binding of the interface that it comes out of."""
        home = self.lab.home(connection.src)
        interface = [a for pod in self.lab.pods.values() if pod.namespace is home for a in pod.plan.addresses]
        allowed = oracle.node_verdict(connection, NODE)
        return allowed and oracle.binds(interface, connection.src, NODE)

    def tamper(self, script: str) -> None:
        """Let somebody else run a script."""
        nft(self.node, script)

    def _fly(self, expected: list[bool]) -> list[bool]:
        """Whether each packet arrives; what is expected is waited for, by default everything."""
        flights = [self._flight(connection) for connection in self._probes]
        meant = expected or [True] * len(flights)
        awaited = [arrival for (_, _, arrival), right in zip(flights, meant, strict=True) if right]
        arrived = self._wire.exchange([(place, packet) for place, packet, _ in flights], awaited)
        return [arrival in arrived for _, _, arrival in flights]

    def _flight(self, connection: Connection) -> tuple[Namespace, bytes, Arrival]:
        self._marks += 1
        shot = Shot(
            connection.src,
            connection.dst,
            PROTOCOLS[connection.proto],
            self._marks,
            1024 + self._marks % 60_000,
            connection.dport or 0,
        )
        destination = self.lab.home(connection.dst)
        return self.lab.home(connection.src), craft(shot), Arrival(self._marks, destination)


def differs(held: Table | None, wanted: Table) -> str | None:
    """In what a ruleset is not as it should be; None where it is."""
    if held is None:
        return "there is none, or none that can be understood"
    found = differences(held, wanted)
    return "; ".join(found[:5]) if found else None


def _crosses(lab: Lab, connection: Connection) -> bool:
    """Whether the packet goes from one place to another by way of the node, and can be told from others."""
    source, destination = lab.home(connection.src), lab.home(connection.dst)
    special = connection.local_node is not None or connection.left_pod
    if special or connection.proto not in PROTOCOLS or source is destination:
        return False
    address = ip_address(connection.dst)
    return not address.is_multicast and not address.is_link_local and source is not lab.nodes[NODE]


@asynccontextmanager
async def open_site(lab: Lab, seed: int, folder: Path, *flags: str) -> AsyncIterator[Site]:
    """Fill a lab: an API server with a cluster, and an agent that is not started yet."""
    pool = Pool(seed, SHAPE, CANDIDATES)
    churn = Churn(Emulator(), pool, random.Random(seed))
    with Wire() as wire:
        for place in (lab.outside, *(p.namespace for n, p in lab.pods.items() if n.startswith("p"))):
            wire.hear_interfaces(place)
        wire.hear_input(lab.nodes[NODE])
        async with churn.emulator.serve() as server:
            kubeconfig = folder / "kubeconfig"
            write_kubeconfig(kubeconfig, server.url)
            options = ("--kubeconfig", str(kubeconfig), "--node", NODE, "--log-format", "json", *flags)
            agent = Process(folder, *options)
            site = Site(lab, wire, pool, churn, agent)
            try:
                yield site
            finally:
                agent.close()


def make_lab() -> Lab:
    """One node; an address that none of its pods has is outside."""
    pods = [
        PodPlan(f"p{number}", (f"10.244.1.{10 + number}", f"fd00:10:244:1::{10 + number:x}"))
        for number in range(SHAPE.pods)
    ]
    guarded = [PodPlan(f"x/{name}", addresses) for name, addresses in GUARDED.items()]
    return Lab([NodePlan(NODE, NODES[NODE], (*pods, *guarded))], SPEAKER)


def flows(lab: Lab) -> Flows:
    """The packets that always flow, from a to b."""
    ends = list(zip(GUARDED["a"], GUARDED["b"], strict=True))
    return Flows(lab.pods["x/a"].namespace, lab.pods["x/b"].namespace, ends)
