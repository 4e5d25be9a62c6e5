"""Who a packet may come from, and go to, by the interfaces of pods: whatever policies say.

The address of a pod whose interface is known is taken from that interface only (NP-162). Unknown pods of this
node are closed where interfaces are named (NP-107, decisions 4). Nodes' tunnels are closed to pods (NP-163).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policyd_compiler.ir import Attachment, Endpoint, Snapshot, addresses_of, restricts
from policyd_compiler.lower.link import LINK_LOCAL6, LOOPBACK4, MULTICAST4, MULTICAST6, NOWHERE4, NOWHERE6
from policyd_compiler.lower.objects import Objects
from policyd_compiler.nft.ast import Drop, Jump, Return, Rule
from policyd_compiler.nft.expressions import (
    Field,
    InSet,
    Match,
    Prefix,
    Word,
    address_field,
    interface_field,
    numbers,
)
from policyd_compiler.nft.keys import FAMILIES, FROM, Family, KeyType
from policyd_compiler.options import Options, covering

#: UDP: VXLAN as registered and as Linux first had it, Geneve, Weave Net, WireGuard as Flannel and Calico
#: have it.
TUNNEL_PORTS = (4789, 6081, 6784, 8472, 51820, 51821)
#: IPv4 and IPv6 in IP, GRE.
_TUNNELS = Match(Field.META_L4PROTO, numbers(4, 41, 47))
_IGMP = numbers(2)
_DHCP_SERVER = numbers(67)
_SENT, _RECEIVED = "from an interface of a pod", "to an interface of a pod"


@dataclass(frozen=True, slots=True)
class Guard:
    """Rules about what pods send on, what they send to the node, and what is sent to them.

    `forged` and `forged_to_node` are about every packet that is sent on, or to the node, also of known
    connections: who knows the ports of one could speak in it.
    `of_pods` holds for what comes from an interface of a pod; empty where no interface is known.
    """

    forged: tuple[Rule, ...] = ()
    forged_to_node: tuple[Rule, ...] = ()
    sends: tuple[Rule, ...] = ()
    sends_to_node: tuple[Rule, ...] = ()
    receives: tuple[Rule, ...] = ()
    of_pods: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the rules depend on. `attached` pods have a known interface, `loose` ones an address alone.

    `bound`: what several rules ask, as it was made for the first of them.
    """

    snapshot: Snapshot
    options: Options
    objects: Objects
    attached: tuple[Endpoint, ...]
    loose: tuple[Endpoint, ...]
    bound: dict[Family, Match] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether unknown pods are closed."""
        return bool(self.options.pod_interfaces)

    @property
    def bridged(self) -> bool:
        """Whether a table in family bridge judges who hears what, port by port."""
        return bool(self.snapshot.network.bridges)

    def tunnels(self) -> tuple[Match, ...]:
        """What is a tunnel (NP-163); nothing where pods may use them."""
        if self.options.pod_tunnels != "drop":
            return ()
        ports = sorted({*TUNNEL_PORTS, *self.snapshot.network.tunnel_ports})
        return Match(Field.UDP_DPORT, numbers(*ports)), _TUNNELS

    def not_in(self, field: Field, prefix: str, endpoints: Iterable[Endpoint], family: Family) -> Match:
        """The address on that side is none of these pods', of whom there may be none."""
        name = self.objects.add_host_set(f"{prefix}{family}", family, addresses_of(endpoints, family))
        return Match(field, InSet(name), negated=True)

    def unless_shared(self, field: Field) -> tuple[Match, ...]:
        """Not by a bridge with pods of other nodes behind it: there family bridge guards each port."""
        names = self.snapshot.network.shared
        if not names:
            return ()
        shared = self.objects.add_set("shared", KeyType.IFNAME, names)
        return (Match(field, InSet(shared), negated=True),)

    def unbound(self, family: Family) -> Match:
        """The source is not bound to the interface that the packet came by."""
        if family not in self.bound:
            self.bound[family] = self._make_unbound(family)
        return self.bound[family]

    def _make_unbound(self, family: Family) -> Match:
        pairs = {
            (interface_of(attachment), address)
            for endpoint in self.attached
            for attachment in endpoint.attachments
            if (address := endpoint.host.address(family)) is not None
        }
        name = self.objects.add_set(f"bound{family}", FROM[family], tuple(sorted(pairs)))
        return Match(interface_field(family, "saddr"), InSet(name), negated=True)


