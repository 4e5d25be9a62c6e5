"""From boxes of which two sides say different things to one packet that shows it.

A box may hold packets that no node meets, as the sides of a box know nothing of each other. So candidates are
tried: each is put to the policies, and run through the ruleset by the simulator, which is not the walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from typing import NamedTuple, TypeAlias

from policyd.proof.cluster import DIRECTIONS, Direction
from policyd.proof.ground import OTHER, Ground
from policyd.proof.hooks import EGRESS, EGRESS_ANSWERS, INGRESS, INGRESS_ANSWERS, Expected
from policyd.proof.line import bits_of, lowest
from policyd.proof.mapped import Doubt
from policyd.proof.meaning import Meaning
from policyd.proof.result import Difference, Says
from policyd.proof.space import (
    ASKED,
    ASKING,
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
    WITH_PORTS,
    Box,
)
from policyd.proof.walk import Outcome, Walker
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.packet import HookName, Packet
from policyd_compiler.nft.printer import print_rule
from policyd_compiler.sim import Simulator

#: Candidates of one box; most boxes hold a packet that shows it among the first few.
MOST_TRIED = 4000
_HOOKS: tuple[HookName, ...] = ("forward", "output", "input")
_ECHO = {4: 8, 6: 128}
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


#: The hook, one packet's box in the space of the hooks, and source and target where those tell too few apart.
_Candidate: TypeAlias = tuple[HookName, Box, tuple[int, int] | None]


class _Says(NamedTuple):
    """What policies say of a packet, and which rule or policies."""

    verdict: Says
    why: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Witnesses:
    """Finds packets in one family."""

    table: Table
    ground: Ground
    expected: Expected
    meaning: Meaning

    @cached_property
    def _simulator(self) -> Simulator:
        return Simulator(self.table)

    def of(self, doubt: Doubt) -> Difference | str | None:
        """A packet of which both sides say different things; else a sentence that none was found.

        None where no packet at all can be in the box.
        """
        tried = False
        for hook, box, ends in islice(self._candidates(doubt), MOST_TRIED):
            tried = True
            packet = self._packet(hook, box, ends)
            if packet.fib_local and packet.saddr in self.meaning.cluster.claims[packet.family]:
                continue  # a pod's address is never one of the node
            policies = self._ask(hook, box, packet)
            trace = self._simulator.evaluate(packet)
            ruleset: Says = "allow" if trace.verdict == "accept" else "drop"
            if ruleset != policies.verdict:
                step = trace.steps[-1] if trace.steps else ""
                chain, _, text = step.partition(": ")
                rule = doubt.rule if chain == doubt.chain else self._number(chain, text)
                who = self._holder(packet.saddr), self._holder(packet.daddr)
                shown = replace(packet, iifname=_shown(packet.iifname), oifname=_shown(packet.oifname))
                return Difference(shown, *policies, ruleset, chain, rule + 1, text, *who)
        if not tried:
            return None
        text = self._text(doubt.chain, doubt.rule)
        where = f"chain {doubt.chain}, rule {doubt.rule + 1}" if doubt.chain else "a hook without rules"
        does = "allow" if doubt.ruleset == "drop" else "deny"
        return f"{where} ({text}): policies may {does} what it does not; no packet was found that shows it"

    def _holder(self, address: int) -> str:
        """Whose an address is."""
        cluster, family = self.meaning.cluster, self.meaning.family
        pods = cluster.claims[family].get(address, ())
        if address in cluster.nodes[family]:
            return "a node"
        return "+".join(f"{pod.namespace}/{pod.name}" for pod in pods)

    def _text(self, chain: str, rule: int) -> str:
        for each in self.table.chains:
            if each.name == chain and 0 <= rule < len(each.rules):
                return print_rule(each.rules[rule])
        return ""

    def _number(self, chain: str, text: str) -> int:
        """Which rule of a chain is written so; -1 for none."""
        for each in self.table.chains:
            if each.name == chain:
                texts = map(print_rule, each.rules)
                return next((n for n, rule in enumerate(texts) if text.startswith(rule)), -1)
        return -1

    # --- candidates ------------------------------------------------------------------------------------

    def _candidates(self, doubt: Doubt) -> Iterator[_Candidate]:
        for hook in _HOOKS:
            if doubt.hook == hook:
                yield from self._in_hook(hook, doubt.box)
        if not doubt.hook:
            yield from self._in_policies(doubt)

    def _in_hook(self, hook: HookName, box: Box) -> Iterator[_Candidate]:
        """Single packets of a box; none where no packet can be in it, as its sides contradict each other."""
        space = self.ground.hooks
        pairs = {pair: bit for bit, kind in enumerate(space.pairs) for pair in kind}
        size = len(space.links)
        for source, target in self._ends_in_hook(box):
            bit = pairs.get((source, target), 0)
            if not box[PAIR] >> bit & 1:
                continue
            ends = []
            for side, address in ((SENDER, source), (RECEIVER, target)):
                links = box[side] >> space.addresses.find(address) * size & (1 << size) - 1
                ends.append((links & -links) << space.addresses.find(address) * size)
            if not all(ends):
                continue
            rest = [1 << _wanted(side, box[side]) for side in range(STATE, PAIR)]
            for asked, asking in self._ports(source, target, box[ASKED], box[ASKING]):
                yield hook, (*ends, asked, asking, *rest, 1 << bit), (source, target)

    def _ends_in_hook(self, box: Box) -> Iterator[tuple[int, int]]:
        """Pairs of addresses of a box: with peers of which policies speak, and others."""
        space, local = self.ground.hooks, self.meaning.cluster.local[self.meaning.family]
        named = [a for kind in space.pairs for pair in kind if isinstance(pair, tuple) for a in pair]
        # No pod sends with an address of the node.
        some = box[SENDER] if box[FROM_NODE] & 1 else box[SENDER] & ~space.single(local)
        senders, receivers = (
            [space.end(bit)[1] for bit in _some(space.single(named) & mask, 8)]
            + [space.end(bit)[1] for bit in _some(mask, 12)]
            for mask in (some, box[RECEIVER])
        )
        yield from ((a, a) for a in named)
        yield from product(dict.fromkeys(senders), dict.fromkeys(receivers))
        for address in islice(local, 16):
            for peer in self._peers_of(address):
                yield address, peer
                yield peer, address

    def _peers_of(self, address: int) -> Iterator[int]:
        """Peers of a pod: some of each row of what its policies allow."""
        line = self.meaning.line
        for direction in DIRECTIONS:
            isolation = self.meaning.isolation(direction, address)
            for peers, _ in isolation.allowed if isolation is not None else ():
                bits = (*_some(peers & self.meaning.pods, 3), *_some(peers & ~self.meaning.pods, 2))
                yield from (line.first(bit) for bit in bits)

    def _in_policies(self, doubt: Doubt) -> Iterator[_Candidate]:
        """Packets of some pods with some peers, as each hook may meet them."""
        space, box = self.ground.policies, doubt.box
        pods = self.meaning.pods
        ends = {
            side: [
                space.addresses.first(bit)
                for bit in (*_some(box[side] & pods, 12), *_some(box[side] & ~pods, 12))
            ]
            for side in (SENDER, RECEIVER)
        }
        answers = doubt.kind in (EGRESS_ANSWERS, INGRESS_ANSWERS)
        for source, target in product(ends[SENDER], ends[RECEIVER]):
            for hook in _HOOKS:
                single = list(self._ordinary(hook, source, target))
                if answers:
                    single[STATE] = 1 << STATES.index("invalid")
                ports = self._ports(source, target, box[ASKED], space.full[ASKING], answers=answers)
                from_node = (1, 2) if hook == "output" else (box[FROM_NODE] & -box[FROM_NODE],)
                for (asked, asking), sent_here in product(ports, from_node):
                    single[ASKED], single[ASKING], single[FROM_NODE] = asked, asking, sent_here
                    yield hook, tuple(single), (source, target)

    def _ports(
        self, source: int, target: int, asked: int, asking: int, *, answers: bool = False
    ) -> Iterator[tuple[int, int]]:
        """Ports that go together: some that policies allow between two addresses, some that they do not.

        `answers`: `asked` are the ports that are answered from.
        """
        ports = self.ground.policies.asked
        goes = self._allowed(source, target, EGRESS, INGRESS)
        comes = self._allowed(source, target, INGRESS_ANSWERS, EGRESS_ANSWERS)
        to = ports.full if answers else asked
        for number, protocol in enumerate(WITH_PORTS):
            of_to = ports.ports_of(to, protocol)
            of_from = ports.ports_of(asked, protocol) if answers else asking
            if not (of_to and of_from):
                continue
            allowed, answered = ports.ports_of(goes, protocol), ports.ports_of(comes, protocol)
            several = [*_some(of_to & allowed, 2), *_some(of_to & ~allowed, 2)]
            others = [*_some(of_from & answered, 2), *_some(of_from & ~answered, 1)]
            for at, of in product(several, others):
                yield 1 << number * ports.ports.count + at, 1 << of
        for bits in (asked & goes & ports.others, asked & ~goes & ports.others):
            yield from ((1 << bit, asking & -asking) for bit in _some(bits, 2))

    def _allowed(self, source: int, target: int, sends: str, receives: str) -> int:
        """The ports that policies allow between two addresses, by both ends."""
        found, line = self.ground.policies.asked.full, self.meaning.line
        local = self.meaning.cluster.local[self.meaning.family]
        for kind, pod, peer in ((sends, source, target), (receives, target, source)):
            direction: Direction = "egress" if kind in (EGRESS, EGRESS_ANSWERS) else "ingress"
            isolation = self.meaning.isolation(direction, pod) if pod in local else None
            if isolation is not None:
                bit = line.find(peer)
                found &= next((ports for peers, ports in isolation.allowed if peers >> bit & 1), 0)
        return found

    def _ordinary(self, hook: HookName, source: int, target: int) -> Box:
        """A new connection between two addresses, by the interfaces by which they are reached."""
        space = self.ground.hooks
        links = {address: name for name, address in self.expected.scene.bound[space.family]}
        none, other = len(space.links) - 1, len(space.links) - 2
        ends = []
        for address, absent in ((source, hook == "output"), (target, hook == "input")):
            link = space.link_number(links[address]) if address in links else other
            number = none if absent or link is None else link
            ends.append(1 << space.addresses.find(address) * len(space.links) + number)
        rest = (1 << _wanted(side, space.full[side]) for side in range(ASKED, PAIR))
        pair = next((bit for bit, kind in enumerate(space.pairs) if (source, target) in kind), 0)
        return (*ends, *rest, 1 << pair)

    # --- what both say ---------------------------------------------------------------------------------

    def _packet(self, hook: HookName, box: Box, ends: tuple[int, int] | None) -> Packet:
        space = self.ground.hooks
        iifname, source = space.end(lowest(box[SENDER]))
        oifname, target = space.end(lowest(box[RECEIVER]))
        source, target = ends or (source, target)
        protocol, port = space.asked.first(box[ASKED])
        icmp = lowest(box[ICMP]) if protocol in (1, 58) else None
        return Packet(
            space.family,
            source,
            target,
            PROTOCOLS.get(protocol, protocol),
            port,
            hook=hook,
            iifname=iifname,
            oifname=oifname,
            ct_state=STATES[lowest(box[STATE])],  # type: ignore[arg-type]
            dnat=bool(box[STATUS] & 2),
            fib_local=bool(box[FROM_NODE] & 2),
            tcp_syn=bool(box[OPENS] & 1),
            icmp_type=icmp,
            sport=space.asked.ports.first(lowest(box[ASKING])) if protocol in WITH_PORTS else None,
            hop_limit=lowest(box[HOPS]),
            fib_daddr=DESTINATIONS[lowest(box[TO])],
        )

    def _ask(self, hook: HookName, box: Box, packet: Packet) -> _Says:
        """What the policies, and all that is expected beside them, say of one packet."""
        [outcome] = Walker(self.expected).run(hook, box)
        if outcome.verdict == "open":
            trace = self._simulator.evaluate(packet)
            return _Says("allow" if trace.verdict == "accept" else "drop", "either is right")
        if outcome.verdict == "drop":
            return _Says("drop", self._reason(outcome))
        allowing: list[_Says] = []
        for kind in sorted(outcome.asks):
            said = self._ask_policies(kind, packet)
            if said.verdict == "drop":
                return said
            allowing.append(said)
        return allowing[-1] if allowing else _Says("allow", self._reason(outcome))

    def _reason(self, outcome: Outcome) -> str:
        if outcome.verdict == "back":
            return "no policy isolates"
        return self.expected.rules(outcome.chain)[outcome.rule].step.name

    def _ask_policies(self, kind: str, packet: Packet) -> _Says:
        direction = "egress" if kind in (EGRESS, EGRESS_ANSWERS) else "ingress"
        sends = kind in (EGRESS, INGRESS_ANSWERS)
        pod, peer = (packet.saddr, packet.daddr) if sends else (packet.daddr, packet.saddr)
        isolation = self.meaning.isolation(direction, pod)  # type: ignore[arg-type]
        if isolation is None:
            return _Says("allow", "no policy isolates")
        if kind == INGRESS and packet.fib_local:
            return _Says("drop", "NP-145: it was forwarded, with an address of this node as its source")
        asked, bit = self.ground.policies.asked, self.meaning.line.find(peer)
        number = packet.dport if kind in (EGRESS, INGRESS) else packet.sport
        mask = asked.of(packet.protocol_number, None if number is None else 1 << asked.ports.find(number))
        port = lowest(mask)
        place = isolation.because(bit, port)
        if isolation.allows(bit, port):
            if place is not None:
                return _Says("allow", f"{place.policy} {place.rule}", place.file, place.line)
            return _Says("allow", f"no {direction} rule of {', '.join(isolation.policies)} denies it")
        if place is not None:
            return _Says("drop", f"{place.policy} {place.rule}", place.file, place.line)
        return _Says("drop", f"no {direction} rule of {', '.join(isolation.policies)} allows it")


def _shown(interface: str) -> str:
    """An interface that stands for all that no rule names says nothing."""
    return "" if interface.startswith(OTHER) else interface


def _some(mask: int, most: int) -> Iterator[int]:
    """Some bits of a mask, from both ends."""
    bits = tuple(islice(bits_of(mask), 4 * most))
    yield from bits[: most - most // 4]
    if mask and len(bits) > most - most // 4:
        yield from bits[-(most // 4) :] if most >= 4 else ()
        yield mask.bit_length() - 1


def _wanted(side: int, mask: int) -> int:
    """The bit of a side that makes the most ordinary packet."""
    ordinary = {
        STATE: (STATES.index("new"),),
        TO: (DESTINATIONS.index("unicast"),),
        ICMP: (_ECHO[4], _ECHO[6]),
        HOPS: (64,),
    }
    return next((bit for bit in ordinary.get(side, ()) if mask >> bit & 1), lowest(mask))
