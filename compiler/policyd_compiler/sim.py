"""What our ruleset does to a packet, without a kernel: nft's semantics over our syntax tree.

A `Packet` is the first packet of a flow as one hook meets it. `Simulator` indexes a table once and answers
many packets; the trace names every chain and rule that took part, for a person to read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from policyd_compiler.addr import BITS
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import (
    PROTOCOL_NUMBERS,
    Accept,
    AddrInPrefix,
    AddrInSet,
    AddrVmap,
    ChainName,
    CtDnat,
    CtState,
    CtStateName,
    DportIn,
    Drop,
    Family,
    FibLocal,
    Goto,
    HookName,
    Icmpv6Types,
    IfnameInSet,
    Interval,
    Jump,
    KeyType,
    L4Proto,
    Match,
    PairInSet,
    Reject,
    Return,
    Rule,
    Set,
    Table,
    TcpNotSyn,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.printer import print_rule, print_verdict

#: Names of protocols as nft prints them, for packets that give a number.
PROTOCOL_NAMES: Mapping[int, str] = {number: name for name, number in PROTOCOL_NUMBERS.items()}
#: The kernel refuses deeper jumps when it loads a ruleset.
MAX_DEPTH = 16

Outcome: TypeAlias = Literal["accept", "drop"]


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet at one hook. Addresses are integers, `dport` counts for TCP, UDP and SCTP only.

    `fib_local`: the source is an address of this node. `dnat`: this node rewrote the destination.
    """

    family: Family
    saddr: int
    daddr: int
    protocol: str | int
    dport: int | None = None
    hook: HookName = "forward"
    iifname: str = ""
    oifname: str = ""
    ct_state: CtStateName = "new"
    dnat: bool = False
    fib_local: bool = False
    tcp_syn: bool = True
    icmp_type: int | None = None

    @property
    def protocol_name(self) -> str:
        """The protocol as `meta l4proto` is written."""
        if isinstance(self.protocol, int):
            return PROTOCOL_NAMES.get(self.protocol, str(self.protocol))
        return "ipv6-icmp" if self.protocol == "icmpv6" else self.protocol


@dataclass(frozen=True, slots=True)
class Trace:
    """The verdict of a hook, and the way there."""

    verdict: Outcome
    steps: tuple[str, ...]


def evaluate(table: Table, packet: Packet) -> Trace:
    """The verdict on one packet. For many packets keep a Simulator."""
    return Simulator(table).evaluate(packet)


