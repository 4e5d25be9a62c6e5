"""Whether packets of pods take a way past netfilter, by what their interfaces received and what it saw. Pure.

An eBPF program on a pod's interface can hand packets to another one before IP, and so every hook, meets them.
How many there are the interface knows; how many reached the first hook, a witness does (node/witness.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.netlink.links import Link
from policyd.node.facts import Facts

#: Links that eBPF networks make, and which network that is.
EBPF_LINKS = {"cilium_host": "Cilium", "cilium_net": "Cilium", "bpfin.cali": "Calico's eBPF"}
#: Packets of one interface below which nothing is concluded, and the share of them that nobody saw: ARP and
#: the like no hook of IP sees, but a pod sends few of them.
ENOUGH, SHARE = 20, 4

#: `unknown`: too little was sent to tell.
Sight: TypeAlias = Literal["unknown", "seeing", "blind"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out, and for the interface that shows it best: packets sent, and those seen."""

    sight: Sight
    link: str = ""
    sent: int = 0
    seen: int = 0


def network_of(links: Iterable[Link]) -> str:
    """The eBPF network of the node that has these links; empty if none is known."""
    return next((EBPF_LINKS[link.name] for link in links if link.name in EBPF_LINKS), "")


def pass_by(facts: Facts) -> tuple[Link, ...]:
    """The interfaces of pods on which an eBPF program may be the first to meet packets.

    With a network known to do so these are all whose other end is in a pod: its routes need not lead to them.
    """
    network = network_of(facts.links)
    reached = {way.link for way in facts.ways.values() if not way.gateway}
    return tuple(
        link
        for link in facts.links
        if link.kind == "veth"
        and not link.master
        and (
            (network and link.netns is not None) or (link.index in reached and link.index in facts.programmed)
        )
    )


def measure(looks: Sequence[Facts]) -> Measured:
    """Compare what these interfaces received since the first look that has a witness with what it saw."""
    with_witness = [look for look in looks if look.seen is not None]
    if len(with_witness) < 2:
        return Measured("unknown")
    first, now = with_witness[0], with_witness[-1]
    before = {link.index: link.received for link in first.links}
    best = Measured("unknown")
    for link in pass_by(now):
        sent = link.received - before.get(link.index, link.received)
        seen = min(sent, _seen(now, link) - _seen(first, link))
        if sent < ENOUGH:
            continue
        if sent - seen >= ENOUGH and (sent - seen) * SHARE >= sent:
            return Measured("blind", link.name, sent, seen)
        if sent > best.sent:
            best = Measured("seeing", link.name, sent, seen)
    return best


def _seen(facts: Facts, link: Link) -> int:
    return (facts.seen or {}).get(link.name, 0)
