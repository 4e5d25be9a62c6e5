"""Which interface of this node leads to which pod, and which ports of bridges lead to none. Pure.

Three sources, the most trustworthy first: what the runtime's network plugin wrote (libcni's result, by the
pod's uid), this node's routes (a host route over a veth), and what the other ends of veths say of themselves.
The last is what a pod with CAP_NET_ADMIN can change: it binds a pod only where no other reading is possible,
and never takes an interface from the pod that had it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from policyd.cluster.attachments import Attachments
from policyd.netlink.links import Link, Way
from policyd.netlink.peers import Peer
from policyd_compiler.ir import Attachment
from policyd_compiler.options import interface_mistake

#: An address: its family, and itself as a number.
Address = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hint:
    """A pod's addresses as numbers, as its network plugin gave them.

    `interfaces` are those of the node that it names, a bridge among them; `mac` is the pod's end's, if named.
    `netns`: the path of the pod's network namespace.
    """

    uid: str
    v4: int | None
    v6: int | None
    interfaces: tuple[str, ...] = ()
    mac: int | None = None
    netns: str = ""


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A pod of this node: `namespace/name`, its addresses, and what its libcni result says besides."""

    key: str
    addresses: frozenset[Address]
    interfaces: tuple[str, ...] = ()
    mac: int | None = None
    netns: str = ""


@dataclass(frozen=True, slots=True)
class KnownPod:
    """A pod of this node: its uid and addresses, and the interface that they are bound to, if any.

    `netns`: the path of its network namespace, where that is known.
    """

    uid: str
    addresses: frozenset[Address]
    interface: str | None = None
    netns: str = ""


#: This node's pods that have a network of their own, by `namespace/name`.
KnownPods: TypeAlias = Mapping[str, KnownPod]


@dataclass(frozen=True, slots=True)
class Network:
    """One reading of this node's links: `ways` by address, `peers` by the index of the node's end."""

    links: tuple[Link, ...]
    ways: Mapping[Address, Way] = field(default_factory=dict)
    peers: Mapping[int, Peer] = field(default_factory=dict)


def attach(pods: Sequence[LocalPod], network: Network, before: Attachments) -> Attachments:
    """Every pod's interface as far as it is known, and the ports of bridges that lead to no pod (NP-162)."""
    by_index = {link.index: link for link in network.links}
    by_name = {link.name: link for link in network.links if is_usable(link.name)}
    bridges = {link.index for link in network.links if link.kind == "bridge"}
    ends = {name: link for name, link in by_name.items() if link.index not in bridges}
    found: dict[str, Link] = {}
    for pod in pods:
        link = _by_result(pod, ends) or _by_route(pod, network, by_index, ends)
        if link is not None:
            found[pod.key] = link
    taken = {link.index for link in found.values()}
    rest = [pod for pod in pods if pod.key not in found]
    found |= _by_peer(rest, {i: p for i, p in network.peers.items() if i not in taken}, by_index, before)
    hanging = {link.master for link in found.values() if link.master in bridges}
    local = {address for pod in pods for address in pod.addresses}
    hanging |= {way.link for a, way in network.ways.items() if way.link in bridges and a in local}
    attached = {link.index for link in found.values()}
    on_bridges = [link for link in ends.values() if link.master in bridges]
    # Without another namespace at its other end a port leads to a network, not to a pod.
    ports = {
        link.name
        for link in on_bridges
        if link.index in attached
        or (link.master in hanging and link.kind == "veth" and link.netns is not None)
    }
    return Attachments(
        {
            pod.key: _attachment(pod, found[pod.key], by_index, network, before.pods.get(pod.key))
            for pod in pods
            if pod.key in found
        },
        tuple(sorted(by_index[index].name for index in hanging if by_index[index].name in by_name)),
        tuple(sorted(ports)),
        tuple(sorted({link.name for link in on_bridges} - ports)),
        tuple(sorted({link.tunnel for link in network.links if link.tunnel})),
        _shared(hanging, ports, on_bridges, by_index),
    )


def _shared(
    hanging: Iterable[int], ports: Collection[str], on_bridges: Iterable[Link], by_index: Mapping[int, Link]
) -> tuple[str, ...]:
    """The bridges of pods that have a port to elsewhere: pods of other nodes may be on the same link."""
    others = {link.master for link in on_bridges if link.name not in ports}
    return tuple(sorted(by_index[bridge].name for bridge in others.intersection(hanging)))


def is_usable(name: str) -> bool:
    """Whether nft can be given the name; the kernel allows others, but no network plugin makes them."""
    return interface_mistake(name) is None and not name.endswith("*")


def _by_result(pod: LocalPod, ends: Mapping[str, Link]) -> Link | None:
    """The one interface of the node that the plugin's result names, bridges aside."""
    named = {name for name in pod.interfaces if name in ends}
    return ends[named.pop()] if len(named) == 1 else None


def _by_route(
    pod: LocalPod, network: Network, by_index: Mapping[int, Link], ends: Mapping[str, Link]
) -> Link | None:
    """The veth by which all routes to the pod leave; none where they lead to a bridge or a gateway."""
    ways = [network.ways[address] for address in pod.addresses if address in network.ways]
    links = {way.link for way in ways}
    if len(links) != 1 or any(way.gateway for way in ways):
        return None
    link = by_index.get(links.pop())
    # Without a peer of its own a link leads to many, as hardware and tunnels do.
    return link if link is not None and link.name in ends and link.netns is not None else None


def _by_peer(
    pods: Sequence[LocalPod], peers: Mapping[int, Peer], by_index: Mapping[int, Link], before: Attachments
) -> dict[str, Link]:
    """Interfaces whose other ends have these pods' addresses, where only one reading is possible.

    A pod keeps the interface that it had. Then a pod with one candidate gets it, until nothing changes: a pod
    that gave itself a sibling's address besides its own is known by its own, and the sibling by what is left.
    """
    found: dict[str, Link] = {}
    open_links = {index for index in peers if index in by_index and is_usable(by_index[index].name)}
    candidates = {
        pod.key: {index for index in open_links if pod.addresses & peers[index].addresses} for pod in pods
    }
    held = {by_index[index].name: index for index in open_links}
    for pod in pods:
        known = before.pods.get(pod.key)
        index = held.pop(known.interface, None) if known is not None else None
        if index is not None:
            found[pod.key] = by_index[index]
            open_links.discard(index)
    progress = True
    while progress:
        progress = False
        for key, indexes in candidates.items():
            left = indexes & open_links
            if key not in found and len(left) == 1:
                [index] = left
                rivals = [k for k, c in candidates.items() if k not in found and c & open_links == {index}]
                if rivals == [key]:
                    found[key] = by_index[index]
                    open_links.discard(index)
                    progress = True
    return found


def _attachment(
    pod: LocalPod, link: Link, by_index: Mapping[int, Link], network: Network, before: Attachment | None
) -> Attachment:
    master = by_index.get(link.master)
    bridge = master.name if master is not None and master.kind == "bridge" else ""
    peer = network.peers.get(link.index)
    # What a pod's end said first counts: it may take a sibling's hardware address later.
    known = before.mac if before is not None and before.interface == link.name else None
    said = known if known is not None or peer is None else peer.mac
    return Attachment(link.name, bridge, said if pod.mac is None else pod.mac)
