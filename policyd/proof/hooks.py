"""What each hook must do with a packet before, beside and behind the policies: docs/semantics.md and
docs/security.md as rules over boxes, in their own words and order. The ruleset is held to these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from policyd.proof.cluster import FAMILIES, Cluster, Direction
from policyd.proof.space import (
    ASKED,
    DESTINATIONS,
    FROM_NODE,
    HOPS,
    ICMP,
    OPENS,
    PAIR,
    RECEIVER,
    SENDER,
    STATE,
    STATES,
    STATUS,
    TO,
    Condition,
    Space,
)
from policyd.proof.walk import OPEN, Step, Walked, Wanted, accept, drop
from policyd_compiler.nft.keys import Family
from policyd_compiler.options import Options

#: What policies are asked for; a stray is asked as the answer that it may be, too (NP-165).
EGRESS, INGRESS = "egress", "ingress"
EGRESS_ANSWERS, INGRESS_ANSWERS = "egress of the receiver, answered", "ingress of the sender, answered"

#: (network, prefix length)
LINK_LOCAL = (0xFE80 << 112, 10)
GROUPS: Mapping[Family, tuple[int, int]] = {4: (0xE000_0000, 4), 6: (0xFF00 << 112, 8)}
NOWHERE: Mapping[Family, tuple[int, int]] = {4: (0, 32), 6: (0, 128)}
LOOPBACK = (127 << 24, 8)
DHCP_SERVER = 67
#: VXLAN, Geneve, Weave Net, Flannel's VXLAN, WireGuard (NP-163); and what tunnels without ports.
TUNNEL_PORTS = (4789, 6081, 6784, 8472, 51820, 51821)
TUNNELS = (4, 41, 47)
IGMP, ICMP4, ICMP6 = 2, 1, 58

RETURN = Step("return")

_ITSELF = accept("NP-096: a pod that reaches itself through its Service")
_LINK = accept("NP-083: it belongs to the link")
_SPOOFED = drop("NP-145: it was forwarded, with an address of this node as its source")
_ERROR = accept("NP-086: an ICMP error about a connection that was let in")
_FOREIGN = drop("NP-162: a pod's address, not from its interface")
_TUNNEL = drop("NP-163: a tunnel of a node")
_UNKNOWN = drop("NP-107: a pod that is not known")
_UNHEARD = drop("NP-161: nobody knows which pods hear it")


@dataclass
class Scene:
    """What hooks depend on beside addresses.

    `restricts`: some pod of the node is closed to somebody for ingress; `plainly_open`: none is, and for each
    a rule alone says so. Both are found out when addresses are cut.
    """

    cluster: Cluster
    options: Options
    restricts: bool = False
    plainly_open: bool = False

    @cached_property
    def bound(self) -> Mapping[Family, tuple[tuple[str, int], ...]]:
        """The interfaces by which packets with a pod's address come, each with the address (NP-162)."""
        return {
            family: tuple(
                (bridge or interface, address)
                for address, links in self.cluster.attached[family].items()
                for interface, bridge in links
            )
            for family in FAMILIES
        }

    @cached_property
    def of_pods(self) -> tuple[str, ...]:
        """The interfaces that lead to pods, some with a `*` behind them."""
        own = {name for pairs in self.bound.values() for name, _ in pairs}
        return tuple(sorted({*own, *self.cluster.state.attachments.bridges, *self.options.pod_interfaces}))

    @cached_property
    def of_one_pod(self) -> tuple[str, ...]:
        """The interfaces that lead to one pod each."""
        every = (link for of in self.cluster.attached.values() for links in of.values() for link in links)
        return tuple(sorted({interface for interface, bridge in every if not bridge}))

    @property
    def bridged(self) -> bool:
        return bool(self.cluster.state.attachments.bridges)

    @property
    def tunnel_ports(self) -> tuple[int, ...]:
        return tuple(sorted({*TUNNEL_PORTS, *self.cluster.state.attachments.tunnels}))

    @property
    def isolated_for_ingress(self) -> bool:
        """Whether any pod of the node is under a policy for ingress."""
        return any(of for (direction, _), of in self.cluster.isolated.items() if direction == "ingress")

    @property
    def governs(self) -> bool:
        """Whether any pod of the node is under any policy."""
        return any(self.cluster.isolated.values())