class Simulator:
    """A table, indexed for look-ups."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._hooks = sorted(
            (chain for chain in table.chains if chain.hook is not None),
            key=lambda chain: chain.hook.priority if chain.hook else 0,
        )
        self._sets = {s.name: _index_set(s) for s in table.sets}
        self._maps = {m.name: _index_map(m) for m in table.maps}

    def evaluate(self, packet: Packet) -> Trace:
        """Run the base chains of the packet's hook; without one the packet passes."""
        steps: list[str] = []
        for chain in self._hooks:
            if chain.hook is None or chain.hook.hook != packet.hook:
                continue
            if self._run(chain.name, packet, steps, 0) == "drop":
                return Trace("drop", tuple(steps))
        return Trace("accept", tuple(steps))

    def _run(self, name: ChainName, packet: Packet, steps: list[str], depth: int) -> Outcome | None:
        """Walk a chain; None: its end (or `return`) was reached, and the caller goes on."""
        while True:
            if depth > MAX_DEPTH:
                raise CompilerBug(f"chain {name} lies more than {MAX_DEPTH} jumps deep")
            chain = self._chains.get(name)
            if chain is None:
                raise CompilerBug(f"no chain {name}")
            outcome, onward = self._walk(chain.rules, name, packet, steps, depth)
            if onward is None:
                return outcome
            name, depth = onward, depth + 1

    def _walk(
        self, rules: tuple[Rule, ...], name: ChainName, packet: Packet, steps: list[str], depth: int
    ) -> tuple[Outcome | None, ChainName | None]:
        """The outcome of a chain's rules, or the chain that a `goto` leads to."""
        for rule in rules:
            if not all(self._matches(match, packet) for match in rule.matches):
                continue
            verdict = self._verdict(rule, packet)
            if verdict is None:
                continue
            steps.append(f"{name}: {print_rule(rule)}" + _found(rule, verdict))
            match verdict:
                case Accept():
                    return "accept", None
                case Drop() | Reject():
                    return "drop", None
                case Return():
                    return None, None
                case Goto(chain):
                    return None, chain
                case Jump(chain):
                    outcome = self._run(chain, packet, steps, depth + 1)
                    if outcome is not None:
                        return outcome, None
                case _:
                    assert_never(verdict)
        return None, None

    def _verdict(self, rule: Rule, packet: Packet) -> Verdict | None:
        """The rule's verdict; None where a map has no element for the packet."""
        if not isinstance(rule.action, AddrVmap):
            return rule.action
        if rule.action.family != packet.family:
            return None
        address = packet.saddr if rule.action.side == "saddr" else packet.daddr
        return self._maps[rule.action.map].find(address)

    def _matches(self, match: Match, packet: Packet) -> bool:
        match match:
            case CtState(state, negated):
                return (packet.ct_state == state) != negated
            case CtDnat():
                return packet.dnat
            case TcpNotSyn():
                return packet.protocol_name == "tcp" and not packet.tcp_syn
            case FibLocal():
                return packet.fib_local
            case L4Proto(protocols, negated):
                return (packet.protocol_name in protocols) != negated
            case Icmpv6Types(types):
                kind = packet.icmp_type if packet.protocol_name == "ipv6-icmp" else None
                return kind is not None and any(low <= kind <= high for low, high in types)
            case DportIn(protocol, ports):
                port = packet.dport if packet.protocol_name == protocol else None
                return port is not None and any(low <= port <= high for low, high in ports)
            case _:
                return self._matches_set(match, packet)

    def _matches_set(self, match: AddrInSet | AddrInPrefix | PairInSet | IfnameInSet, packet: Packet) -> bool:
        match match:
            case IfnameInSet(direction, name, negated):
                interface = packet.iifname if direction == "iifname" else packet.oifname
                return self._sets[name].has_name(interface) != negated
            case PairInSet(family, name):
                return family == packet.family and self._sets[name].has((packet.saddr, packet.daddr))
            # A match on an address of one family never holds for a packet of the other, negated or not.
            case AddrInSet(family, side, name, negated):
                address = packet.saddr if side == "saddr" else packet.daddr
                return family == packet.family and self._sets[name].has(address) != negated
            case AddrInPrefix(family, side, network, prefix, negated):
                address = packet.saddr if side == "saddr" else packet.daddr
                shift = BITS[family] - prefix
                return family == packet.family and (address >> shift == network >> shift) != negated
            case _:
                assert_never(match)


def _found(rule: Rule, verdict: Verdict) -> str:
    return f" ({print_verdict(verdict)})" if isinstance(rule.action, AddrVmap) else ""


class _Elements:
    """The elements of a set."""

    def __init__(
        self, keys: frozenset[int | Interval], ranges: tuple[Interval, ...], names: tuple[str, ...]
    ) -> None:
        self._keys = keys
        self._lows = [low for low, _ in ranges]
        self._highs = [high for _, high in ranges]
        self._names = names

    def has(self, key: int | Interval) -> bool:
        if key in self._keys:
            return True
        if not isinstance(key, int):
            return False
        index = bisect_right(self._lows, key) - 1
        return index >= 0 and key <= self._highs[index]

    def has_name(self, name: str) -> bool:
        return any(name == n or (n.endswith("*") and name.startswith(n[:-1])) for n in self._names)


class _Verdicts:
    """The elements of a verdict map."""

    def __init__(self, single: dict[int, Verdict], ranges: tuple[tuple[Interval, Verdict], ...]) -> None:
        self._single = single
        self._lows = [low for (low, _), _ in ranges]
        self._ranges = ranges

    def find(self, address: int) -> Verdict | None:
        if (verdict := self._single.get(address)) is not None:
            return verdict
        index = bisect_right(self._lows, address) - 1
        if index >= 0 and address <= self._ranges[index][0][1]:
            return self._ranges[index][1]
        return None


def _index_set(part: Set) -> _Elements:
    if part.key is KeyType.IFNAME:
        return _Elements(frozenset(), (), tuple(k for k in part.elements if isinstance(k, str)))
    ranged = part.interval and part.key in (KeyType.V4, KeyType.V6)
    if not ranged:
        return _Elements(frozenset(k for k in part.elements if not isinstance(k, str)), (), ())
    ranges = sorted((k, k) if isinstance(k, int) else k for k in part.elements if not isinstance(k, str))
    return _Elements(frozenset(), tuple(ranges), ())


def _index_map(part: VerdictMap) -> _Verdicts:
    single = {key: verdict for key, verdict in part.elements if isinstance(key, int)}
    ranges = sorted(
        ((key, verdict) for key, verdict in part.elements if isinstance(key, tuple)), key=lambda e: e[0]
    )
    return _Verdicts(single, tuple(ranges))
