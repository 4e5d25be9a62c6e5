"""Pods on bridges → the table beside, in family bridge: who sends is who the wire says (DESIGN, "The wire").

Stateless, and only about what the hooks of IP cannot judge: frames that they never see (NP-160), by which
port an address comes (NP-162, NP-164), and by which port a packet for a group is heard (NP-161). Everything
else passes here and is judged in family inet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policyd_compiler.ir import Attachment, Endpoint, Snapshot, addresses_of, restricts
from policyd_compiler.lower.hearers import Judged, coming_back, common, group_map, hearing_map, speaking_map
from policyd_compiler.lower.link import LINK_LOCAL6, MULTICAST6, NOWHERE4, NOWHERE6, ROUTERS, link_rules
from policyd_compiler.lower.objects import Objects
from policyd_compiler.names import Names
from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Drop,
    Goto,
    Hook,
    Jump,
    Return,
    Rule,
    Table,
    Vmap,
)
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
from policyd_compiler.nft.keys import FAMILIES, FROM, KEY, Family, Interval, KeyType, SetName
from policyd_compiler.nft.packet import ARP, IP, IP6, PROTOCOL_NUMBERS, HookName
from policyd_compiler.options import Options, covering
from policyd_compiler.ports import EVERYTHING

#: Before what others have in family bridge, so that nothing is learnt from a frame that is not its sender's.
_FIRST = -300
#: As in family inet.
_FORWARD = -10
_IGMP = Rule(Accept(), (Match(Field.META_L4PROTO, numbers(2)),), comment="IGMP")
_ETHER: dict[Family, int] = {4: IP, 6: IP6}
_ICMPV6 = Match(Field.META_L4PROTO, numbers(PROTOCOL_NUMBERS["ipv6-icmp"]))
_ADVERTS = Match(Field.ICMPV6_TYPE, numbers(136))
#: Solicitations of neighbours and routers, and reports of MLD: what is sent before there is an address.
_UNADDRESSED = Match(Field.ICMPV6_TYPE, numbers(131, 133, 135, 143))
_ARP_PROBE = Rule(
    Accept(), (Match(Field.ARP_SADDR_IP, Prefix(*NOWHERE4)),), comment="an ARP probe (RFC 5227)"
)
_DHCP = Rule(
    Accept(),
    (
        Match(Field.IP_SADDR, Prefix(*NOWHERE4)),
        Match(Field.IP_DADDR, Prefix(0xFFFF_FFFF, 32)),
        Match(Field.UDP_DPORT, numbers(67)),
    ),
    comment="a pod asks for an address",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The node's pods: those whose port is known, each with it, and those that are known by address alone.

    Of `hidden` ones not every claimant's port is known: they may be behind any port (NP-166).
    """

    bound: tuple[tuple[Endpoint, Attachment], ...]
    loose: tuple[Endpoint, ...]
    hidden: tuple[Endpoint, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Ports:
        """Who hangs on a bridge, or may."""
        bound = ((e, a) for e in snapshot.endpoints for a in e.attachments if a.bridge)
        return cls(
            tuple(bound),
            tuple(e for e in snapshot.endpoints if not e.attachments),
            tuple(e for e in snapshot.endpoints if len(e.attachments) < max(1, len(e.claimants))),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The known ports."""
        return tuple(sorted({attachment.interface for _, attachment in self.bound}))

    def addresses(self, family: Family) -> tuple[tuple[str, int], ...]:
        """The addresses of a family by port."""
        found = {
            (a.interface, address) for e, a in self.bound if (address := e.host.address(family)) is not None
        }
        return tuple(sorted(found))


def lower_bridge(snapshot: Snapshot, judged: Judged, options: Options) -> Table | None:
    """The table beside; None where no pod hangs on a bridge. `judged` is what family inet does."""
    ports = Ports.of(snapshot)
    guarded = covering((*options.pod_interfaces, *snapshot.network.pod_ports, *ports.names))
    if not snapshot.network.bridges or not guarded:
        return None
    objects = Objects("drop", Names())  # family bridge knows no `reject`
    bound = {
        family: objects.add_set(f"bound{family}", FROM[family], ports.addresses(family))
        for family in FAMILIES
    }
    entering = _Entering(snapshot, options, ports, bound, objects)
    chains = (
        _base("prerouting", _FIRST, tuple(entering.rules(guarded))),
        _base("forward", _FORWARD, tuple(_Leaving(snapshot, ports, bound, judged, objects).rules())),
    )
    return Table(
        options.table,
        sets=tuple(sorted(objects.sets.values(), key=lambda part: part.name)),
        maps=tuple(sorted(objects.maps.values(), key=lambda part: part.name)),
        chains=tuple(sorted((*objects.chains.values(), *chains), key=lambda chain: chain.name)),
        family="bridge",
    )


def _base(hook: HookName, priority: int, rules: tuple[Rule, ...]) -> Chain:
    return Chain(ChainName(hook), rules, Hook(hook, priority))


def _ether_type(number: int) -> Match:
    """What a frame holds as it is on the wire: after a tag nothing is asked for (NP-160)."""
    return Match(Field.ETHER_TYPE, numbers(number))


@dataclass(frozen=True, slots=True)
class _Entering:
    """What comes in by a port of a bridge."""

    snapshot: Snapshot
    options: Options
    ports: Ports
    bound: dict[Family, SetName]
    objects: Objects

    def rules(self, guarded: tuple[str, ...]) -> Iterator[Rule]:
        """The base chain: what comes from a pod goes on as what it is, or not at all."""
        others = self.snapshot.network.other_ports
        if others:
            name = self.objects.add_set("other-ports", KeyType.IFNAME, others)
            yield Rule(Accept(), (Match(Field.IIFNAME, InSet(name)),))
        of_pods = InSet(self.objects.add_interface_set("pod-ports", guarded))
        yield Rule(Accept(), (Match(Field.IIFNAME, of_pods, negated=True),))
        yield from self._macs(Field.IIFNAME_ETHER_SADDR, Field.ETHER_SADDR)
        note = "what a pod sends by its port"
        for number, prefix, rules in (
            (IP, "from4", (*self._allowed(4), _DHCP, Rule(Drop()))),
            (IP6, "from6", tuple(self._from6())),
            (ARP, "from-arp", (*self._arp(), _ARP_PROBE, Rule(Drop()))),
        ):
            yield Rule(Goto(self.objects.add_chain(prefix, "", rules, (note,))), (_ether_type(number),))
        yield Rule(Drop(), comment="neither IPv4, IPv6 nor ARP: no policy could judge it")

    def _macs(self, pair: Field, single: Field) -> Iterator[Rule]:
        """A bridge learns where to send from what comes in: a pod's hardware address is its port's alone."""
        pairs = {(a.interface, a.mac) for _, a in self.ports.bound if a.mac is not None}
        if not pairs:
            return
        own = self.objects.add_set("own-macs", KeyType.IFNAME_ETHER, tuple(sorted(pairs)))
        macs = self.objects.add_set("macs", KeyType.ETHER, tuple(sorted({mac for _, mac in pairs})))
        matches = (
            Match(pair, InSet(own), negated=True),
            Match(single, InSet(macs)),
        )
        yield Rule(Drop(), matches, comment="another pod's hardware address")

    def _allowed(self, family: Family) -> Iterator[Rule]:
        yield Rule(Accept(), (Match(interface_field(family, "saddr"), InSet(self.bound[family])),))
        yield from self._unbound(address_field(family, "saddr"), family)

    def _arp(self) -> Iterator[Rule]:
        yield from self._macs(Field.IIFNAME_ARP_SADDR_ETHER, Field.ARP_SADDR_ETHER)
        yield Rule(Accept(), (Match(Field.IIFNAME_ARP_SADDR_IP, InSet(self.bound[4])),))
        yield from self._unbound(Field.ARP_SADDR_IP, 4)

    def _unbound(self, field: Field, family: Family) -> Iterator[Rule]:
        """What ports that are not known yet may send with.

        Where unknown pods are closed: the addresses of pods without a port. Else: what is nobody's.
        """
        if self.options.pod_interfaces:
            if addresses := addresses_of(self.ports.loose, family):
                loose = self.objects.add_set(f"loose{family}", KEY[family], addresses)
                yield Rule(Accept(), (*self._not_attached(), Match(field, InSet(loose))))
            return
        held = self.objects.add_set(
            f"held{family}", KEY[family], tuple(sorted({a for _, a in self.ports.addresses(family)}))
        )
        yield Rule(Accept(), (*self._not_attached(), Match(field, InSet(held), negated=True)))

    def _not_attached(self) -> tuple[Match, ...]:
        if not self.ports.names:
            return ()
        name = self.objects.add_set("attached", KeyType.IFNAME, self.ports.names)
        return (Match(Field.IIFNAME, InSet(name), negated=True),)

    def _from6(self) -> Iterator[Rule]:
        yield Rule(Jump(self._claims()), (_ICMPV6,))
        yield from self._allowed(6)
        # Link-local addresses reach no further than the link, and bind nobody (docs/security.md).
        yield Rule(Accept(), (Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6)),))
        yield Rule(Accept(), (Match(Field.IP6_SADDR, Prefix(*NOWHERE6)), _UNADDRESSED))
        yield Rule(Drop())

    def _claims(self) -> ChainName:
        """What ICMPv6 says of others: a pod is no router, and advertises no address but its own (NP-162)."""
        own = self.objects.add_set("own-targets", KeyType.IFNAME_TARGET, self.ports.addresses(6))
        is_open = self.ports.loose or not self.options.pod_interfaces
        # Whose pod it is, nobody knows.
        unknown = (Rule(Return(), self._not_attached()),) if is_open else ()
        adverts = (
            Rule(Return(), (Match(Field.IIFNAME_TARGET, InSet(own)),)),
            Rule(Return(), (Match(Field.TARGET_BYTE, numbers(LINK_LOCAL6[0] >> 120)),)),
            *unknown,
            Rule(Drop()),
        )
        rules = (
            Rule(Drop(), (ROUTERS,), comment="a pod is no router"),
            Rule(Goto(self.objects.add_chain("advertised", "", adverts, ())), (_ADVERTS,)),
        )
        return self.objects.add_chain("claims", "", rules, ())


#: Sources that a pod may have besides its addresses, and the addresses that it reaches with them on its
#: link: a pod that asks for an address speaks to all, one with a link-local address to its link and to
#: groups.
_UNBOUND: dict[Family, Match] = {
    4: Match(Field.IP_SADDR, Prefix(*NOWHERE4)),
    6: Match(Field.IP6_SADDR, Prefix(*LINK_LOCAL6)),
}
_TO_ALL: dict[Family, Interval] = {4: (0xFFFF_FFFF, 0xFFFF_FFFF), 6: (LINK_LOCAL6[0], (1 << 128) - 1)}
#: What goes to a group, or to all: of IPv4 a subnet's address for all is known by the frame alone.
_GROUPS: dict[Family, tuple[tuple[Match, ...], ...]] = {
    4: (
        (Match(Field.IP_DADDR, Prefix(0xE000_0000, 3)),),
        (Match(Field.META_PKTTYPE, Word("broadcast")),),
    ),
    6: ((Match(Field.IP6_DADDR, Prefix(*MULTICAST6)),),),
}
_ANYWHERE: Interval = (0, (1 << 128) - 1)
#: From a link-local address to one of a wider scope: no honest pod's, and no pod's in family inet.
_OFF_LINK = (
    _UNBOUND[6],
    Match(Field.IP6_DADDR, Prefix(*LINK_LOCAL6), negated=True),
    Match(Field.IP6_DADDR, Prefix(*MULTICAST6), negated=True),
)


@dataclass(frozen=True, slots=True)
class _Leaving:
    """What goes out by a port of a bridge, and came in by another."""

    snapshot: Snapshot
    ports: Ports
    bound: dict[Family, SetName]
    judged: Judged
    objects: Objects

    def rules(self) -> Iterator[Rule]:
        """The base chain: what family inet does not judge, where anybody is isolated."""
        families = {family: self._of_family(family) for family in FAMILIES}
        if not any(restricts(i) for e in self._pods() for i in (e.ingress, e.egress)):
            return
        note = "what ports of a bridge send each other"
        for family, rules in families.items():
            chain = self.objects.add_chain(f"to{family}", "", tuple(rules), (note,))
            yield Rule(Goto(chain), (_ether_type(_ETHER[family]),))
        yield Rule(Accept(), (_ether_type(ARP),))
        names = tuple(sorted({a.interface for e, a in self.ports.bound if restricts(e.ingress)}))
        if names:
            of_isolated = InSet(self.objects.add_set("isolated", KeyType.IFNAME, names))
            yield Rule(Drop(), (Match(Field.OIFNAME, of_isolated),), comment="no policy could judge it")

    def _pods(self) -> Iterator[Endpoint]:
        yield from (endpoint for endpoint, _ in self.ports.bound)
        yield from self.ports.hidden

    def _of_family(self, family: Family) -> Iterator[Rule]:
        if family == 6:
            yield from self._said(6, _ANYWHERE, _OFF_LINK)
        yield Rule(Accept(), (Match(interface_field(family, "daddr"), InSet(self.bound[family])),))
        yield from (_IGMP,) if family == 4 else link_rules(())
        yield from self._said(family, _TO_ALL[family], (_UNBOUND[family],))
        speaking = group_map(self._pods(), family, self.judged, self.objects)
        if speaking is not None:
            for matches in _GROUPS[family]:
                yield Rule(Vmap(address_field(family, "saddr"), speaking), matches)
        if any(restricts(endpoint.ingress) for endpoint in self.ports.hidden):
            yield self._to_unknown(family)
        if (name := hearing_map(self.ports.bound, family, self.judged, self.objects)) is not None:
            yield Rule(Vmap(Field.OIFNAME, name))

    def _said(self, family: Family, interval: Interval, matches: tuple[Match, ...]) -> Iterator[Rule]:
        """What isolated pods send from addresses that are no pods', to any in an interval.

        Behind a port that is not known each of the pods may be whose port is not known.
        """
        name = speaking_map(self.ports.bound, family, interval, self.judged, self.objects)
        if name is not None:
            yield Rule(Vmap(Field.IIFNAME, name), matches)
        ports = common(
            self.judged.ports_throughout(endpoint.egress, family, interval)
            for endpoint in self.ports.hidden
            if endpoint.egress is not None
        )
        if ports != EVERYTHING:
            yield Rule(coming_back(ports, self.objects), (*self._unknown(Field.IIFNAME), *matches))

    def _to_unknown(self, family: Family) -> Rule:
        """Behind a port that is not known an isolated pod may be: it hears what goes to a known address."""
        addresses = addresses_of(self.ports.hidden, family)
        loose = InSet(self.objects.add_set(f"loose{family}", KEY[family], addresses))
        return Rule(
            Drop(),
            (*self._unknown(Field.OIFNAME), Match(address_field(family, "daddr"), loose, negated=True)),
        )

    def _unknown(self, side: Field) -> tuple[Match, ...]:
        """The port is no pod's that is known, and may be one's."""
        known = {*self.snapshot.network.other_ports, *self.ports.names}
        if not known:
            return ()
        name = self.objects.add_set("known-ports", KeyType.IFNAME, tuple(sorted(known)))
        return (Match(side, InSet(name), negated=True),)