@dataclass(frozen=True)
class Expected:
    """What is expected of the hooks, for packets of one family."""

    space: Space
    scene: Scene

    def rules(self, name: str) -> tuple[Walked, ...]:
        """The rules of a hook, or of what it refers to."""
        return self._chains[name]

    @cached_property
    def _chains(self) -> Mapping[str, tuple[Walked, ...]]:
        chains = {
            "forward": self._forward(),
            "input": self._input(),
            "output": self._output(),
            "link": self._link(),
            "sent": self._sent(),
            "sent to the node": self._sent_to_node(),
            "received": self._received(),
            "stray": self._stray(),
            "not new": self._not_new("sent"),
            "not new to the node": self._not_new("sent to the node"),
            "not new of the node": self._not_new(""),
        }
        return {
            name: tuple(Walked(number, conditions, step) for number, (conditions, step) in enumerate(rules))
            for name, rules in chains.items()
        }

    # --- hooks -----------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[Wanted]:
        scene = self.scene
        yield from self._forged(())
        yield (self._state("established"),), accept("it belongs to a connection that was let in")
        if scene.governs or scene.of_pods:
            yield (self._not(STATE, self._state("new")),), Step("jump", "not new")
            yield self._middle, Step("jump", "stray")
        yield (self._pods(SENDER),), Step("jump", "sent")
        yield (self._pods(RECEIVER),), Step("jump", "received")
        yield ((STATUS, 2), self._itself), _ITSELF
        yield self._ask(SENDER, EGRESS)
        yield self._ask(RECEIVER, INGRESS, last=True)
        yield ((FROM_NODE, 2),), _SPOOFED

    def _input(self) -> Iterator[Wanted]:
        beyond = {4: (NOWHERE[4],), 6: (LINK_LOCAL, NOWHERE[6])}[self.space.family]
        yield from self._forged(beyond)
        yield (self._state("established"),), accept("it belongs to a connection that was let in")
        yield (self._not(STATE, self._state("new")),), Step("jump", "not new to the node")
        yield (self._pods(SENDER),), Step("jump", "sent to the node")
        if self.scene.options.node_egress == "enforce":
            yield self._ask(SENDER, EGRESS)

    def _output(self) -> Iterator[Wanted]:
        yield (self._state("established"),), accept("it belongs to a connection that was let in")
        own = ((FROM_NODE, 2),), accept("NP-090: the node reaches its own pods")
        exempt = self.scene.options.node_egress != "enforce"
        if exempt:
            yield own
        yield (self._not(STATE, self._state("new")),), Step("jump", "not new of the node")
        yield self._middle, Step("jump", "stray")
        if not exempt:
            yield own
        yield (self._itself,), _ITSELF
        yield self._ask(SENDER, EGRESS)
        yield self._ask(RECEIVER, INGRESS, last=True)

    # --- parts -----------------------------------------------------------------------------------------

    def _forged(self, beyond: tuple[tuple[int, int], ...]) -> Iterator[Wanted]:
        """A pod's address comes from its interface, and from a pod's own nothing else (NP-162)."""
        space, scene, family = self.space, self.scene, self.space.family
        bound = space.bound(scene.bound[family])
        odd = space.named(scene.of_one_pod) & ~bound
        for prefix in beyond:
            odd &= ~space.prefix(*prefix)
        yield ((SENDER, odd),), drop("NP-162: not an address of the pod whose interface it is")
        yield ((SENDER, space.single(scene.cluster.attached[family]) & ~bound),), _FOREIGN

    def _link(self) -> Iterator[Wanted]:
        """What belongs to a pod's own link passes (NP-083, NP-164)."""
        if self.space.family == 4:
            return
        unrouted = (HOPS, 1 << 255)
        yield (*self._icmp(133, 135, 136), unrouted), _LINK
        yield (*self._icmp(134, 137), self._pods(SENDER)), drop("NP-164: a pod is no router")
        yield (*self._icmp(134, 137), unrouted), _LINK
        sources = self.space.prefix(*LINK_LOCAL) | self.space.prefix(*NOWHERE[6])
        groups = (RECEIVER, self.space.prefix(*GROUPS[6]))
        yield (*self._icmp(130, 131, 132, 143), (SENDER, sources), groups), _LINK

    def _not_new(self, sent: str) -> Iterator[Wanted]:
        yield (), Step("jump", "link")
        if sent:
            yield (self._pods(SENDER),), Step("jump", sent)
        if sent == "sent":
            yield ((FROM_NODE, 2),), _SPOOFED
        errors = self.space.asked.of(ICMP4) | self.space.asked.of(ICMP6)
        yield (self._state("related"), (ASKED, errors)), _ERROR
        if sent != "sent to the node":
            yield (self._state("invalid"),), Step("jump", "stray")

    def _stray(self) -> Iterator[Wanted]:
        """Passes if it would be allowed as an answer, too (NP-165)."""
        yield self._ask(SENDER, INGRESS_ANSWERS)
        yield self._ask(RECEIVER, EGRESS_ANSWERS)

    def _sent(self) -> Iterator[Wanted]:
        """What pods send on."""
        space, scene = self.space, self.scene
        nodes = tuple(scene.cluster.nodes[space.family])
        if scene.options.pod_tunnels == "drop":
            yield ((RECEIVER, space.single(nodes)), (ASKED, self._tunnels)), _TUNNEL
        if scene.bridged:  # judged for each who hears it, by another table
            if space.family == 6:
                sender, receiver = space.prefix(*LINK_LOCAL), space.prefix(*GROUPS[6])
                yield ((SENDER, sender), (RECEIVER, receiver)), RETURN
            yield from self._dhcp()
        if scene.options.pod_interfaces:
            yield ((SENDER, space.full[SENDER] & ~self._known & ~self._shared),), _UNKNOWN

    def _sent_to_node(self) -> Iterator[Wanted]:
        """What pods send to their node (NP-151, NP-162)."""
        space, scene = self.space, self.scene
        if scene.options.pod_tunnels == "drop":
            yield ((ASKED, self._tunnels),), _TUNNEL
        if space.family == 4:
            yield ((RECEIVER, space.prefix(*LOOPBACK)),), drop("the node's loopback is not for pods")
        yield from self._dhcp()
        on_link = space.prefix(*LINK_LOCAL) if space.family == 6 else 0
        if scene.options.pod_interfaces:
            yield ((SENDER, space.full[SENDER] & ~self._known & ~on_link & ~self._shared),), _UNKNOWN
        bound = space.bound(scene.bound[space.family])
        yield ((SENDER, space.named(scene.of_one_pod) & ~bound & ~on_link),), _FOREIGN

    def _received(self) -> Iterator[Wanted]:
        """What is sent to unknown pods, and to groups of unknown hearers (NP-107, NP-161)."""
        space, scene = self.space, self.scene
        if not scene.options.pod_interfaces:
            return
        groups = space.prefix(*GROUPS[space.family])
        others = space.asked.full & ~(space.asked.of(IGMP) if space.family == 4 else 0)
        if not scene.bridged and scene.isolated_for_ingress and not scene.plainly_open:
            # Where policies close nothing, and only all their rules together say so, either is right.
            yield ((RECEIVER, groups), (ASKED, others)), _UNHEARD if scene.restricts else OPEN
        to_all = space.full[TO]
        if scene.bridged and space.family == 4:
            to_all &= ~(1 << DESTINATIONS.index("broadcast"))
        unknown = space.full[RECEIVER] & ~self._known & ~groups & ~self._shared
        yield ((RECEIVER, unknown), (TO, to_all)), _UNKNOWN

    def _dhcp(self) -> Iterator[Wanted]:
        if self.space.family == 4:
            asked = self.space.asked
            server = asked.of(17, asked.ports.mask(((DHCP_SERVER, DHCP_SERVER),)))
            yield ((SENDER, self.space.prefix(*NOWHERE[4])), (ASKED, server)), RETURN

    # --- conditions ------------------------------------------------------------------------------------

    def _state(self, name: str) -> Condition:
        return STATE, 1 << STATES.index(name)

    def _not(self, side: int, condition: Condition) -> Condition:
        return side, self.space.full[side] & ~condition[1]

    def _pods(self, side: int) -> Condition:
        """By an interface that leads to pods."""
        return side, self.space.named(self.scene.of_pods)

    def _icmp(self, *types: int) -> tuple[Condition, Condition]:
        return (ASKED, self.space.asked.of(ICMP6)), (ICMP, sum(1 << number for number in types))

    @cached_property
    def _middle(self) -> tuple[Condition, ...]:
        """A segment of TCP that opens no connection, of one that is not known (NP-122)."""
        return (ASKED, self.space.asked.of(6)), (OPENS, 2), self._state("new")

    @cached_property
    def _tunnels(self) -> int:
        asked = self.space.asked
        ports = asked.ports.mask((port, port) for port in self.scene.tunnel_ports)
        return asked.of(17, ports) | sum(asked.of(protocol) for protocol in TUNNELS)

    @property
    def _shared(self) -> int:
        """By a bridge by which pods of other nodes are reached, too."""
        return self.space.named(self.scene.cluster.state.attachments.shared)

    @cached_property
    def _known(self) -> int:
        """The addresses of the node's own pods."""
        return self.space.single(self.scene.cluster.local[self.space.family])

    @property
    def _itself(self) -> Condition:
        """A pod under any policy that reaches itself through its Service (NP-096)."""
        return PAIR, self.space.pair_of(itself(self.scene, self.space.family))

    def _ask(self, side: int, kind: str, *, last: bool = False) -> Wanted:
        """Who is isolated is asked what policies say."""
        direction: Direction = "egress" if kind in (EGRESS, EGRESS_ANSWERS) else "ingress"
        addresses = self.scene.cluster.isolated[direction, self.space.family]
        return ((side, self.space.single(addresses)),), Step("ask", kind, last=last)


def itself(scene: Scene, family: Family) -> frozenset[object]:
    """The pairs of equal addresses that hairpins are known by."""
    if scene.options.hairpin != "allow":
        return frozenset()
    isolated = {a for (_, of), addresses in scene.cluster.isolated.items() if of == family for a in addresses}
    return frozenset((address, address) for address in isolated)
