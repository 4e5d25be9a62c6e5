"""Where the packets of this node's pods can be judged, found from its links and routes. Pure.

A pod is behind a link of its own, on a bridge, or beside what the node sees. The names by which interfaces
of pods that are still unknown are told apart come from those of the known ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from policyd.netlink.links import Link, Way

#: `link`: an interface of the pod's own, routed. `bridge`: a port of a bridge. `beside`: the node's stack
#: does not see its packets, as with macvlan, ipvlan, netkit, or another node's address.
Kind: TypeAlias = Literal["link", "bridge", "beside"]
#: Kinds of links whose packets come by the hooks of IP.
SEEN_KINDS = frozenset({"veth", "bridge", "tun"})
#: How networks begin the names of pods' interfaces: Calico, Weave Net, Cilium, AWS, Azure, GKE, all others.
_PREFIXES = ("cali", "vethwepl", "lxc", "eni", "azv", "gke", "veth", "tap")
#: What follows is a number, or a part of a hash.
_COUNTED = re.compile(r"(.*?[^0-9])[0-9]+|(.*?[^0-9a-f])[0-9a-f]+", re.ASCII)
#: A shorter prefix would take in others' interfaces.
_LEAST = 3
#: Nor these, which are the node's own.
_UPLINKS = ("eth", "ens", "enp", "eno", "bond", "wlan")


@dataclass(frozen=True, slots=True)
class Placement:
    """How a pod hangs on its node; `interface` is the node's link that leads to it, empty where none does."""

    kind: Kind
    interface: str = ""


def place(links: Iterable[Link], ways: Mapping[str, Way]) -> dict[str, Placement]:
    """The placement of each address of a pod that is reached, but by a link that has just gone."""
    by_index = {link.index: link for link in links}
    reached = {address: way for address, way in ways.items() if way.gateway or way.link in by_index}
    return {address: _place(by_index.get(way.link), way) for address, way in reached.items()}


def _place(link: Link | None, way: Way) -> Placement:
    if way.gateway or link is None:
        return Placement("beside")
    if link.kind not in SEEN_KINDS:
        return Placement("beside", link.name)
    return Placement("bridge" if link.kind == "bridge" else "link", link.name)


def uncovered(placements: Iterable[Placement], names: Collection[str]) -> tuple[str, ...]:
    """Interfaces of pods that none of these names or patterns is about, sorted.

    A bridge counts as covered: from its first known pod on it is closed to unknown ones.
    """
    own = {found.interface for found in placements if found.kind == "link"}
    return tuple(sorted(name for name in own if not any(fnmatchcase(name, pattern) for pattern in names)))


def patterns(names: Iterable[str]) -> tuple[str, ...]:
    """The shortest list of patterns that are about these interfaces of pods, and about the next ones."""
    return tuple(sorted({_pattern(name) for name in names}))


def _pattern(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return f"{prefix}*"
    found = _COUNTED.fullmatch(name)
    begin = (found[1] or found[2]) if found else ""
    return f"{begin}*" if len(begin) >= _LEAST and begin not in _UPLINKS else name
