"""Packets aimed at the edges of a world: either side of every block, except and port range."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from tests.oracle import Connection, Manifest
from tests.oracle.addresses import BITS, Address, parse_block
from tests.strategies.chooser import Chooser
from tests.strategies.policies import EXTERNALS

PROTOCOLS = ("TCP", "TCP", "TCP", "UDP", "UDP", "SCTP", "ICMP", "OTHER")


@dataclass(frozen=True, slots=True)
class Aims:
    """What packets of a world are aimed at, by family."""

    pods: dict[int, tuple[str, ...]]
    others: dict[int, tuple[str, ...]]  # nodes, outsiders, edges of blocks
    node_of: dict[str, str]  # whose address it is, for the nodes' own addresses
    ports: tuple[int, ...]


def aims(objects: list[Manifest]) -> Aims:
    pods: dict[str, None] = {}
    node_of: dict[str, str] = {}
    edges: dict[str, None] = {}
    ports = {80, 1, 65535}
    for manifest in objects:
        match manifest["kind"]:
            case "Pod":
                if not manifest["spec"].get("hostNetwork"):
                    pods.update(dict.fromkeys(_pod_addresses(manifest)))
                ports |= set(_container_ports(manifest))
            case "Node":
                entries = manifest["status"]["addresses"]
                own = [entry["address"] for entry in entries if entry["type"] != "Hostname"]
                node_of |= dict.fromkeys(own, manifest["metadata"]["name"])
            case "NetworkPolicy" | "ClusterNetworkPolicy":
                edges.update(dict.fromkeys(_block_edges(manifest)))
                ports |= set(_port_edges(manifest))
            case _:
                pass
    others = [text for text in {**node_of, **dict.fromkeys(EXTERNALS), **edges} if text not in pods]
    return Aims(_by_family(pods), _by_family(others), node_of, tuple(sorted(ports)))


def connection(chooser: Chooser, aim: Aims) -> Connection:
    """Choose a packet; one end at least is a pod's address, where the family has one."""
    family = chooser.one_of((4, 6))
    pods, others = aim.pods[family], aim.others[family]
    # More than half of the packets stay between pods, the rest touch one of them.
    end = chooser.one_of(pods or others)
    further = [pod for pod in pods if pod != end]
    if chooser.chance(7):
        further = [end]  # a pod to itself
    other = chooser.one_of(further) if further and chooser.chance(55) else chooser.one_of(others)
    source, destination = (other, end) if chooser.chance(50) else (end, other)
    proto = chooser.one_of(PROTOCOLS)
    return Connection(
        src=source,
        dst=destination,
        proto=proto,
        dport=chooser.one_of(aim.ports) if proto in ("TCP", "UDP", "SCTP") else None,
        # A packet with a node's own address comes from that node: others are forged, and not our matter.
        local_node=aim.node_of.get(source),
        left_pod=source == destination and source in pods and chooser.chance(50),
    )


def _by_family(texts: dict[str, None] | list[str]) -> dict[int, tuple[str, ...]]:
    return {family: tuple(t for t in texts if ip_address(t).version == family) for family in (4, 6)}


def _pod_addresses(pod: Manifest) -> list[str]:
    status = pod.get("status") or {}
    return [entry["ip"] for entry in status.get("podIPs") or []] or [
        text for text in [status.get("podIP")] if text
    ]


def _container_ports(pod: Manifest) -> list[int]:
    containers = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    return [port["containerPort"] for c in containers for port in c.get("ports") or []]


def _rules(policy: Manifest) -> list[Manifest]:
    spec = policy.get("spec") or {}
    return [rule or {} for key in ("ingress", "egress") for rule in spec.get(key) or []]


def _port_edges(policy: Manifest) -> list[int]:
    edges: list[int] = []
    for rule in _rules(policy):
        for entry in rule.get("ports") or []:
            if isinstance(first := (entry or {}).get("port"), int):
                last = entry.get("endPort") or first
                edges += [first - 1, first, last, last + 1]
        for entry in rule.get("protocols") or []:
            port = (next(iter(entry.values()), None) or {}) if isinstance(entry, dict) else {}
            port = port.get("destinationPort") or {} if isinstance(port, dict) else {}
            bounds = port.get("range") or {"start": port.get("number"), "end": port.get("number")}
            if isinstance(first := bounds.get("start"), int):
                edges += [first - 1, first, bounds["end"], bounds["end"] + 1]
    return [edge for edge in edges if 1 <= edge <= 65535]


def _block_edges(policy: Manifest) -> list[str]:
    """List the addresses at both sides of both ends of every block and except."""
    edges: list[Address] = []
    for text in _block_texts(policy):
        if (block := parse_block(text)) is not None:
            values = (block.first - 1, block.first, block.last, block.last + 1)
            edges += [Address(block.family, value) for value in values]
    return [_text(edge) for edge in edges if _is_usable(edge.family, edge.value)]


def _block_texts(policy: Manifest) -> list[str]:
    peers = [p for rule in _rules(policy) for p in [*(rule.get("from") or []), *(rule.get("to") or [])]]
    blocks = [peer["ipBlock"] for peer in peers if peer.get("ipBlock")]
    of_tiers = [text for peer in peers for text in peer.get("networks") or []]
    return [*of_tiers, *(text for b in blocks for text in [b["cidr"], *(b.get("except") or [])])]


def _text(address: Address) -> str:
    size = BITS[address.family] // 8
    return str(ip_address(address.value.to_bytes(size, "big")))


def _is_usable(family: int, value: int) -> bool:
    """Keep addresses that ordinary packets can have at either end."""
    if not 0 <= value < 1 << BITS[family]:
        return False
    address = ip_address(value.to_bytes(BITS[family] // 8, "big"))
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        return False
    return value >> 24 not in (0, 255) if family == 4 else value >> 32 not in (0, 0xFFFF)
