"""`policyd diff --flows`: which live connections a change would cut. Pure.

Judged as by the agent, which ends what its ruleset denies (`agent/connections/judge.py`): on the node of
each end, by the new ruleset and by the old one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policyd.agent.connections.judge import denied
from policyd.ask.ends import end_at
from policyd.ask.world import World
from policyd.cli.compiled import Rulesets
from policyd.cluster.index import bits_of
from policyd.cluster.ownership import addresses_of_nodes
from policyd.kube.syntax import printable
from policyd.netlink.conntrack import Flow

_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMP", 132: "SCTP"}
#: Kinds of connections in a text; the rest is counted.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """Connections between the same two ends, to one port."""

    sender: str
    receiver: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What becomes of connections: how many there are, how many have an end that is a pod with a node, how
    many both rulesets deny, and which are cut, by their kind."""

    read: int
    judged: int
    denied_before: int
    kinds: tuple[tuple[Kind, int], ...]

    @property
    def many(self) -> int:
        """How many connections are cut."""
        return sum(count for _, count in self.kinds)


def cut(old: Rulesets, new: Rulesets, flows: tuple[Flow, ...]) -> Cut:
    """The connections that `new` denies and `old` does not."""
    by_node: dict[str, list[int]] = {}
    for number, flow in enumerate(flows):
        for node in _nodes(new.world, flow):
            by_node.setdefault(node, []).append(number)
    judged = {number for numbers in by_node.values() for number in numbers}
    after, before = (_denied(side, by_node, flows) for side in (new, old))
    names = _names(new.world)
    kinds = Counter(_kind(new.world, names, flows[number]) for number in after - before)
    ordered = sorted(kinds.items(), key=lambda each: (-each[1], _order(each[0])))
    return Cut(len(flows), len(judged), len(after & before), tuple(ordered))


def _order(kind: Kind) -> tuple[str, str, str, int]:
    return kind.sender, kind.receiver, kind.protocol, kind.port


def _denied(rulesets: Rulesets, by_node: dict[str, list[int]], flows: tuple[Flow, ...]) -> set[int]:
    """The numbers of the connections that the ruleset of either end's node denies."""
    found: set[int] = set()
    for node, numbers in by_node.items():
        known = rulesets.world.state.nodes
        own = addresses_of_nodes([known[node]] if node in known else [])
        local = {family: frozenset(values) for family, values in own.items()}
        asked = [flows[number] for number in numbers]
        refused = set(map(id, denied(asked, rulesets.build(node).table, local)))
        found.update(number for number in numbers if id(flows[number]) in refused)
    return found


def _nodes(world: World, flow: Flow) -> set[str]:
    """The nodes of the pods at either end."""
    hosts = (world.by_address.get((flow.family, each)) for each in (flow.source, flow.destination))
    pods = (pod for host in hosts if host is not None for pod in world.claimants(host))
    return {pod.node for pod in pods if pod.node}


def _names(world: World) -> dict[int, str]:
    """By host, the endpoint that it belongs to."""
    return {
        host: endpoint.id
        for endpoint, mask in zip(world.endpoints, world.hosts, strict=True)
        for host in bits_of(mask)
    }


def _kind(world: World, names: dict[int, str], flow: Flow) -> Kind:
    def name(address: int) -> str:
        end = end_at(world, 4 if flow.family == 4 else 6, address)
        return names[end.hosts[0]] if end.hosts else end.text

    protocol = _PROTOCOLS.get(flow.protocol, str(flow.protocol))
    return Kind(name(flow.source), name(flow.destination), protocol, flow.port)


def cut_json(found: Cut) -> dict[str, Any]:
    """What a Difference has more with `--flows`."""
    return {
        "read": found.read,
        "judged": found.judged,
        "deniedBefore": found.denied_before,
        "cut": [
            {
                "from": kind.sender,
                "to": kind.receiver,
                "protocol": kind.protocol,
                "port": kind.port or None,
                "connections": count,
            }
            for kind, count in found.kinds
        ],
    }


def cut_lines(found: Cut) -> Iterator[str]:
    """For people."""
    already = f"; {found.denied_before} more are denied already" if found.denied_before else ""
    yield f"{found.many} of {found.judged} live connections of these pods would be cut{already}"
    for kind, count in found.kinds[:_SHOWN]:
        port = f" {kind.port}" if kind.port else ""
        yield printable(f"  {count} × {kind.sender} → {kind.receiver}  {kind.protocol}{port}")
    if len(found.kinds) > _SHOWN:
        yield f"  and {len(found.kinds) - _SHOWN} more kinds (-o json has them)"