def interface_of(attachment: Attachment) -> str:
    """The interface by which the hooks of IP see the pod's packets come in."""
    return attachment.bridge or attachment.interface


def lower_guard(snapshot: Snapshot, options: Options, objects: Objects) -> Guard:
    """Make the guard of one node, with its sets and chains."""
    attached = tuple(endpoint for endpoint in snapshot.endpoints if endpoint.attachments)
    loose = tuple(endpoint for endpoint in snapshot.endpoints if not endpoint.attachments)
    scene = _Scene(snapshot, options, objects, attached, loose)
    own = {interface_of(attachment) for endpoint in attached for attachment in endpoint.attachments}
    names = covering((*options.pod_interfaces, *own, *snapshot.network.bridges))
    if not names:
        return Guard()
    of_pods = InSet(objects.add_interface_set("pod-interfaces", names))
    coming, going = Match(Field.IIFNAME, of_pods), Match(Field.OIFNAME, of_pods)
    elsewhere = tuple(_taken(scene))
    sends = objects.add_chain("from-pods", "", tuple(_sends(scene)), (_SENT,))
    to_node = objects.add_chain("from-pods-to-node", "", tuple(_sends_to_node(scene)), (_SENT,))
    receives = tuple(_receives(scene))
    return Guard(
        (*_of_others(scene, "from-links", {}), *elsewhere),
        (*_of_others(scene, "from-links-to-node", _ON_THE_LINK), *elsewhere),
        (Rule(Jump(sends), (coming,)),),
        (Rule(Jump(to_node), (coming,)),),
        (Rule(Jump(objects.add_chain("to-pods", "", receives, (_RECEIVED,))), (going,)),) if receives else (),
        (coming,),
    )


#: Sources that are nobody's, with which a pod may speak to its own node (NP-151, NP-162).
_ON_THE_LINK: Mapping[Family, tuple[tuple[int, int], ...]] = {4: (NOWHERE4,), 6: (LINK_LOCAL6, NOWHERE6)}


def _of_others(
    scene: _Scene, prefix: str, exempt: Mapping[Family, tuple[tuple[int, int], ...]]
) -> Iterator[Rule]:
    """Anything but the pod's own address, from an interface that leads to one pod alone."""
    names = _links(scene)
    if not names:
        return
    rules = []
    for family in FAMILIES:
        source = address_field(family, "saddr")
        beyond = (Match(source, Prefix(*own), negated=True) for own in exempt.get(family, ()))
        rules.append(Rule(Drop(), (scene.unbound(family), *beyond)))
    # One question of the interface for both families: every packet is asked.
    links = Match(Field.IIFNAME, InSet(scene.objects.add_set("pod-links", KeyType.IFNAME, names)))
    note = "not the address of the pod that sends"
    yield Rule(Jump(scene.objects.add_chain(prefix, "", tuple(rules), (note,))), (links,))


def _taken(scene: _Scene) -> Iterator[Rule]:
    """The address of a pod, from anywhere but its interface."""
    for family in FAMILIES:
        if addresses := addresses_of(scene.attached, family):
            name = scene.objects.add_host_set(f"known{family}", family, addresses)
            held = Match(address_field(family, "saddr"), InSet(name))
            yield Rule(
                Drop(), (held, scene.unbound(family)), comment="a pod's address, not from its interface"
            )


