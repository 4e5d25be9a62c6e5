"""The chains and sets of one ruleset as they come into being: named by content, made once, shared by all."""

from __future__ import annotations

from itertools import compress

from policyd_compiler.addr import Interval
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.names import Names, digest
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    DportIn,
    Family,
    Goto,
    KeyType,
    L4Proto,
    Match,
    Return,
    Rule,
    Set,
    SetName,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.printer import print_rule, print_verdict
from policyd_compiler.ports import ALL_NUMBERS, EVERYTHING, NOTHING, PortSet

KEY: dict[int, KeyType] = {4: KeyType.V4, 6: KeyType.V6}
_BITS_OF_TEXT = bytes.maketrans(b"01", b"\x00\x01")
#: Past this a name made of port numbers is no longer readable.
_LONGEST_PORTS = 48


class Objects:
    """Collects sets, maps and chains while a snapshot is lowered."""

    def __init__(self, deny: Verdict) -> None:
        self.deny = deny
        self.sets: dict[SetName, Set] = {}
        self.maps: dict[SetName, VerdictMap] = {}
        self.chains: dict[ChainName, Chain] = {}
        self._names = Names()
        self._verdicts: dict[PortSet, Verdict] = {}
        self._host_sets: dict[tuple[int, int], SetName] = {}
        self._addresses: dict[tuple[int, int], tuple[int, ...]] = {}

    def addresses(self, index: HostIndex, family: Family, mask: int) -> tuple[int, ...]:
        """The addresses of a family behind a mask of hosts, sorted."""
        known = self._addresses.get((family, mask))
        if known is None:
            selectors = bin(mask)[:1:-1].encode().translate(_BITS_OF_TEXT)
            known = tuple(sorted(a for a in compress(index.addresses, selectors) if a is not None))
            self._addresses[(family, mask)] = known
        return known

    def add_chain(
        self, prefix: str, suffix: str, rules: tuple[Rule, ...], notes: tuple[str, ...]
    ) -> ChainName:
        """Add a chain `prefix-HASH-suffix` with these rules, or find the one there is."""
        content = "\n".join(map(print_rule, rules)).encode()
        name = ChainName("-".join(part for part in (prefix, digest(content), suffix) if part))
        if self._names.claim(name, content):
            self.chains[name] = Chain(name, rules, notes=notes)
        return name

    def add_host_set(self, family: Family, addresses: tuple[int, ...]) -> SetName:
        """Add a hash set of single addresses, or find the one there is."""
        content = _bytes_of(family, addresses)
        name = SetName(f"peers{family}-{digest(content)}")
        if self._names.claim(name, content):
            self.sets[name] = Set(name, KEY[family], addresses, size=len(addresses))
        return name

    def add_range_set(self, family: Family, ranges: tuple[Interval, ...]) -> SetName:
        """Add an interval set, or find the one there is."""
        content = repr(ranges).encode()
        name = SetName(f"ranges{family}-{digest(content)}")
        if self._names.claim(name, content):
            self.sets[name] = Set(name, KEY[family], ranges, interval=True)
        return name

    def add_host_map(self, family: Family, elements: tuple[tuple[int, Verdict], ...]) -> SetName:
        """Add a verdict map of single addresses, or find the one there is."""
        addresses = tuple(address for address, _ in elements)
        verdicts = {id(v): print_verdict(v) for _, v in elements}
        content = _bytes_of(family, addresses) + "\n".join(verdicts[id(v)] for _, v in elements).encode()
        name = SetName(f"peer-ports{family}-{digest(content)}")
        if self._names.claim(name, content):
            self.maps[name] = VerdictMap(name, KEY[family], elements, size=len(elements))
        return name

    def add_range_map(self, family: Family, elements: tuple[tuple[Interval, Verdict], ...]) -> SetName:
        """Add a verdict map of address ranges, or find the one there is."""
        content = repr([(low, high, print_verdict(v)) for (low, high), v in elements]).encode()
        name = SetName(f"range-ports{family}-{digest(content)}")
        if self._names.claim(name, content):
            self.maps[name] = VerdictMap(name, KEY[family], elements, interval=True)
        return name

    def verdict(self, ports: PortSet) -> Verdict:
        """Where a packet goes whose peer may use `ports`: on, away, or to a chain that looks at its port."""
        known = self._verdicts.get(ports)
        if known is None:
            known = self._verdicts[ports] = self._make_verdict(ports)
        return known

    def _make_verdict(self, ports: PortSet) -> Verdict:
        if ports == EVERYTHING:
            return Return()
        if ports == NOTHING:
            return self.deny
        rules = (*(Rule(Return(), (match,)) for match in port_matches(ports)), Rule(self.deny))
        content = "\n".join(map(print_rule, rules)).encode()
        text = _ports_name(ports)
        name = ChainName(f"ports-{text}" if len(text) <= _LONGEST_PORTS else f"ports-x{digest(content)}")
        self._names.claim(name, content)
        self.chains[name] = Chain(name, rules)
        return Goto(name)


def port_matches(ports: PortSet) -> tuple[Match, ...]:
    """The matches that together are `ports`: at most one for each of TCP, UDP, SCTP and the rest."""
    matches: list[Match] = []
    for protocol, ranges in (("tcp", ports.tcp), ("udp", ports.udp), ("sctp", ports.sctp)):
        if ranges == ALL_NUMBERS:
            matches.append(L4Proto((protocol,)))
        elif ranges:
            matches.append(DportIn(protocol, ranges))  # type: ignore[arg-type]
    if ports.other:
        matches.append(L4Proto(("tcp", "udp", "sctp"), negated=True))
    return tuple(matches)


def _ports_name(ports: PortSet) -> str:
    parts: list[str] = []
    for protocol, ranges in (("tcp", ports.tcp), ("udp", ports.udp), ("sctp", ports.sctp)):
        if ranges == ALL_NUMBERS:
            parts.append(protocol)
        elif ranges:
            numbers = ".".join(str(low) if low == high else f"{low}_{high}" for low, high in ranges)
            parts.append(f"{protocol}.{numbers}")
    if ports.other:
        parts.append("other")
    return "-".join(parts)


def _bytes_of(family: Family, addresses: tuple[int, ...]) -> bytes:
    width = 4 if family == 4 else 16
    return b"".join([address.to_bytes(width) for address in addresses])
