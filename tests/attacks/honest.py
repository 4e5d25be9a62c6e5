"""What must pass while attacks do not: every pod as itself, Services, the link's own business."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.attacks import frames, groups, link, underlay
from tests.attacks.attack import BRIDGED, Honest, Shots
from tests.attacks.bed import Bed, Shot
from tests.attacks.groups import dhcp, igmp
from tests.attacks.link import together
from tests.attacks.protocols import fragmented, protocols
from tests.attacks.sources import KINDS, packet, send_as


def through_service(origin: str, service: str) -> Shots:
    """To the address of a Service with one backend, which may be the sender itself."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for kind in ("udp", "tcp"):
            mark = bed.next_mark()
            built = packet(
                bed, kind, bed.address(origin, family), bed.address(f"service {service}", family), mark
            )
            yield bed.shot(kind, origin, mark, [bed.frame(origin, "outside", built)], service)

    return shots


def of_node(node: str, *targets: str) -> Shots:
    """What a process of the node sends, as kubelet's probes do."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        for target in targets:
            for kind in KINDS:
                mark = bed.next_mark()
                built = packet(bed, kind, bed.address(node, family), bed.address(target, family), mark)
                yield Shot(f"{kind} to {target}", mark, (target,), partial(bed.emit, node, built))

    return shots


def answered(origin: str, target: str) -> Shots:
    """What a pod sends back to an isolated one that has spoken first."""

    def shots(bed: Bed, family: int) -> Iterator[Shot]:
        mark = bed.next_mark()
        ports = bed.ports(mark)
        bed.talk(target, origin, family, ports)
        ends = bed.address(origin, family), bed.address(target, family)
        built = frames.udp(*ends, ports[::-1], frames.payload(mark))
        yield bed.shot("udp", origin, mark, [bed.frame(origin, target, built)], target)

    return shots


HONEST = (
    Honest("answers to an isolated pod", together(answered("a", "v"), answered("m", "v"))),
    Honest(
        "a pod as itself", together(send_as("a", "a", "s", "f", "m", "outside", "n1"), send_as("s", "s", "a"))
    ),
    Honest("the friends of an isolated pod", together(send_as("f", "f", "v", "w"), send_as("r", "r", "v"))),
    Honest(
        "an isolated pod in its free direction",
        together(send_as("v", "v", "a", "m", "outside", "n1"), send_as("a", "a", "e")),
    ),
    Honest(
        "the outside and other nodes",
        together(send_as("outside", "outside", "s"), send_as("m", "m", "a"), send_as("n2", "n2", "s")),
    ),
    Honest("other protocols between free pods", protocols("a", "s")),
    Honest("fragments of a friend", together(fragmented("f", "v"), fragmented("a", "outside"))),
    Honest("a Service", together(through_service("a", "s"), through_service("f", "s"))),
    Honest("itself through its Service", through_service("a", "a")),
    Honest("its node reaches a pod", of_node("n1", "v", "a", "e")),
    Honest("its bridge reaches a pod", send_as("bridge1", "bridge1", "v", "a"), BRIDGED),
    Honest("DHCP", together(dhcp("a", "n1")), "r4 b4"),
    Honest("reports of IGMP", together(igmp("a", "s", "bridge1"), igmp("e", "bridge1")), "b4"),
    *groups.HONEST,
    *link.HONEST,
    *underlay.HONEST,
)