def _sends(scene: _Scene) -> Iterator[Rule]:
    """No router forwards link-local addresses, but a bridge does: to pods they would lead around policies."""
    yield from _tunnels_of_others(scene)
    if scene.bridged:  # groups are judged in family bridge, for each who hears them
        yield Rule(
            Return(),
            (Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6)), Match(Field.IP6_DADDR, Prefix(*MULTICAST6))),
        )
        yield _DHCP
    for family in FAMILIES:
        source = address_field(family, "saddr")
        if scene.closed:
            unknown = scene.not_in(source, "known", scene.snapshot.endpoints, family)
            yield Rule(Drop(), (unknown, *scene.unless_shared(Field.IIFNAME)))


def _sends_to_node(scene: _Scene) -> Iterator[Rule]:
    """To its own node a pod may speak with a link-local address (NP-151), and ask for one (NP-162)."""
    for tunnel in scene.tunnels():
        yield Rule(Drop(), (tunnel,), comment="a tunnel of this node")
    yield Rule(Drop(), (Match(Field.IP_DADDR, Prefix(*LOOPBACK4)),), comment="this node's loopback")
    yield _DHCP
    for family in FAMILIES:
        source = address_field(family, "saddr")
        beyond = (Match(source, Prefix(*LINK_LOCAL6), negated=True),) if family == 6 else ()
        if scene.closed:
            unknown = scene.not_in(source, "known", scene.snapshot.endpoints, family)
            yield Rule(Drop(), (unknown, *beyond, *scene.unless_shared(Field.IIFNAME)))
        if strict := _of_one_pod(scene):
            yield Rule(Drop(), (*strict, scene.unbound(family), *beyond))


_DHCP = Rule(Return(), (Match(Field.IP_SADDR, Prefix(*NOWHERE4)), Match(Field.UDP_DPORT, _DHCP_SERVER)))


def _of_one_pod(scene: _Scene) -> tuple[Match, ...]:
    """Holds for interfaces that lead to one pod each, where more is open to them than its own addresses."""
    names = _links(scene)
    if not names or (scene.closed and not scene.loose):
        return ()
    name = scene.objects.add_set("pod-links", KeyType.IFNAME, names)
    return (Match(Field.IIFNAME, InSet(name)),)


def _links(scene: _Scene) -> tuple[str, ...]:
    """The interfaces that lead to one pod each."""
    return tuple(sorted({a.interface for e in scene.attached for a in e.attachments if not a.bridge}))


def _tunnels_of_others(scene: _Scene) -> Iterator[Rule]:
    """What is in a tunnel is taken as another node's word for its pod."""
    for family in FAMILIES if scene.tunnels() else ():
        addresses = scene.snapshot.network.nodes(family)
        if addresses:
            name = scene.objects.add_host_set(f"nodes{family}", family, addresses)
            to_node = Match(address_field(family, "daddr"), InSet(name))
            for tunnel in scene.tunnels():
                yield Rule(Drop(), (to_node, tunnel), comment="a tunnel of another node")


def _receives(scene: _Scene) -> Iterator[Rule]:
    """Unknown pods hear nothing; and where nobody can tell who hears a group, no pod does (NP-161)."""
    if not scene.closed:
        return
    groups = {4: Match(Field.IP_DADDR, Prefix(*MULTICAST4)), 6: Match(Field.IP6_DADDR, Prefix(*MULTICAST6))}
    if not scene.bridged and any(restricts(endpoint.ingress) for endpoint in scene.snapshot.endpoints):
        yield Rule(Drop(), (groups[4], Match(Field.META_L4PROTO, _IGMP, negated=True)))
        yield Rule(Drop(), (groups[6],))
    broadcast = Match(Field.FIB_DADDR_TYPE, Word("broadcast"), negated=True)
    for family in FAMILIES:
        unknown = scene.not_in(address_field(family, "daddr"), "known", scene.snapshot.endpoints, family)
        to_one = Match(groups[family].field, groups[family].right, negated=True)
        beyond = (broadcast,) if scene.bridged and family == 4 else ()
        yield Rule(Drop(), (unknown, to_one, *beyond, *scene.unless_shared(Field.OIFNAME)))
