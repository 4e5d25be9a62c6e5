"""A new pod is as open as its policies say from its first packet on: never more, and soon not less."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from policyd.version import VERSION
from tests.cluster.cluster import Cluster
from tests.cluster.policyd.api import opened_api
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.latency import quantile
from tests.cluster.policyd.latency import table as latency_table
from tests.cluster.policyd.newcomers import Listener, connected, newcomer
from tests.cluster.policyd.pods import Place, Pods, pod, policy
from tests.cluster.policyd.stream import Stream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROUNDS = 3
NODE = "n1"
ALLOWED, DENIED, STRANGER = "allowed", "denied", "stranger"
ALLOWED, DENIED = "allowed", "denied"
ARRIVAL_SECONDS = 10.0
#: Its own node knows a pod before its first container starts; another node when the API server tells.
OWN, ANOTHER_OPEN, ANOTHER = "own node", "another node, no policy there", "another node, a policy there"
SERVERS = {
    OWN: Place("n1", {"for": ALLOWED}),
    ANOTHER_OPEN: Place("n2"),
    ANOTHER: Place("n2", {"for": ALLOWED}),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """A namespace with policies, and servers that listen."""

    cluster: Cluster
    namespace: str
    listeners: dict[str, Listener]
    addresses: dict[str, str]


@contextmanager
def opened_ground(cluster: Cluster, family: int) -> Iterator[Ground]:
    """Servers for the allowed only, one for everybody; newcomers that may speak to servers, and to nobody."""
    with Pods(cluster) as pods, ExitStack() as stack:
        namespace = pods.namespace("newcomers")
        allowed = {"podSelector": {"matchLabels": {"kind": ALLOWED}}}
        servers = {"podSelector": {"matchExpressions": [{"key": "kind", "operator": "DoesNotExist"}]}}
        cluster.apply(
            policy("out", namespace, **allowed, policyTypes=["Egress"], egress=[{"to": [servers]}]),
            policy("no", namespace, podSelector={"matchLabels": {"kind": DENIED}}, policyTypes=["Egress"]),
            policy(
                "in",
                namespace,
                podSelector={"matchLabels": {"for": ALLOWED}},
                policyTypes=["Ingress"],
                ingress=[{"from": [allowed]}],
            ),
        )
        names = {place: f"server-{number}" for number, place in enumerate(SERVERS)}
        found = pods.start(namespace, {names[place]: how for place, how in SERVERS.items()})
        addresses = {
            place: next(a for a in found[names[place]].addresses if (":" in a) == (family == 6))
            for place in SERVERS
        }
        listeners = {
            place: stack.enter_context(Listener(found[names[place]], addresses[place])) for place in SERVERS
        }
        yield Ground(cluster, namespace, listeners, addresses)


@pytest.mark.parametrize("family", [4, 6])
def test_the_first_packets_of_a_pod(policyd: Installation, tell: Callable[[str], None], family: int) -> None:
    first_packet: dict[str, list[int]] = {}
    first_connection: dict[str, list[int]] = {}
    with opened_ground(policyd.cluster, family) as ground:
        for number in range(ROUNDS):
            said = speak(ground, number)
            for kind, place in may_reach():
                name = f"{kind}-{number}"
                packets = ground.listeners[place].heard(name).packets
                assert packets, f"{name} did not come through to {place}"
                first_packet.setdefault(f"{kind}, {place}", []).append(min(packets))
                milliseconds = said[name].get(ground.addresses[place])
                assert milliseconds is not None, f"{name} could not connect to {place}"
                first_connection.setdefault(f"{kind}, {place}", []).append(milliseconds)
        leaked = {
            f"{kind}-{number} to {place}": heard.packets
            for number in range(ROUNDS)
            for kind in (DENIED, STRANGER, ALLOWED)
            for place in SERVERS
            if (kind, place) not in may_reach()
            and (heard := ground.listeners[place].heard(f"{kind}-{number}")).packets
        }
    assert leaked == {}
    title = f"The first packet and the first connection of a new pod that come through, IPv{family}:"
    tell(f"{title}\n{table(first_packet, first_connection)}")


@pytest.mark.parametrize("family", [4, 6])
def test_the_first_packets_to_a_pod(policyd: Installation, tell: Callable[[str], None], family: int) -> None:
    """From the moment on when its network is there, which is before its first container."""
    cluster = policyd.cluster
    waited = []
    with Pods(cluster) as pods, opened_api(cluster.plane) as api:
        namespace = pods.namespace("arrivals")
        sources = pods.start(namespace, {ALLOWED: Place("n2", {"kind": ALLOWED}), DENIED: Place("n2")})
        rule = {"from": [{"podSelector": {"matchLabels": {"kind": ALLOWED}}}]}
        subject = {"matchLabels": {"kind": "new"}}
        cluster.apply(policy("in", namespace, podSelector=subject, policyTypes=["Ingress"], ingress=[rule]))
        policyd.wait_until_quiet()
        for number in range(ROUNDS):
            place = Place(NODE, {"kind": "new"})
            api.create(pod(f"new-{number}", namespace, place, cluster.agnhost))
            new = pods.appears(NODE, namespace, f"new-{number}")
            there = time.monotonic()
            address = next(a for a in new.addresses if (":" in a) == (family == 6))
            with (
                Stream(sources[ALLOWED].network, new.network, address, 9001) as friendly,
                Stream(sources[DENIED].network, new.network, address, 9002) as hostile,
            ):
                first = friendly.wait_for_arrival(0, ARRIVAL_SECONDS)
                cluster.wait(f"pod/new-{number}", namespace=namespace)
                assert hostile.now() > 0
                assert hostile.arrived() == []
            assert first is not None, f"nothing comes through to new-{number}"
            waited.append(friendly.sent_at(first) - there)
    title = f"From a new pod's network to the first packet that comes through to it, IPv{family}:"
    tell(f"{title}\n{latency_table({'allowed': waited})}")


def may_reach() -> list[tuple[str, str]]:
    return [*((ALLOWED, place) for place in SERVERS), (STRANGER, ANOTHER_OPEN)]


def speak(ground: Ground, number: int) -> dict[str, dict[str, int | None]]:
    """Let a pod of each kind live and speak; give what each says of its connections."""
    kinds = (ALLOWED, DENIED, STRANGER)
    names = [f"{kind}-{number}" for kind in kinds]
    ground.cluster.apply(
        *(
            newcomer(
                name,
                ground.namespace,
                node=NODE,
                image=f"policyd:{VERSION}",
                labels={"kind": kind},
                servers=tuple(ground.addresses.values()),
            )
            for name, kind in zip(names, kinds, strict=True)
        )
    )
    until = "jsonpath={.status.phase}=Succeeded"
    ground.cluster.wait(*(f"pod/{name}" for name in names), namespace=ground.namespace, until=until)
    said = {name: connected(ground.cluster, name, ground.namespace) for name in names}
    ground.cluster.delete("pods", *names, namespace=ground.namespace)
    return said


def table(packets: dict[str, list[int]], connections: dict[str, list[int]]) -> str:
    rows = [
        "| who, to a server on its | packet p50 | longest | connection p50 | longest |",
        "|---|---|---|---|---|",
    ]
    for what, values in packets.items():
        figures = [
            quantile(values, 0.5),
            max(values),
            quantile(connections[what], 0.5),
            max(connections[what]),
        ]
        rows.append(f"| {what} | {' | '.join(f'{figure:.0f} ms' for figure in figures)} |")
    return "\n".join(rows)
