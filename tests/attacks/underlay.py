"""The node's own tunnels and its loopback (NP-163): what a pod puts into them would come out as another's."""

from __future__ import annotations

from collections.abc import Iterator

from tests.attacks import frames
from tests.attacks.attack import Attack, Honest, Shots
from tests.attacks.bed import Bed, Shot
from tests.attacks.sources import packet

VXLAN_PORT = 8472
#: UDP ports of VXLAN by its standard, Geneve and WireGuard; protocols of IPIP, IPv6 in IP and GRE.
PORTS, PROTOCOLS = (4789, 6081, 51820), (4, 41, 47)


def through_tunnel(origin: str, node: str, claim: str, target: str, *, at: str = "") -> Shots:
    """A packet from `claim` to a pod of the node, in VXLAN to the node; `at` another address of the node."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for kind in ("udp", "tcp", "icmp"):
            mark = bed.next_mark()
            inner = packet(bed, kind, bed.address(claim, family), bed.address(target, family), mark)
            inside = frames.ether(bed.tunnels[node, family], b"\x02" + bytes(5), frames.kind_of(inner), inner)
            ends = bed.address(origin, family), bed.address(at or node, family)
            outer = frames.udp(*ends, (bed.ports(mark)[0], VXLAN_PORT), frames.vxlan(inside))
            yield bed.shot(kind, origin, mark, [bed.frame(origin, node, outer)], target)

    return shots


def in_disguise(origin: str, node: str, claim: str, target: str) -> Shots:
    """The same in fragments, and behind options or headers."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        pad = bytes([0, 0, 1, 4, 0, 0, 0, 0])
        for label in ("fragments", "options", "more options"):
            mark = bed.next_mark()
            inner = packet(bed, "udp", bed.address(claim, family), bed.address(target, family), mark)
            inside = frames.ether(bed.tunnels[node, family], b"\x02" + bytes(5), frames.kind_of(inner), inner)
            ends = bed.address(origin, family), bed.address(node, family)
            outer = frames.udp(*ends, (bed.ports(mark)[0], VXLAN_PORT), frames.vxlan(inside))
            sent: tuple[bytes, ...] = (outer,)
            if label == "fragments":
                sent = frames.fragments(outer, 16, mark)
            elif family == 4:
                sent = (frames.with_options(outer, b"\x01" * (4 if label == "options" else 40)),)
            else:
                sent = (frames.with_headers(outer, *[(60, pad)] * (1 if label == "options" else 8)),)
            yield bed.shot(label, origin, mark, [bed.frame(origin, node, part) for part in sent], target)

    return shots


def into_tunnel(origin: str, node: str) -> Shots:
    """What the ends of other tunnels would take, had the node any."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        ends = bed.address(origin, family), bed.address(node, family)
        for port in PORTS:
            mark = bed.next_mark()
            built = frames.udp(*ends, (bed.ports(mark)[0], port), frames.geneve(frames.payload(mark)))
            yield bed.shot(f"port {port}", origin, mark, [bed.frame(origin, node, built)], node)
        for number in PROTOCOLS:
            if number == 41 and family == 4:
                continue  # IPv6 in IPv4 is not what any network of pods speaks
            mark = bed.next_mark()
            inner = packet(bed, "udp", *ends, mark)
            built = frames.ip(
                *ends, number, bytes([0, 0, *divmod(frames.kind_of(inner), 256)]) * (number == 47) + inner
            )
            yield bed.shot(f"protocol {number}", origin, mark, [bed.frame(origin, node, built)], node)

    return shots


def to_loopback(origin: str) -> Shots:
    """To 127.0.0.1 of the node, which takes it where route_localnet is on, as Calico has it."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for kind in ("udp", "tcp"):
            mark = bed.next_mark()
            built = packet(bed, kind, bed.address(origin, 4), "127.0.0.1", mark)
            yield bed.shot(kind, origin, mark, [bed.frame(origin, "n1", built)], "n1")

    return shots


def to_port(origin: str, target: str, *ports: int) -> Shots:
    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for port in ports:
            mark = bed.next_mark()
            ends = bed.address(origin, family), bed.address(target, family)
            built = frames.udp(*ends, (bed.ports(mark)[0], port), frames.payload(mark))
            yield bed.shot(f"port {port}", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


ATTACKS = (
    Attack("VXLAN to its own node", "pod", through_tunnel("a", "n1", "r", "v")),
    Attack("VXLAN to another node", "pod", through_tunnel("a", "n2", "f", "w")),
    Attack(
        "VXLAN to another address of its own node", "pod", through_tunnel("a", "n1", "r", "v", at="bridge1")
    ),
    Attack(
        "VXLAN to another address of another node",
        "pod",
        through_tunnel("a", "n2", "f", "w", at="bridge2"),
        admitted="r4 r6 b4 b6",
        because="underlay",
    ),
    Attack("VXLAN in disguise", "raw", in_disguise("a", "n1", "r", "v")),
    Attack("VXLAN in disguise to another node", "raw", in_disguise("a", "n2", "f", "w")),
    Attack("VXLAN of another node's pod", "pod", through_tunnel("m", "n1", "r", "v")),
    Attack(
        "VXLAN of the outside",
        "outside",
        through_tunnel("outside", "n1", "r", "v"),
        admitted="r4 r6 b4 b6",
        because="underlay",
    ),
    Attack("other tunnels of its own node", "pod", into_tunnel("a", "n1")),
    Attack("other tunnels of another node", "pod", into_tunnel("a", "n2")),
    Attack("the node's loopback", "raw", to_loopback("a"), "r4 b4"),
    Attack("the node's loopback of an isolated pod", "raw", to_loopback("e"), "r4 b4"),
)

HONEST = (
    Honest("a service of the node", to_port("a", "n1", 53, 10250)),
    Honest("VXLAN to those who are no nodes", to_port("a", "outside", VXLAN_PORT, *PORTS)),
    Honest("the ports of tunnels between pods", to_port("a", "s", VXLAN_PORT, *PORTS)),
)
