"""Frames on a bridge, as the two hooks of the table in family bridge meet them, and a node of such pods."""

from __future__ import annotations

from dataclasses import dataclass, replace

from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import (
    ANYTHING,
    Action,
    Attachment,
    Direction,
    Endpoint,
    Host,
    Isolation,
    Network,
    Origin,
    Peers,
    Rule,
    Snapshot,
    Stage,
    Tier,
)
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.packet import ARP, Arp, HookName
from policyd_compiler.options import Options
from policyd_compiler.ports import EVERYTHING, PortSet
from policyd_compiler.sim import Packet, Simulator, Trace

#: What everybody hears, and what everybody on the link hears.
ALL4, MDNS4 = 0xFFFF_FFFF, 0xE000_00FB
ALL6, MDNS6 = 0xFF02 << 112 | 1, 0xFF02 << 112 | 0xFB
LINK6 = 0xFE80 << 112


def datagram(source: int, target: int, port: int = 5353, *, family: int | None = None) -> Packet:
    """A UDP packet; the family is that of the larger address if it is not given."""
    version = family or (6 if max(source, target) >> 32 else 4)
    assert version in (4, 6)
    return Packet(6 if version == 6 else 4, source, target, "udp", port)


def icmp6(kind: int, source: int, target: int, *, hops: int = 255, about: int | None = None) -> Packet:
    """An ICMPv6 packet; `about` is the target that a neighbour message names."""
    return Packet(6, source, target, "icmpv6", icmp_type=kind, hop_limit=hops, target=about)


def arp(sender: int, target: int, mac: int = 0, operation: int = 1) -> Packet:
    """An ARP packet; `mac` is what it says of its sender."""
    return Packet(4, 0, 0, 0, network=ARP, arp=Arp(sender, target, operation, mac))


@dataclass(frozen=True, slots=True)
class Bridge:
    """The hooks of one table in family bridge."""

    simulator: Simulator

    @classmethod
    def of(cls, table: Table) -> Bridge:
        assert table.bridge is not None
        return cls(Simulator(table.bridge))

    def at(self, hook: HookName, frame: Packet, port: str, out: str = "") -> Trace:
        return self.simulator.evaluate(replace(frame, hook=hook, iifname=port, oifname=out))

    def enters(self, frame: Packet, port: str) -> bool:
        """Whether a frame that comes in by a port is taken."""
        return self.at("prerouting", frame, port).verdict == "accept"

    def delivers(self, frame: Packet, port: str, out: str) -> bool:
        """Whether what has come in by a port goes out by another."""
        return self.at("forward", frame, port, out).verdict == "accept"


# --- a node, without manifests -------------------------------------------------------------------------

V4, V6, MAC = 10 << 24, 0xFD << 120, 0x02 << 40
_POLICY = (Origin("NetworkPolicy", "ns", "p"),)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the node, called by a letter; `port` is its interface, "" where it is not known.

    `hears` and `says` are what others may send to it and it to others, None where nothing isolates it: pairs
    of peers, as letters or "*" for anybody or Peers, and ports.
    """

    name: str
    port: str | None = None
    bridge: str = "cni0"
    families: str = "46"
    mac: bool = True
    hears: tuple[tuple[str | Peers, PortSet], ...] | None = None
    says: tuple[tuple[str | Peers, PortSet], ...] | None = None
    second_port: str = ""

    @property
    def number(self) -> int:
        return ord(self.name) - ord("a") + 1

    @property
    def v4(self) -> int:
        return V4 + self.number

    @property
    def v6(self) -> int:
        return V6 + self.number

    @property
    def link6(self) -> int:
        """Its link-local address."""
        return LINK6 + self.number

    @property
    def ether(self) -> int:
        return MAC + self.number

    def address(self, family: int) -> int:
        return self.v4 if family == 4 else self.v6

    @property
    def host(self) -> Host:
        return Host(self.v4 if "4" in self.families else None, self.v6 if "6" in self.families else None)

    @property
    def interfaces(self) -> tuple[str, ...]:
        first = f"veth{self.name}" if self.port is None else self.port
        return tuple(name for name in (first, self.second_port) if name)


def snapshot_of(*pods: Pod, network: Network | None = None) -> Snapshot:
    """The node of these pods: the ports of its bridges, and `eth1` and `vethd`, which lead elsewhere."""
    pods = tuple(sorted(pods, key=lambda pod: pod.name))
    attachments = {
        pod.name: tuple(
            Attachment(name, pod.bridge, pod.ether if pod.mac else None) for name in pod.interfaces
        )
        for pod in pods
    }
    found = [a for some in attachments.values() for a in some if a.bridge]
    bridges = tuple(sorted({a.bridge for a in found} | {pod.bridge for pod in pods if pod.bridge}))
    links = network or Network(bridges, tuple(sorted({a.interface for a in found})), ("eth1", "vethd"))
    order = {pod.name: bit for bit, pod in enumerate(pods)}
    endpoints = (
        Endpoint(
            f"ns/{pod.name}",
            pod.host,
            _isolation("ingress", pod.hears, order),
            _isolation("egress", pod.says, order),
            attachments=attachments[pod.name],
        )
        for pod in pods
    )
    return Snapshot("n1", tuple(pod.host for pod in pods), tuple(endpoints), network=links)


def _isolation(
    direction: Direction, rules: tuple[tuple[str | Peers, PortSet], ...] | None, order: dict[str, int]
) -> Isolation | None:
    if rules is None:
        return None
    made = tuple(Rule(Action.ACCEPT, _peers(peers, order), ports, _POLICY) for peers, ports in rules)
    return Isolation(direction, _POLICY, (Stage(Tier.NETWORK_POLICY, made, Action.DENY),))


def _peers(peers: str | Peers, order: dict[str, int]) -> Peers:
    if isinstance(peers, Peers):
        return peers
    return ANYTHING if peers == "*" else Peers(hosts=sum(1 << order[name] for name in peers))


def compiled(*pods: Pod, options: Options, network: Network | None = None) -> Table:
    """The tables of that node."""
    return compile_snapshot(snapshot_of(*pods, network=network), options).table


CLOSED, OPEN = Options(pod_interfaces=("cni0", "veth*")), Options()
DNS = PortSet(udp=((53, 53),))
SPEAKER, OTHER = Pod("s"), Pod("o")
#: Hears UDP 53 of the speaker and nothing else; the same for pods of one family.
LISTENER = Pod("r", hears=(("s", DNS),))
LISTENER4 = Pod("q", hears=(("s", DNS),), families="4")
#: May send UDP 53 to anybody, and to the other whatever it likes.
GAGGED = Pod("g", says=(("*", DNS), ("o", EVERYTHING)))
LOOSE = Pod("l", port="")
ORIGINS = (Origin("NetworkPolicy", "ns", "p"),)
GUESTS = (SPEAKER, OTHER, LISTENER, LISTENER4, GAGGED)
#: An outsider, a router on the link, and a port that no pod is known at.
OUTSIDE4, OUTSIDE6, ROUTER6, UNKNOWN = 203 << 24, 0x2001 << 112, LINK6 | 0xFF, "vethx"


def bridge(*pods: Pod, options: Options = CLOSED, network: Network | None = None) -> Bridge:
    return Bridge.of(compiled(*pods, options=options, network=network))
