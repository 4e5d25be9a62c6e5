"""Facts of a node that does not exist."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.netlink.links import Link, Way
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6, Connections, Facts

BRIDGE = Link(1, "cni0", "bridge")
PORTS = (Link(2, "veth1", "veth", master=1), Link(3, "veth2", "veth", master=1))
ROUTED = Link(4, "cali1", "veth")
UPLINK = Link(5, "eth0")
ON = {FORWARD4: "1", FORWARD6: "1", BRIDGE4: "1", BRIDGE6: "1"}


def facts(
    ways: dict[str, Way], links: Sequence[Link] = (BRIDGE, *PORTS, ROUTED, UPLINK), **sysctls: str | None
) -> Facts:
    """A node on which all is well but what is given; `bridge4="0"` and the like are sysctls."""
    names = {"forward4": FORWARD4, "forward6": FORWARD6, "bridge4": BRIDGE4, "bridge6": BRIDGE6}
    return Facts(
        sysctls={**ON, **{names[key]: value for key, value in sysctls.items()}},
        links=tuple(links),
        addresses=tuple(ways),
        ways=ways,
        programmed=frozenset(),
        tables=(),
        flowtables=(),
        engines={},
        connections=Connections(0, 1000),
        seen={},
    )
