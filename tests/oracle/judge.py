"""The verdict on one connection: semantics.md, section 0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.oracle.addresses import Address, parse_address
from tests.oracle.manifests import Manifest, Pod, World, read_world
from tests.oracle.policies import isolates, peers_match, ports_match, rules
from tests.oracle.tiers import Packet, decide

WITH_PORTS = ("TCP", "UDP", "SCTP")
PROTOCOLS = (*WITH_PORTS, "ICMP", "ND", "OTHER")


@dataclass(frozen=True, slots=True)
class Connection:
    """The first packet of a connection, after Service DNAT and before SNAT.

    ICMP is an echo request of the family's kind, ND neighbour discovery or MLD, OTHER any further protocol.
    `local_node` names the node whose own process, host-network pods included, sent it. `left_pod` says that
    a packet from a pod to itself went out and came back, as through the pod's own Service.
    """

    src: str
    dst: str
    proto: str
    dport: int | None = None
    local_node: str | None = None
    left_pod: bool = False

    def __post_init__(self) -> None:
        source, destination = _address(self.src), _address(self.dst)
        if source.family != destination.family:
            raise ValueError(f"{self.src} and {self.dst} are of different families")
        if self.proto not in PROTOCOLS:
            raise ValueError(f"protocol {self.proto!r} is none of {PROTOCOLS}")
        if (self.proto in WITH_PORTS) != (self.dport is not None):
            raise ValueError(f"{self.proto} and port {self.dport} do not go together")
        if self.proto == "ND" and source.family == 4:
            raise ValueError("neighbour discovery is IPv6")

    def __str__(self) -> str:
        port = "" if self.dport is None else f"/{self.dport}"
        origin = "" if self.local_node is None else f" from node {self.local_node} itself"
        return f"{self.src} > {self.dst} {self.proto}{port}{origin}{' (hairpin)' if self.left_pod else ''}"


@dataclass(frozen=True, slots=True)
class Judgement:
    allowed: bool
    reason: str


class Oracle:
    """What the policies among some manifests mean for any connection."""

    def __init__(
        self,
        objects: Iterable[Manifest],
        *,
        node_egress_exempt: bool = False,
        evaluate_hairpin: bool = False,
        live: bool = False,
    ) -> None:
        self._world: World = read_world(objects, live=live)
        self._node_egress_exempt = node_egress_exempt
        self._evaluate_hairpin = evaluate_hairpin

    def verdict(self, connection: Connection) -> bool:
        """Say whether the cluster lets the connection through: egress and ingress, each at its own node."""
        return self._judge(connection, None).allowed

    def node_verdict(self, connection: Connection, node: str) -> bool:
        """Say what one node must do with the packet: it answers for its own pods only."""
        return self._judge(connection, node).allowed

    def admits(self, receivers: Iterable[str], connection: Connection) -> bool:
        """Say whether the ingress of all these pods takes it, wherever it goes (NP-161)."""
        sources = self._world.claimants(_address(connection.src))
        wanted = set(receivers)
        return all(
            self._direction("Ingress", pod, connection, sources).allowed
            for pod in self._world.pods
            if str(pod) in wanted
        )

    def binds(self, interface: Iterable[str], source: str, node: str) -> bool:
        """Say whether a source may come out of the interface that has these addresses (NP-162)."""
        bound = {
            address
            for address in map(_address, interface)
            if any(pod.node == node for pod in self._world.claimants(address))
        }
        return not bound or _address(source) in bound

    def explain(self, connection: Connection, node: str | None = None) -> str:
        """Give the verdict and its reason in one line."""
        judgement = self._judge(connection, node)
        return f"{'ALLOW' if judgement.allowed else 'DENY'} {connection}: {judgement.reason}"

    def _judge(self, connection: Connection, node: str | None) -> Judgement:
        if connection.proto == "ND":
            return Judgement(allowed=True, reason="denying it would break the pod's own link (NP-083)")
        sources = self._world.claimants(_address(connection.src))
        destinations = self._world.claimants(_address(connection.dst))
        if self._stays_in_one_pod(connection, sources, destinations):
            return Judgement(allowed=True, reason="a pod cannot block itself (NP-095, NP-096)")
        judged = []
        # What several pods claim is judged as each of them, and must be allowed to each (NP-166).
        if any(self._judges_egress(connection, place) for place in _judges(sources, node)):
            judged += [self._direction("Egress", pod, connection, destinations) for pod in sources]
        if any(self._judges_ingress(connection, place) for place in _judges(destinations, node)):
            judged += [self._direction("Ingress", pod, connection, sources) for pod in destinations]
        reasons = [judgement for judgement in judged if not judgement.allowed] or judged
        if not reasons:
            return Judgement(allowed=True, reason="no pod is judged here")
        return Judgement(reasons[0].allowed, "; ".join(judgement.reason for judgement in reasons))

    def _stays_in_one_pod(
        self, connection: Connection, sources: tuple[Pod, ...], destinations: tuple[Pod, ...]
    ) -> bool:
        if connection.left_pod and self._evaluate_hairpin:
            return False
        return connection.src == connection.dst or (len(sources) == 1 and sources == destinations)

    def _judges_egress(self, connection: Connection, node: str | None) -> bool:
        if connection.local_node is not None:  # NP-092
            return False
        own_node = self._world.node_addresses.get(node or "", frozenset())
        return not (self._node_egress_exempt and _address(connection.dst) in own_node)  # NP-091

    def _judges_ingress(self, connection: Connection, node: str | None) -> bool:
        return connection.local_node is None or connection.local_node != node  # NP-090

    def _direction(
        self, direction: str, subject: Pod, connection: Connection, peers: tuple[Pod, ...]
    ) -> Judgement:
        """Ask the tiers in turn: Admin, NetworkPolicy where it isolates, else Baseline."""
        outward = direction == "Egress"
        packet = Packet(
            _address(connection.dst if outward else connection.src),
            peers,
            peers if outward else (subject,),
            connection.proto,
            connection.dport,
        )
        for tier in ("Admin", "NetworkPolicy", "Baseline"):
            if tier == "NetworkPolicy":
                if any(isolates(policy, direction, subject) for policy in self._world.policies):
                    return self._network_policy(direction, subject, connection, peers)
                continue
            action, why = decide(self._world, tier, direction, subject, packet)
            if action != "Pass":
                return Judgement(action == "Accept", f"{direction.lower()} of {subject} by {why}")
        return Judgement(allowed=True, reason=f"nothing isolates {direction.lower()} of {subject}")

    def _network_policy(
        self, direction: str, subject: Pod, connection: Connection, peers: tuple[Pod, ...]
    ) -> Judgement:
        isolating = [policy for policy in self._world.policies if isolates(policy, direction, subject)]
        outward = direction == "Egress"
        peer_key, peer_text = ("to", connection.dst) if outward else ("from", connection.src)
        receivers = peers if outward else (subject,)
        for policy in isolating:
            for index, rule in enumerate(rules(policy, direction)):
                if peers_match(
                    rule.get(peer_key), policy.namespace, self._world, _address(peer_text), peers
                ) and ports_match(rule.get("ports"), connection.proto, connection.dport, receivers):
                    reason = f"{direction.lower()} of {subject} by rule {index} of {policy}"
                    return Judgement(allowed=True, reason=reason)
        names = ", ".join(sorted(map(str, isolating)))
        return Judgement(allowed=False, reason=f"{direction.lower()} of {subject}: isolated by {names}")


def _judges(pods: tuple[Pod, ...], node: str | None) -> set[str | None]:
    """The nodes that answer for any of these pods; of those the one that is asked about."""
    return {pod.node for pod in pods if node in (None, pod.node)}


def _address(text: str) -> Address:
    address = parse_address(text)
    if address is None:
        raise ValueError(f"{text!r} is no address")
    return address
