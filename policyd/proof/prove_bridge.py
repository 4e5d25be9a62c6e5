"""A node's `table bridge` and its policies, compared for all frames. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from policyd.proof.bridge import LINK_TARGETS, TO_ALL, TO_GROUPS, Entering, Leaving, Rules
from policyd.proof.cluster import Cluster
from policyd.proof.frames import (
    ARP,
    ARP_MAC,
    IP,
    IP6,
    KINDS,
    MAC,
    TAGS,
    TARGET,
    TO_WHOM,
    TYPE,
    WHOM,
    Frames,
    Kind,
)
from policyd.proof.ground import interfaces, prefixes_in, stretches_of
from policyd.proof.hooks import GROUPS, LINK_LOCAL, NOWHERE
from policyd.proof.line import BITS, Line, block, lowest
from policyd.proof.meaning import Meaning
from policyd.proof.peers import Anybody, Blocks, Strangers
from policyd.proof.ports import Ports
from policyd.proof.result import Difference, Says
from policyd.proof.space import ASKED, ASKING, HOPS, ICMP, RECEIVER, SENDER, WITH_PORTS, Box, Unprovable
from policyd.proof.touched import Touched
from policyd.proof.walk import Chains, Outcome, Walker, joined, of_table
from policyd.proof.witness import PROTOCOLS
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.expressions import Field, Numbers
from policyd_compiler.nft.json_parser import FOREIGN_RULE
from policyd_compiler.nft.keys import Family, KeyType
from policyd_compiler.nft.packet import Arp, HookName, Packet
from policyd_compiler.nft.printer import print_rule
from policyd_compiler.sim import Simulator

#: Where the hooks' chains must lie: before what others have, so that nothing is learnt from a forged frame.
_PRIORITIES = {"prerouting": range(-400, -200), "forward": range(-199, 1)}


def check_form(table: Table) -> None:
    """What no walk can follow. Raises Unprovable."""
    check_rules(table)
    at = [chain.hook for chain in table.chains if chain.hook is not None]
    for hook in at:
        if hook.hook not in _PRIORITIES or hook.priority not in _PRIORITIES[hook.hook]:
            raise Unprovable(f"a chain of table bridge at the hook {hook.hook}, priority {hook.priority}")
    if len({hook.hook for hook in at}) < len(at):
        raise Unprovable("several chains of table bridge at one hook")


def check_rules(table: Table) -> None:
    """Whether there is a rule that could not be read. Raises Unprovable."""
    for chain in table.chains:
        for number, rule in enumerate(chain.rules, start=1):
            if rule.comment.startswith(FOREIGN_RULE):
                raise Unprovable(f"chain {chain.name}, rule {number}: {rule.comment}")


@dataclass
class OfBridge:
    """The comparison of one family: of frames with its addresses; for IPv4 also of ARP and of all others."""

    ports: Ports
    table: Table
    meaning: Meaning
    apart: int = 0
    found: dict[tuple[object, ...], Difference] = field(default_factory=dict)
    #: Where no frame was found that shows what boxes say.
    unclear: dict[tuple[object, ...], str] = field(default_factory=dict)

    @cached_property
    def _simulator(self) -> Simulator:
        return Simulator(self.table)

    @property
    def family(self) -> Family:
        """The family of its addresses."""
        return self.meaning.family

    def compare(self, touched: Mapping[str, Touched] | None = None) -> None:
        """Compare both hooks, for each kind of frames; all of them, or those that are touched at a hook.

        Raises Unprovable.
        """
        entering, leaving = (None, None) if touched is None else map(touched.get, ("prerouting", "forward"))
        for kind in KINDS[self.family]:
            for port in self._links[:-1]:
                if entering is None or entering.may_touch(port, self.family, self.ports.names):
                    space = self._space(kind, (port,))
                    self._compare_among("prerouting", space, self._entering(space), entering)
            if leaving is None or leaving:
                space = self._space(kind, self._links[:-1])
                self._compare_among("forward", space, self._leaving(space), leaving)

    def _compare_among(self, hook: HookName, space: Frames, rules: Rules, touched: Touched | None) -> None:
        chains = self._chains(space)
        for box in (space.full,) if touched is None else touched.boxes(space, self.ports.names):
            self._compare(hook, space, rules, chains, box)

    def _compare(self, hook: HookName, space: Frames, rules: Rules, chains: Chains, box: Box) -> None:
        mine = [Outcome(box, "back", frozenset(), "", -1)]
        for chain in self.table.chains:
            if chain.hook is not None and chain.hook.hook == hook:
                mine = Walker(chains).run(str(chain.name), box)
        self.apart += len(mine)
        for outcome in joined(mine, (SENDER, RECEIVER)):
            does = _verdict(outcome)
            key = "bridge", hook, outcome.chain, outcome.rule, does
            for other in Walker(rules).run(hook, outcome.box):
                known = self.found.get(key)
                if other.verdict == "open" or _verdict(other) == does or (known and _is_plain(known.packet)):
                    continue
                shown = self._shown(hook, space, other, rules, outcome)
                if isinstance(shown, Difference):
                    self.found[key] = shown
                else:
                    self.unclear[key] = shown

    def _chains(self, space: Frames) -> Chains:
        return of_table(space, self.table)

    # --- what is expected ------------------------------------------------------------------------------

    def _entering(self, space: Frames) -> Rules:
        rules = Rules()
        rules.add("prerouting", Entering(self.ports, space).rules())
        return rules

    def _leaving(self, space: Frames) -> Rules:
        rules = Rules()
        cluster, near = self.meaning.cluster, space.addresses
        strangers = Meaning(cluster, self.family, near, space.asked, Strangers)
        anybody = Meaning(cluster, self.family, self.meaning.line, space.asked, Anybody)
        by_blocks = Meaning(cluster, self.family, self.meaning.line, space.asked, Blocks)
        leaving = Leaving(self.ports, space, self.meaning, strangers, anybody, by_blocks, rules)
        rules.add("forward", leaving.rules())
        return rules

    # --- what is distinguished ----------------------------------------------------------------------------

    @cached_property
    def _links(self) -> tuple[str, ...]:
        """Ports of which each stands for all that nothing tells from it; the last is none at all."""
        return interfaces(self.table, {*self.ports.guarded, *self.ports.others, *self.ports.names})

    def _space(self, kind: Kind, links: tuple[str, ...]) -> Frames:
        held = {str(part.name): part.elements for part in self.table.sets}
        addresses, asked = self._addresses, self.meaning.asked
        lines = self._macs, self._targets, self._types
        return Frames(self.family, addresses, links, asked, held, (frozenset(),), kind, *lines)

    @cached_property
    def _addresses(self) -> Line:
        return addresses_line(self.ports.cluster, self.table, self.family)

    @cached_property
    def _macs(self) -> Line:
        held = (key for part in self.table.sets if part.key is KeyType.ETHER for key in part.elements)
        pairs = (key for part in self.table.sets if part.key is KeyType.IFNAME_ETHER for key in part.elements)
        return Line(48, _numbers((*held, *pairs, *(mac for _, mac in self.ports.macs))))

    @cached_property
    def _targets(self) -> Line:
        pairs = (
            key for part in self.table.sets if part.key is KeyType.IFNAME_TARGET for key in part.elements
        )
        bytes_ = ((low << 120, (high + 1 << 120) - 1) for low, high in self._intervals(Field.TARGET_BYTE))
        own = ((a, a) for a in self.ports.cluster.local[6])
        return Line(128, (*_numbers(pairs), *bytes_, *own, LINK_TARGETS))

    @cached_property
    def _types(self) -> Line:
        known = ((number, number) for number in (IP, IP6, ARP, *TAGS))
        return Line(16, (*known, *self._intervals(Field.ETHER_TYPE)))

    def _intervals(self, of: Field) -> Iterator[tuple[int, int]]:
        matches = (match for chain in self.table.chains for rule in chain.rules for match in rule.matches)
        for match in matches:
            if match.field is of and isinstance(match.right, Numbers):
                yield from match.right.intervals

    # --- a frame that shows it -------------------------------------------------------------------------

    def _shown(
        self, hook: HookName, space: Frames, other: Outcome, rules: Rules, mine: Outcome
    ) -> Difference | str:
        """One frame of a box on which both sides disagree; a sentence if the simulator says it does not."""
        frame = self._frame(hook, space, other.box)
        trace = self._simulator.evaluate(frame)
        ruleset: Says = "allow" if trace.verdict == "accept" else "drop"
        policies: Says = "drop" if other.verdict == "drop" else "allow"
        if ruleset == policies:
            where = f"chain {mine.chain}, rule {mine.rule + 1}" if mine.chain else f"the hook {hook}"
            return f"table bridge, {where}: no frame was found that shows what boxes say"
        step = rules.rules(other.chain)[other.rule].step if other.verdict != "back" else None
        chain, _, text = (trace.steps[-1] if trace.steps else "").partition(": ")
        number = self._number(chain, text)
        ends = (self._holder(frame.saddr), self._holder(frame.daddr)) if frame.network is None else ("", "")
        why = step.name if step is not None and step.name else "no policy isolates"
        return Difference(frame, policies, why, "", 0, ruleset, chain, number, text, *ends, family="bridge")

    def _number(self, name: str, text: str) -> int:
        """Which rule of a chain is written so, from 1; 0 for none."""
        for chain in self.table.chains:
            if chain.name == name:
                texts = map(print_rule, chain.rules)
                return next((n for n, rule in enumerate(texts, start=1) if text.startswith(rule)), 0)
        return 0

    def _frame(self, hook: HookName, space: Frames, box: Box) -> Packet:
        """A frame of a box: if there is one, of a pod, from one port to another, to a group or a pod."""
        bound = space.bound(self.ports.bound[self.family])
        sender = lowest(box[SENDER] & bound or box[SENDER])
        port = space.end(sender)[0]
        away = box[RECEIVER] & ~space.named((port,)) or box[RECEIVER]
        groups = space.prefix(*GROUPS[self.family])
        receiver = lowest(away & groups or away & bound or away)
        return _frame(hook, space, (1 << sender, 1 << receiver, *box[2:]))

    def _holder(self, address: int) -> str:
        pods = self.ports.cluster.claims[self.family].get(address, ())
        return "+".join(f"{pod.namespace}/{pod.name}" for pod in pods)


def addresses_line(cluster: Cluster, table: Table, family: Family) -> Line:
    """What tells addresses apart in family bridge."""
    prefixes = [NOWHERE[family], GROUPS[family], TO_GROUPS[family]]
    prefixes += [LINK_LOCAL] if family == 6 else []
    named = [block(network, length, family) for network, length in prefixes]
    named += [TO_ALL[family], *((a, a) for a in cluster.local[family])]
    named += [stretch for of, stretch in cluster.blocks() if of == family]
    named += [(a, a) for a in cluster.nodes[family]]
    named += stretches_of(_keys(table), family)
    arp = (Field.ARP_SADDR_IP,) if family == 4 else ()
    named += prefixes_in(table.chains, family, arp)
    return Line(BITS[family], named)


def _keys(table: Table) -> Iterator[object]:
    for part in table.sets:
        yield from part.elements
    for mapped in table.maps:
        yield from (key for key, _ in mapped.elements)


def _frame(hook: HookName, space: Frames, box: Box) -> Packet:
    """The least frame of a box."""
    port, source = space.end(lowest(box[SENDER]))
    out, target = space.end(lowest(box[RECEIVER]))
    protocol, asked = space.asked.first(box[ASKED])
    kind, mac = space.types.first(lowest(box[TYPE])), space.macs.first(lowest(box[MAC]))
    network = {"ip": None, "tagged": None, "arp": ARP}.get(space.kind, kind)
    tag = kind if kind in TAGS else None
    if space.kind == "other" and tag is not None:
        network = 0x88CC
    return Packet(
        space.family,
        source,
        target,
        PROTOCOLS.get(protocol, protocol),
        asked,
        hook=hook,
        iifname=port,
        oifname=out if hook == "forward" else "",
        icmp_type=lowest(box[ICMP]) if protocol in (1, 58) else None,
        sport=space.asked.ports.first(lowest(box[ASKING])) if protocol in WITH_PORTS else None,
        hop_limit=lowest(box[HOPS]),
        target=space.targets.first(lowest(box[TARGET])) if space.family == 6 else None,
        network=network,
        vlan=None if tag is None else 1,
        vlan_type=tag or TAGS[0],
        ether_saddr=mac,
        pkttype=WHOM[lowest(box[TO_WHOM])],  # type: ignore[arg-type]
        arp=Arp(source, target, 1, space.macs.first(lowest(box[ARP_MAC]))) if space.kind == "arp" else None,
    )


def _is_plain(frame: Packet) -> bool:
    """Whether a frame goes from one port to another: most bridges send none back by the port it came by."""
    return frame.hook != "forward" or frame.iifname != frame.oifname


def _verdict(outcome: Outcome) -> Says:
    return "drop" if outcome.verdict == "drop" else "allow"


def _numbers(keys: Iterable[object]) -> Iterator[tuple[int, int]]:
    for key in keys:
        match key:
            case int():
                yield key, key
            case (str(), int(number)):
                yield number, number
            case _:
                raise Unprovable(f"no number: {key!r}")
