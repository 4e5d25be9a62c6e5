"""Sources that are not the sender's (NP-162), and what else a sender's address leads around (NP-151)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.attacks import frames
from tests.attacks.attack import BRIDGED, Attack, Shots
from tests.attacks.bed import LIVE_PORT, NODES, Bed, Shot
from tests.lab.packets import SYN

LOOPBACK = ("127.0.0.1", "::1")
NOBODY = ("0.0.0.0", "::")
GROUP = ("224.0.0.1", "ff02::1")
LINK_LOCAL4 = ("169.254.7.7",)
KINDS = ("udp", "tcp", "icmp")


def packet(bed: Bed, kind: str, source: str, target: str, mark: int) -> bytes:
    """The first packet of a flow, with a mark."""
    body = frames.payload(mark)
    match kind:
        case "udp":
            return frames.udp(source, target, bed.ports(mark), body)
        case "tcp":
            return frames.tcp(source, target, bed.ports(mark), SYN, body)
        case _:
            rest = mark.to_bytes(4, "big") + body
            return frames.icmp(source, target, 128 if ":" in target else 8, 0, rest)


def send_as(origin: str, claim: str | tuple[str, ...], *targets: str, by: str = "") -> Shots:
    """Packets of `origin` with the source `claim`, a name or an address of each family.

    `by` is whose MAC they are sent to, where it is not whom the kernel would send them to.
    """

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        source = claim if isinstance(claim, str) else claim[(family == 6) % len(claim)]
        for target in targets:
            for kind in KINDS:
                mark = bed.next_mark()
                ends = bed.address(source, family), bed.address(target, family)
                built = packet(bed, kind, *ends, mark)
                frame = bed.frame(origin, by or target, built)
                yield bed.shot(f"{kind} to {target}", origin, mark, [frame], target)

    return shots


def on_live_flow(origin: str, owner: str, *targets: str) -> Shots:
    """A datagram of `origin` as one of a flow that `owner` has with a target, who has answered."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for target in targets:
            mark = bed.next_mark()
            ports = bed.ports(mark)[0], LIVE_PORT
            bed.talk(owner, target, family, ports)
            ends = bed.address(owner, family), bed.address(target, family)
            built = frames.udp(*ends, ports, frames.payload(mark))
            yield bed.shot(f"to {target}", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def in_answer(origin: str, server: str, *owners: str) -> Shots:
    """A datagram of `origin` as one of the answers of `server` to whom has asked it."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for owner in owners:
            mark = bed.next_mark()
            ports = bed.ports(mark)[0], LIVE_PORT
            bed.talk(owner, server, family, ports)
            ends = bed.address(server, family), bed.address(owner, family)
            built = frames.udp(*ends, ports[::-1], frames.payload(mark))
            yield bed.shot(f"to {owner}", origin, mark, [bed.frame(origin, owner, built)], owner)

    return shots


def from_nobody(origin: str, *targets: str) -> Shots:
    """A datagram from nobody to the port of DHCP, but of one pod instead of everybody."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for target in targets:
            mark = bed.next_mark()
            built = frames.udp("0.0.0.0", bed.address(target, 4), (68, 67), frames.payload(mark))
            yield bed.shot(f"to {target}", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


def from_link_local(origin: str, *targets: str) -> Shots:
    """Packets from a pod's own link-local address, which it may use without any privilege."""

    def shots(bed: Bed, family: int) -> Iterable[Shot]:
        return send_as(origin, bed.link_local(origin), *targets)(bed, family)

    return shots


def to_link_local(origin: str, target: str) -> Shots:
    """Packets between the link-local addresses of two."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for kind in KINDS:
            mark = bed.next_mark()
            there = "fe80::1" if target in NODES else bed.link_local(target)
            built = packet(bed, kind, bed.link_local(origin), there, mark)
            frame = bed.frame(origin, target, built)
            yield bed.shot(f"{kind} to {target}", origin, mark, [frame], target)

    return shots


ATTACKS = (
    # Those that a pod can do without any capability first.
    Attack("from its link-local address to siblings", "pod", from_link_local("e", "s"), "r6 b6", "r6"),
    Attack(
        "from its link-local address to an isolated sibling", "pod", from_link_local("a", "v"), "r6 b6", "r6"
    ),
    Attack("link-local to link-local", "pod", to_link_local("a", "v"), "b6"),
    Attack(
        "link-local to link-local of its node",
        "pod",
        to_link_local("e", "n1"),
        "r6",
        "",
        "r6",
        "link-local-to-node",
    ),
    Attack("link-local to link-local of an isolated pod", "pod", to_link_local("e", "s"), "b6"),
    Attack("an isolated pod as itself", "pod", send_as("e", "e", "s", "m", "outside", "n1")),
    Attack("a pod as itself to isolated ones", "pod", send_as("a", "a", "v", "w")),
    Attack("as a friend to an isolated sibling", "raw", send_as("a", "f", "v")),
    Attack("as a friend by the gateway", "raw", send_as("a", "f", "v", by="outside"), BRIDGED),
    Attack("as a friend to an isolated pod of another node", "raw", send_as("a", "f", "w")),
    Attack("as a friend of another node to an isolated sibling", "raw", send_as("a", "r", "v")),
    Attack("as a sibling to a sibling", "raw", send_as("e", "f", "s")),
    Attack("as a sibling to the outside", "raw", send_as("e", "f", "outside")),
    Attack("as a sibling to a pod of another node", "raw", send_as("e", "s", "m")),
    Attack("as a sibling to its node", "raw", send_as("e", "s", "n1")),
    Attack("as a sibling though nothing denies it more", "raw", send_as("a", "s", "outside", "m", "f", "n1")),
    Attack("as an isolated sibling, to learn its answers", "raw", send_as("a", "v", "outside", "s")),
    Attack("as a pod that is not there", "raw", send_as("e", "unknown", "s", "outside", "m", "n1")),
    Attack("as its own node", "raw", send_as("a", "n1", "v")),
    Attack("as its own node to others", "raw", send_as("e", "n1", "s", "outside", "m")),
    Attack("as its gateway", "raw", send_as("a", "bridge1", "v"), BRIDGED),
    Attack("as its gateway to others", "raw", send_as("e", "bridge1", "s", "outside", "m"), BRIDGED),
    Attack("as another node", "raw", send_as("e", "n2", "s", "outside", "n1")),
    Attack("as a pod of another node", "raw", send_as("e", "m", "s", "outside", "n1")),
    Attack("as loopback", "raw", send_as("e", LOOPBACK, "s"), kernel="r6"),
    Attack("as nobody", "raw", send_as("e", NOBODY, "s"), kernel="r4 r6"),
    Attack("as a friend on a live flow of his", "raw", on_live_flow("a", "f", "v")),
    Attack("as a sibling on a live flow of its", "raw", on_live_flow("e", "f", "outside", "v", "n1")),
    Attack("as a friend of another node on a live flow of his", "raw", on_live_flow("a", "r", "v")),
    Attack("as its node on a live flow of that", "raw", on_live_flow("a", "n1", "v")),
    Attack("as the outside in answer to a pod", "raw", in_answer("e", "outside", "v", "s")),
    Attack("as an isolated pod in answer to its friends", "raw", in_answer("a", "v", "f", "r")),
    Attack("as another node in answer to a pod", "raw", in_answer("e", "n2", "s")),
    Attack("a pod of another node on a live flow", "raw", on_live_flow("m", "f", "v")),
    Attack("a pod of another node on a live flow of its sibling", "raw", on_live_flow("m", "r", "v")),
    Attack("the outside on a live flow of a pod", "outside", on_live_flow("outside", "f", "v")),
    Attack("as nobody to the port of DHCP", "raw", from_nobody("e", "s"), "r4 b4", "r4"),
    Attack("as nobody to the port of DHCP of an isolated pod", "raw", from_nobody("a", "v"), "r4 b4", "r4"),
    Attack("as a Service", "raw", send_as("e", "service s", "f", "outside", "n1")),
    Attack("as a group", "raw", send_as("e", GROUP, "s"), kernel="r4 r6"),
    Attack("as a link-local of IPv4", "raw", send_as("e", LINK_LOCAL4, "s", "outside", "n1"), "r4 b4"),
    Attack("as an IPv4 address in IPv6", "raw", send_as("e", "mapped", "s"), "r6 b6"),
    Attack("a pod of another node as a sibling of its victim", "raw", send_as("m", "f", "v")),
    Attack("a pod of another node as its own sibling", "raw", send_as("m", "r", "v")),
    Attack("the outside as a pod of this node", "outside", send_as("outside", "f", "v")),
    Attack(
        "the outside as a pod of another node",
        "outside",
        send_as("outside", "r", "v"),
        admitted="r4 r6 b4 b6",
        because="underlay",
    ),
    Attack(
        "root of another node as its pod",
        "node",
        send_as("n2", "r", "v"),
        admitted="r4 r6 b4 b6",
        because="underlay",
    ),
)
